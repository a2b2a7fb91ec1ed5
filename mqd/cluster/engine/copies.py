"""Copies of logs on the disc of a nats-server, as it lays them out.

Decides nothing: tells which logs have a copy there, and takes a copy out of the group that it was
one of. Only the second needs the server to be stopped.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Final

from mqd.cluster.engine.settings import ACCOUNT, SYSTEM

_ASIDE: Final = "aside-"


def logs_on(store: Path) -> Set[str]:
    """Names of those that there is a copy of, however little of it."""
    folder = store / "jetstream" / ACCOUNT / "streams"
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


def take_out(store: Path, group: str) -> None:
    """The copy of that group is what its log is from the next start on. What the group had agreed
    on and the copy does not have yet is kept beside it, of use to nobody but who looks for it."""
    folder = store / "jetstream" / SYSTEM / "_js_" / group
    if folder.exists():
        folder.rename(store / f"{_ASIDE}{group}")
