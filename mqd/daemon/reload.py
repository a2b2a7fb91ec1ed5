"""A configuration that changes while the node runs: SIGHUP.

Theory. Everything is read again, as at a start; where anything is wrong, nothing changes. What is
read is compared with what counts now, key by key. Keys that the table calls live count from then
on; all others are named, and named again at every reload, until a restart takes them.

Decides what is compared, what is applied to which part and what the log says of it. Never decides
what a key means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from mqd.config.load import Configuration, Setting
from mqd.config.schema import Key
from mqd.config.settings import NodeSettings, node_settings
from mqd.config.values import Value
from mqd.config.variables import VARIABLES, Variables
from mqd.daemon.logs import Logging, Outputs
from mqd.daemon.node import Node
from mqd.daemon.report import HIDDEN, SECRETS, shown_value
from mqd.daemon.setup import Setup
from mqd.errors import MqdError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """Of one key; None stands for "not set", where the default counts."""

    name: str
    key: Key
    before: Setting | None
    after: Setting | None

    def __str__(self) -> str:
        return f"{self.name}: {self._shown(self.before)} -> {self._shown(self.after)}"

    def _shown(self, setting: Setting | None) -> str:
        value: Value = setting.value if setting is not None else self.key.default
        if setting is None and value is None:
            return "(not set)"
        return shown_value(self.name, value)

    @property
    def verdict(self) -> str:
        """What becomes of it."""
        if not self.key.works:
            return f"without effect, {self.key.reason}"
        return "applied" if self.key.live else "needs a restart"


def changes(old: Configuration, new: Configuration) -> list[Change]:
    """Keys whose value is another one, by name."""
    found = []
    for name in sorted(old.set.keys() | new.set.keys()):
        before, after = old.set.get(name), new.set.get(name)
        key = (after or before or _never()).key
        values = [each.value if each is not None else key.default for each in (before, after)]
        appears = (before is None) != (after is None) and key.default is None
        if values[0] != values[1] or appears:
            found.append(Change(name, key, before, after))
    return found


def _never() -> Setting:
    raise AssertionError


def with_live(old: Configuration, new: Configuration, found: list[Change]) -> Configuration:
    """What counts after a reload: the old configuration with the live changes in it."""
    merged = dict(old.set)
    for change in found:
        if change.key.live and change.after is not None:
            merged[change.name] = change.after
        elif change.key.live:
            merged.pop(change.name, None)
    return replace(old, set=merged, notes=new.notes)


def changed_variables(old: Variables, new: Variables) -> Iterator[str]:
    """All of them need a restart."""
    for name in VARIABLES:
        before, after = old.text(name), new.text(name)
        if before != after:
            secret = name.lower().endswith(SECRETS) or name == "ERLANG_COOKIE"
            shown = [HIDDEN if secret else text or "(not set)" for text in (before, after)]
            yield f"RABBITMQ_{name}: {shown[0]} -> {shown[1]}"
    for name in old.limits.keys() | new.limits.keys():
        if old.limits.get(name, ())[:2] != new.limits.get(name, ())[:2]:
            yield f"limit of {name}"


class Reloader:
    """Of one running node. read: everything again, as at the start; raises MqdError."""

    def __init__(
        self, node: Node, setup: Setup, logging_: Logging, read: Callable[[], Setup]
    ) -> None:
        self._node = node
        self._setup = setup
        self._logging = logging_
        self._read = read
        self._counting = setup.configuration

    async def reload(self) -> None:
        """Once; whatever is wrong is in the log and changes nothing."""
        self._setup.notifier.reloading()
        try:
            fresh = await asyncio.to_thread(self._read)
            self._take(fresh)
        except MqdError as error:
            _log.error("Configuration is not reloaded and nothing has changed:\n%s", error.detail)
        finally:
            self._setup.notifier.ready("Ready")

    def _take(self, fresh: Setup) -> None:
        found = changes(self._counting, fresh.configuration)
        variables = list(changed_variables(self._setup.variables, fresh.variables))
        counting = with_live(self._counting, fresh.configuration, found)
        settings = node_settings(counting)  # the last thing that may fail
        self._apply({change.key.name for change in found if change.key.live}, settings, fresh.logs)
        self._counting = counting
        self._node.use_configuration(counting)
        lines = [f"{each} ({_place(each)}): {each.verdict}" for each in found]
        lines += [f"{each}: needs a restart" for each in variables]
        if not lines:
            _log.info("Configuration reloaded: nothing has changed")
            return
        _log.info("Configuration reloaded, changes:\n%s", "\n".join(lines))

    def _apply(self, names: set[str], settings: NodeSettings, logs: Outputs) -> None:
        """Each part that one of the changed keys belongs to; a part set at run time with mqctl
        stays where its keys are as they were."""
        if any(name.startswith("log.") for name in names):
            self._logging.use_levels(logs.settings)
        self._node.use_settings(settings)
        if any(name.startswith(("vm_memory", "total_memory", "memory_")) for name in names):
            self._node.alarms.use_memory(settings.resources)
        if any(name.startswith(("disk_free", "total_memory")) for name in names):
            self._node.alarms.use_disk(settings.resources)


def _place(change: Change) -> str:
    return change.after.origin if change.after is not None else "no longer set"


def reader(
    read: Callable[[Mapping[str, str]], Setup], environ: Mapping[str, str]
) -> Callable[[], Setup]:
    """As the environment of the process was at its start."""
    given = dict(environ)
    return lambda: read(given)
