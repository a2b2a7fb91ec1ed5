"""The disc is full: publishers are blocked, nothing that was confirmed is lost, and all goes on
when there is room again. Streams: `test_disc_full_streams`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fault.crash_link import Heard, Link, connect, play
from tests.fault.small_disc import Disc, Publisher, publisher_of
from tests.nodes import Node
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow


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
        await asyncio.wait_for(done, PATIENCE_S)
    assert await _count(link) == 0
    link.abort()
    return numbers


async def _count(link: Link) -> int:
    found = await link.call(1, "queue.declare", queue="q", passive=True)
    return int(found.values["message_count"])


def test_publishers_wait_and_go_on_when_there_is_room(full_node: Node, disc: Disc) -> None:
    async def story() -> None:
        disc.take(leave_bytes=6 << 20)
        first = await publisher_of(full_node)
        await first.until_blocked()
        assert first.reason == "low on disk"
        assert len(first.confirmed) < first.sent
        second = await publisher_of(full_node)
        second.publish(10)
        await asyncio.wait_for(second.blocked.wait(), PATIENCE_S)
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
        publisher = await publisher_of(full_node)
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
        await asyncio.wait_for(done, PATIENCE_S)
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
        publisher = await publisher_of(full_node)
        await publisher.until_blocked()
        return publisher

    async def kill(publisher: Publisher) -> None:
        full_node.kill()
        await asyncio.wait_for(publisher.link.gone, PATIENCE_S)

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
        publisher = await publisher_of(full_node)
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
        await asyncio.wait_for(declared, PATIENCE_S)
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
        publisher = await publisher_of(node)
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
