"""Which plugins a node is to run, and what hinders those that it is not.

Decides nothing about the app that runs them: `lifecycle` does. Reads files, so it belongs on a
thread while the app runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mqd.daemon.report import unknown_plugin
from mqd.plugins import catalogue, enabled, installed
from mqd.plugins.catalogue import Running
from mqd.plugins.table import LIBRARIES

_log = logging.getLogger(__name__)


def wanted(path: Path, folders: Sequence[Path]) -> Running:
    """Those that the file at that path names. folders: where other people's are. Raises ConfigError
    when it cannot be read."""
    names = [name for name in enabled.read(path) if name not in LIBRARIES]
    plugins = catalogue.known(names, folders)
    for name in names:
        if name not in plugins:
            _log.warning("%s", unknown_plugin(path, name))
    return catalogue.start(names, tell_of_broken, plugins, folders)


def troubles(names: Iterable[str], folders: Sequence[Path]) -> Mapping[str, str]:
    """Of those of these that could not run, by name."""
    found: dict[str, str] = {}
    catalogue.start(names, found.__setitem__, installed.every(folders), folders)
    return found


def tell_of_broken(name: str, reason: str) -> None:
    _log.error("plugin '%s' is not started: %s", name, reason)
