"""Nodes of one machine that may become a cluster: real processes, one cookie, one run directory.

Decides how they are started, asked and waited for. Each has a folder and free ports of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.nodes import Node
from tests.waiting import eventually

_CTL = "from mqctl.main import main; raise SystemExit(main())"


class Member(Node):
    """One node."""

    def __init__(self, folder: Path, name: str, config: str) -> None:
        super().__init__(folder / name, name, config)
        cookie = folder / name / "home" / ".erlang.cookie"
        cookie.write_text("TESTCOOKIE")
        cookie.chmod(0o400)
        self.environment["MQD_RUN_DIR"] = str(folder / "run")

    @property
    def data(self) -> Path:
        return self.directory / "mnesia" / self.name

    @property
    def log(self) -> str:
        return (self.directory / "log" / f"{self.name}.log").read_text()

    def call(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and errors of mqctl."""
        done = subprocess.run(
            [sys.executable, "-c", _CTL, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def users(self) -> set[str]:
        lines = self.ctl("-q", "list_users", "--no-table-headers").splitlines()
        return {line.split("\t")[0] for line in lines}

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ctl("cluster_status", "--formatter", "json"))
        return found

    def answers(self) -> bool:
        return self.call("ping")[0] == 0

    def runs(self) -> bool:
        return self.call("await_startup", "--timeout", "20")[0] == 0

    def join(self, other: Member, *options: str) -> None:
        self.ctl("stop_app")
        self.ctl("join_cluster", *options, other.name)
        self.ctl("start_app")

    def is_ordered_by_majority(self) -> bool:
        return "ordered by a majority" in self.ctl("explain", "cluster")

    def begin(self) -> None:
        """Start, and wait until the app runs."""
        self.launch()
        eventually(self.runs)


@contextmanager
def members(folder: Path, *names: str, config: str = "") -> Iterator[list[Member]]:
    """Started, each by itself."""
    with unstarted(folder, *names, config=config) as found:
        for node in found:
            node.launch()
        for node in found:
            eventually(node.runs)
        yield found


@contextmanager
def unstarted(folder: Path, *names: str, config: str = "") -> Iterator[list[Member]]:
    """Whatever of them is started is ended."""
    (folder / "run").mkdir(mode=0o750)
    found = [Member(folder, name, config) for name in names]
    try:
        yield found
    finally:
        for node in found:
            node.kill()


def have(users: set[str], *nodes: Member) -> None:
    """Until these are all users that each of them knows: who made a change waits a second at most
    for the others to have it."""
    for node in nodes:
        eventually(lambda node=node: node.users() == users)  # type: ignore[misc]


def know(user: str, *nodes: Member) -> None:
    """Until each of them has that user, among others."""
    for node in nodes:
        eventually(lambda node=node: user in node.users())  # type: ignore[misc]


def files_of(node: Member) -> set[str]:
    """What lies in its data directory."""
    return set(os.listdir(node.data))
