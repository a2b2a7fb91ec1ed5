"""A disc so small that a test can fill it, and who publishes until it is full.

Decides how the disc is made (a tmpfs, which needs root), how much of it is left, and what a
publisher knows. The node on it writes until the disc refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fault.crash_link import Confirmed, Heard, Link, connect, message
from tests.nodes import Node
from tests.waiting import PATIENCE_S

QUEUE = "q"
_DISC_BYTES = 24 << 20
_WINDOW = 50  # unconfirmed messages of a publisher


@dataclass
class Disc:
    """A small file system, and a file of somebody else's that takes room on it."""

    directory: Path

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.directory)
        return found.f_bavail * found.f_frsize

    def take(self, leave_bytes: int) -> None:
        """Leave that much."""
        wanted = self.free_bytes - leave_bytes
        with (self.directory / "of-others").open("ab") as file:
            if wanted > 0:
                os.posix_fallocate(file.fileno(), file.tell(), wanted)

    def give_back(self) -> None:
        (self.directory / "of-others").unlink()


@pytest.fixture
def disc(tmp_path: Path) -> Iterator[Disc]:
    directory = tmp_path / "mnesia"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISC_BYTES}", "tmpfs", str(directory)]
    if os.geteuid() != 0:
        pytest.skip("mounting a small disc needs root")
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disc can be mounted here: {mounted.stderr.strip()}")
    try:
        yield Disc(directory)
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture
def full_node(tmp_path: Path, disc: Disc) -> Iterator[Node]:
    """A node that writes until the disc refuses: its own limit of free space is one byte."""
    node = Node(tmp_path, extra_config="disk_free_limit.absolute = 1B\n")
    try:
        node.start()
        yield node
    finally:
        node.kill()


@dataclass
class Publisher:
    """Publishes numbered messages until it is blocked; knows which were confirmed."""

    link: Link
    arguments: dict[str, Any] = field(default_factory=dict)  # of its queue
    confirmed: set[int] = field(default_factory=set)
    sent: int = 0
    blocked: asyncio.Event = field(default_factory=asyncio.Event)
    unblocked: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""

    async def open(self) -> None:
        self.link.unasked[0] = self._hear
        self.channel = Confirmed(self.link, 1)
        await self.channel.open()
        await self.link.call(
            1, "queue.declare", queue=QUEUE, durable=True, arguments=self.arguments
        )

    def _hear(self, heard: Heard) -> None:
        if heard.name == "connection.blocked":
            self.reason = heard.values["reason"]
            self.blocked.set()
            self.unblocked.clear()
        else:
            self.blocked.clear()
            self.unblocked.set()

    def publish(self, size: int) -> None:
        number = self.sent
        self.sent += 1
        frames = message(1, "", QUEUE, b"%d " % number + bytes(size), 2)
        self.channel.publish(frames, lambda: self.confirmed.add(number))

    async def until_blocked(self, size: int = 20_000) -> None:
        """Publish until the broker says that it takes no more."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.blocked.is_set():
                self.publish(size)
                with contextlib.suppress(TimeoutError):  # only who publishes is told
                    due = len(self.channel.unconfirmed) < _WINDOW
                    await asyncio.wait_for(self.blocked.wait(), 0 if due else 0.02)

    async def until_all_confirmed(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.unblocked.wait()
            await self.channel.room(0)


async def publisher_of(node: Node, arguments: dict[str, Any] | None = None) -> Publisher:
    """One whose queue is there."""
    publisher = Publisher(await connect(node.port), arguments or {})
    await publisher.open()
    return publisher
