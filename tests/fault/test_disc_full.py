"""The disc is full: publishers are blocked, nothing that was confirmed is lost, and all goes on
when there is room again. The data directory is a small tmpfs of its own, which needs root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fault.crash_link import Confirmed, Heard, Link, connect, message, play
from tests.nodes import Node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

_DISC_BYTES = 24 << 20
_PATIENCE_S = 20.0
_WINDOW = 50


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
    confirmed: set[int] = field(default_factory=set)
    sent: int = 0
    blocked: asyncio.Event = field(default_factory=asyncio.Event)
    unblocked: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""

    async def open(self) -> None:
        self.link.unasked[0] = self._hear
        self.channel = Confirmed(self.link, 1)
        await self.channel.open()
        await self.link.call(1, "queue.declare", queue="q", durable=True)

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
        frames = message(1, "", "q", b"%d " % number + bytes(size), 2)
        self.channel.publish(frames, lambda: self.confirmed.add(number))

    async def until_blocked(self, size: int = 20_000) -> None:
        """Publish until the broker says that it takes no more."""
        async with asyncio.timeout(_PATIENCE_S):
            while not self.blocked.is_set():
                self.publish(size)
                with contextlib.suppress(TimeoutError):  # only who publishes is told
                    due = len(self.channel.unconfirmed) < _WINDOW
                    await asyncio.wait_for(self.blocked.wait(), 0 if due else 0.02)

    async def until_all_confirmed(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await self.unblocked.wait()
            await self.channel.room(0)


async def _publisher(node: Node) -> Publisher:
    publisher = Publisher(await connect(node.port))
    await publisher.open()
    return publisher


async def _take_all(node: Node, count: int) -> list[int]:
    """The numbers of so many messages, in order, and the queue is empty behind them."""
    link = await connect(node.port)
    await link.open(1)
    await link.call(1, "basic.qos", prefetch_count=100)
    numbers: list[int] = []
    done = asyncio.get_running_loop().create_future()

    def hear(heard: Heard) -> None:
        numbers.append(int(heard.body.split(b" ")[0]))
        link.send(1, "basic.ack", delivery_tag=heard.values["delivery_tag"])
        if len(numbers) == count:
            done.set_result(None)

    link.unasked[1] = hear
    await link.call(1, "basic.consume", queue="q", consumer_tag="t")
    if count:
        await asyncio.wait_for(done, _PATIENCE_S)
    assert await _count(link) == 0
    link.abort()
    return numbers


async def _count(link: Link) -> int:
    found = await link.call(1, "queue.declare", queue="q", passive=True)
    return int(found.values["message_count"])


def test_publishers_wait_and_go_on_when_there_is_room(full_node: Node, disc: Disc) -> None:
    async def story() -> None:
        disc.take(leave_bytes=6 << 20)
        first = await _publisher(full_node)
        await first.until_blocked()
        assert first.reason == "low on disk"
        assert len(first.confirmed) < first.sent
        second = await _publisher(full_node)
        second.publish(10)
        await asyncio.wait_for(second.blocked.wait(), _PATIENCE_S)
        assert not second.confirmed
        disc.give_back()
        await first.until_all_confirmed()
        await second.until_all_confirmed()
        total = first.sent + second.sent
        assert len(first.confirmed) + len(second.confirmed) == total
        assert len(await _take_all(full_node, total)) == total

    play(story())


def test_consumers_are_served_while_it_is_full(full_node: Node, disc: Disc) -> None:
    """What they acknowledge is remembered until it can be written."""

    async def story() -> None:
        disc.take(leave_bytes=6 << 20)
        publisher = await _publisher(full_node)
        await publisher.until_blocked()
        link = await connect(full_node.port)
        await link.open(1)
        there = await _count(link)
        assert there >= len(publisher.confirmed)
        numbers: list[int] = []
        done = asyncio.get_running_loop().create_future()

        def hear(heard: Heard) -> None:
            numbers.append(int(heard.body.split(b" ")[0]))
            link.send(1, "basic.ack", delivery_tag=heard.values["delivery_tag"])
            if len(numbers) == there:
                done.set_result(None)

        link.unasked[1] = hear
        await link.call(1, "basic.consume", queue="q", consumer_tag="t")
        await asyncio.wait_for(done, _PATIENCE_S)
        assert numbers == list(range(there))
        await link.call(1, "basic.cancel", consumer_tag="t")
        disc.give_back()
        await publisher.until_all_confirmed()
        publisher.publish(10)
        await publisher.channel.room(0)  # the acks were written before it
        full_node.kill()
        full_node.start()
        assert await _take_all(full_node, publisher.sent - there) == list(
            range(there, publisher.sent)
        )

    play(story())


def test_killed_while_full(full_node: Node, disc: Disc) -> None:
    """Back at once if it can start on a full disc, else with a reason; nothing is lost."""

    async def fill() -> Publisher:
        publisher = await _publisher(full_node)
        await publisher.until_blocked()
        return publisher

    async def kill(publisher: Publisher) -> None:
        full_node.kill()
        await asyncio.wait_for(publisher.link.gone, _PATIENCE_S)

    async def until_killed() -> Publisher:
        publisher = await fill()
        await kill(publisher)
        return publisher

    disc.take(leave_bytes=6 << 20)
    publisher = play(until_killed())
    disc.take(leave_bytes=0)
    full_node.start()  # nobody is served worse than before the crash
    play(_served_while_full(full_node, publisher.confirmed))
    full_node.kill()
    disc.give_back()
    full_node.start()
    numbers = play(_rest(full_node))
    assert publisher.confirmed <= set(numbers)
    assert numbers == sorted(numbers)


async def _served_while_full(node: Node, confirmed: set[int]) -> None:
    link = await connect(node.port)
    await link.open(1)
    assert await _count(link) >= len(confirmed)
    got = await link.call(1, "basic.get", queue="q")
    assert got.body.startswith(b"0 ")
    assert got.values["redelivered"]
    link.abort()


async def _rest(node: Node) -> list[int]:
    link = await connect(node.port)
    await link.open(1)
    count = await _count(link)
    link.abort()
    await link.gone
    return await _take_all(node, count)


def test_declares_wait_too(full_node: Node, disc: Disc) -> None:
    """A durable queue is there for good once declare-ok has come, and not before."""

    async def story() -> None:
        publisher = await _publisher(full_node)
        disc.take(leave_bytes=0)
        link = await connect(full_node.port)
        await link.open(1)
        declared = asyncio.ensure_future(
            link.call(
                1, "queue.declare", queue="late", durable=True, arguments={"x": ("S", "y" * 99_000)}
            )
        )
        await publisher.until_blocked(50_000)
        assert not declared.done()
        disc.give_back()
        await asyncio.wait_for(declared, _PATIENCE_S)
        await publisher.until_all_confirmed()
        full_node.kill()
        full_node.start()
        again = await connect(full_node.port)
        await again.open(1)
        await again.call(1, "queue.declare", queue="late", passive=True)
        assert await _count(again) == publisher.sent

    play(story())


def test_the_limit_of_free_space(tmp_path: Path, disc: Disc) -> None:
    """Blocked before the disc is full, when it comes below the configured limit."""
    node = Node(tmp_path, extra_config="disk_free_limit.absolute = 8MB\n")

    async def story() -> None:
        publisher = await _publisher(node)
        publisher.publish(10)
        await publisher.channel.room(0)
        disc.take(leave_bytes=7_000_000)
        await publisher.until_blocked(10)
        assert publisher.reason == "low on disk"
        disc.give_back()
        await publisher.until_all_confirmed()

    with node:
        play(story())
    log = "".join(path.read_text() for path in (tmp_path / "log").glob("*.log"))
    assert "disk resource limit alarm set on node" in log
    assert "disk resource limit alarm cleared on node" in log
