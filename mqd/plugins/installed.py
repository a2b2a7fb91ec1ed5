"""Plugins of other people: what distributions name in their entry points.

Decides which distributions count: those of the Python environment and of the folders of
RABBITMQ_PLUGINS_DIR, where `pip install --target` puts them. Reads their metadata and never
imports their code. Takes some 20 ms, so whoever can do without does not ask.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from mqd.plugins.table import PLUGINS, Plugin, Plugins

GROUP = "mqd.plugins"
_NAME = re.compile(r"[a-z][A-Za-z0-9_@]*")


def every(folders: Sequence[Path | str] = ()) -> Plugins:
    """mqd's own plugins and all that are installed, by name. mqd's own names are not taken."""
    found = {plugin.name: plugin for plugin in _installed(folders)}
    return dict(sorted({**found, **PLUGINS}.items()))


def _installed(folders: Sequence[Path | str]) -> list[Plugin]:
    path = [*sys.path, *map(str, folders)]
    rows = []
    for distribution in metadata.distributions(path=path):
        for point in distribution.entry_points:
            if point.group == GROUP and _NAME.fullmatch(point.name):
                about = distribution.metadata
                rows.append(
                    Plugin(
                        point.name,
                        about["Summary"] or "",
                        distribution.version,
                        tuple(sorted(point.extras)),
                        f"{point.module}:{point.attr}",
                    )
                )
    return rows[::-1]  # the first of a path wins, as for imports
