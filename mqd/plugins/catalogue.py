"""Plugins put to work: from names to what they contribute.

Decides which of the enabled plugins can run, and what the broker has of them together. Never
switches anything, never reads enabled_plugins. A plugin that is broken is reported and left out,
with those that need it: a broker without one exchange type serves more people than none.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mqd.broker.exchanges.base import Exchange
from mqd.broker.exchanges.registry import BUILT_IN, Registry
from mqd.plugins.contribution import Contribution, Front, Service
from mqd.plugins.table import PLUGINS, Plugin, Plugins, dependents, in_order, required

Report = Callable[[str, str], None]  # name of a plugin, what is wrong with it


class Broken(Exception):
    """A plugin that cannot run, with the reason."""


class Running(NamedTuple):
    """plugins: by name. exchange_types: the built-in ones and theirs. services: of all. fronts:
    with the names of their plugins."""

    plugins: tuple[Plugin, ...]
    exchange_types: Registry
    services: tuple[type[Service], ...] = ()
    fronts: tuple[tuple[str, type[Front]], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(plugin.name for plugin in self.plugins)

    def without(self, names: Iterable[str]) -> Running:
        """Less those whose fronts could not be opened, and those that need them."""
        gone = dependents(names, {plugin.name: plugin for plugin in self.plugins})
        return self._replace(plugins=tuple(one for one in self.plugins if one.name not in gone))


NONE = Running((), BUILT_IN)


def known(names: Iterable[str], folders: Sequence[Path] = ()) -> Plugins:
    """A table that has these names, if there is one that does: looks at what is installed only
    for names that are not mqd's own."""
    if all(name in PLUGINS for name in names):
        return PLUGINS
    from mqd.plugins import installed

    return installed.every(folders)


def start(
    names: Iterable[str], report: Report, plugins: Plugins = PLUGINS, folders: Sequence[Path] = ()
) -> Running:
    """Load the plugins of these names and all they need.

    report: hears of those that cannot run. folders: where code is looked for beside Python's path.
    """
    types = dict(BUILT_IN)
    running: list[str] = []
    services: list[type[Service]] = []
    fronts: list[tuple[str, type[Front]]] = []
    wanted = required(names, plugins)
    for name in in_order(wanted, plugins):
        plugin = plugins[name]
        try:
            _check_needs(plugin, running)
            given = _load(plugin, folders)
            types.update(_types(given, types))
        except Broken as error:
            report(name, str(error))
        else:
            running.append(name)
            services += given.services
            fronts += ((name, front) for front in given.fronts)
    rows = tuple(plugins[name] for name in sorted(running))
    return Running(rows, MappingProxyType(types), tuple(services), tuple(fronts))


def exchange_types(names: Iterable[str]) -> Registry:
    """The built-in exchange types and those of mqd's own plugins of these names."""

    def fail(name: str, reason: str) -> None:
        raise AssertionError(f"{name}: {reason}")

    return start(names, fail).exchange_types


def _check_needs(plugin: Plugin, running: Sequence[str]) -> None:
    missing = [name for name in plugin.needs if name not in running]
    if missing:
        raise Broken(f"it needs {', '.join(missing)}, which does not run")


def _types(contribution: Contribution, taken: Registry) -> Registry:
    """What a plugin adds to the types there are. Raises Broken."""
    found: dict[str, type[Exchange]] = {}
    given: Sequence[object] = contribution.exchange_types  # whatever it says
    for kind in given:
        if not (isinstance(kind, type) and issubclass(kind, Exchange)):
            raise Broken(f"{kind!r} is no class derived from mqd.broker.exchanges.base.Exchange")
        name = getattr(kind, "type_name", None)
        if not isinstance(name, str) or not name:
            raise Broken(f"{kind.__qualname__} has no type_name")
        if name in taken or name in found:
            raise Broken(f"there is an exchange type '{name}' already")
        if getattr(kind, "__abstractmethods__", None):
            absent = ", ".join(sorted(kind.__abstractmethods__))
            raise Broken(f"{kind.__qualname__} lacks {absent}")
        found[name] = kind
    return found


def _load(plugin: Plugin, folders: Sequence[Path]) -> Contribution:
    """Its code. Whatever goes wrong in it is its own fault: Broken."""
    if not plugin.code:
        return Contribution()
    module, _, attribute = plugin.code.partition(":")
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
            importlib.invalidate_caches()
    try:
        found: object = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except Exception as error:
        raise Broken(f"{plugin.code}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Contribution):
        raise Broken(f"{plugin.code} is no mqd.plugins.contribution.Contribution")
    return found
