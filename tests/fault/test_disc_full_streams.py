"""The disc is full under a stream: publishers are held, readers go on, nothing that was confirmed
is lost, offsets keep their messages, and all goes on when there is room again.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fault.crash_link import Heard, Link, connect, play
from tests.fault.small_disc import QUEUE, Disc, Publisher, publisher_of
from tests.nodes import Node
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow

_USUAL: dict[str, Any] = {"x-queue-type": ("S", "stream")}
_SMALL = _USUAL | {"x-stream-max-segment-size-bytes": ("l", 30_000)}
segments = pytest.mark.parametrize("arguments", [_USUAL, _SMALL], ids=["usual", "small"])


class Reader:
    """Reads the whole stream, and on. Knows the number at every offset from 0 on."""

    def __init__(self, link: Link) -> None:
        self.numbers: list[int] = []
        self._link = link
        self._wanted = 0
        self._done: asyncio.Future[None] | None = None

    async def open(self, offset: int = 0) -> None:
        link = self._link
        await link.open(1)
        link.unasked[1] = self._hear
        await link.call(1, "basic.qos", prefetch_count=20)
        begin = {"x-stream-offset": ("l", offset)}
        await link.call(1, "basic.consume", queue=QUEUE, consumer_tag="r", arguments=begin)

    def _hear(self, heard: Heard) -> None:
        assert heard.properties["headers"]["x-stream-offset"][1] == len(self.numbers)
        self.numbers.append(int(heard.body.split(b" ")[0]))
        self._link.send(1, "basic.ack", delivery_tag=heard.values["delivery_tag"])
        if self._done is not None and not self._done.done() and len(self.numbers) >= self._wanted:
            self._done.set_result(None)

    async def until(self, count: int) -> list[int]:
        """The numbers, when there are so many."""
        self._wanted = count
        self._done = asyncio.get_running_loop().create_future()
        if len(self.numbers) < count:
            await asyncio.wait_for(self._done, PATIENCE_S)
        return self.numbers


async def _reader_of(node: Node) -> Reader:
    reader = Reader(await connect(node.port))
    await reader.open()
    return reader


async def _fill(node: Node, disc: Disc, arguments: dict[str, Any]) -> Publisher:
    """Some messages, and then no byte is left, though the publisher would go on."""
    publisher = await publisher_of(node, arguments)
    for _ in range(30):
        publisher.publish(5_000)
    await publisher.channel.room(0)
    disc.take(leave_bytes=0)
    await publisher.until_blocked(7_000)
    assert publisher.reason == "low on disk"
    assert len(publisher.confirmed) < publisher.sent
    assert disc.free_bytes == 0
    return publisher


@segments
def test_publishers_wait_and_readers_go_on(
    full_node: Node, disc: Disc, arguments: dict[str, Any]
) -> None:
    async def story() -> None:
        publisher = await _fill(full_node, disc, arguments)
        second = await publisher_of(full_node, arguments)
        second.publish(10)
        await asyncio.wait_for(second.blocked.wait(), PATIENCE_S)
        reader = await _reader_of(full_node)
        there = len(publisher.confirmed)
        assert (await reader.until(there))[:there] == list(range(there))
        assert not second.confirmed
        disc.give_back()
        await publisher.until_all_confirmed()
        await second.until_all_confirmed()
        publisher.publish(10)
        await publisher.channel.room(0)
        total = publisher.sent + second.sent
        numbers = list(await reader.until(total))
        full_node.kill()
        full_node.start()
        again = await _reader_of(full_node)
        assert await again.until(total) == numbers
        ours = [number for number in numbers if number]
        assert ours == list(range(1, publisher.sent))  # both have a message 0

    play(story())


@segments
def test_killed_while_full(full_node: Node, disc: Disc, arguments: dict[str, Any]) -> None:
    """Back on the full disc with all that was confirmed, twice; then it goes on."""

    async def until_killed() -> Publisher:
        publisher = await _fill(full_node, disc, arguments)
        full_node.kill()
        await asyncio.wait_for(publisher.link.gone, PATIENCE_S)
        return publisher

    publisher = play(until_killed())
    there = len(publisher.confirmed)
    seen: list[int] = []
    for _ in range(2):
        disc.take(leave_bytes=0)  # also what the kill freed
        full_node.start()
        seen = play(_served(full_node, disc, arguments, max(there, len(seen))))
        assert seen == list(range(len(seen)))
        full_node.kill()
    disc.give_back()
    full_node.start()
    play(_goes_on(full_node, arguments, seen))


async def _served(node: Node, disc: Disc, arguments: dict[str, Any], count: int) -> list[int]:
    reader = await _reader_of(node)
    numbers = await reader.until(count)
    publisher = await publisher_of(node, arguments)
    for _ in range(3):
        publisher.publish(9_000)
    await asyncio.wait_for(publisher.blocked.wait(), PATIENCE_S)
    assert not publisher.confirmed
    assert disc.free_bytes == 0
    return list(numbers)


async def _goes_on(node: Node, arguments: dict[str, Any], seen: list[int]) -> None:
    publisher = await publisher_of(node, arguments)
    for _ in range(40):
        publisher.publish(2_000)
    await publisher.channel.room(0)
    node.kill()
    node.start()
    reader = await _reader_of(node)
    numbers = await reader.until(len(seen) + 40)
    assert numbers[: len(seen)] == seen
    assert numbers[-40:] == list(range(40))
