"""mqd.broker.held: what clients hold goes to disc when it is too much, and comes back whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mqd import limits
from mqd.broker.channel import Channel
from mqd.broker.shelf import Shelved
from tests.harness import PERSISTENT, Basic, Client, World

LIMIT = 100_000
BODY = 1000


@pytest.fixture
def world() -> World:
    world = World()
    world.broker.holdings.limit_bytes = LIMIT
    return world


def body(number: int) -> str:
    return f"{number}".rjust(BODY, ".")


def hold(world: World, count: int, *, mode: int | None = None, size: int = BODY) -> Client:
    """A client that was sent so many messages and acknowledges none."""
    client = world.connect()
    if not world.vhost.queues.get("q"):
        client.declare("q", durable=True)
    client.consume("q", "c")
    for number in range(1, count + 1):
        client.publish("q", f"{number}".rjust(size, "."), mode=mode)
    assert len(client.take()) == count
    return client


def channels(world: World) -> Iterator[Channel]:
    for entry in world.vhost.connections():
        yield from entry.channels.values()


def held_bytes(world: World) -> int:
    """In memory."""
    return sum(
        len(message.content) for channel in channels(world) for _, message, *_ in entries(channel)
    )


def entries(channel: Channel) -> list[tuple[object, ...]]:
    return list(channel.unacked.values())


@pytest.mark.parametrize("mode", [None, PERSISTENT])
def test_too_much_goes_to_disc_the_oldest_first(world: World, mode: int | None) -> None:
    hold(world, 300, mode=mode)
    assert held_bytes(world) > 2 * LIMIT
    world.tick(500)
    assert held_bytes(world) < LIMIT
    (channel,) = (each for each in channels(world) if each.unacked)
    shelved = [isinstance(message.content, Shelved) for _, message, *_ in channel.unacked.values()]
    assert shelved == sorted(shelved, reverse=True)
    assert shelved[0]
    assert not shelved[-1]


def test_little_stays(world: World) -> None:
    hold(world, 50)
    world.tick(500)
    assert not world.spool.pages


def test_a_few_large_ones_are_too_much_as_well(world: World) -> None:
    world.broker.holdings.limit_bytes = 1_000_000
    hold(world, 4, size=400_000)
    world.tick(500)
    assert held_bytes(world) < 1_000_000


def test_what_is_small_costs_no_page(world: World) -> None:
    world.broker.holdings.limit_bytes = 1000
    hold(world, 300, size=10)
    world.tick(500)
    assert not world.spool.pages


def test_acknowledged_it_leaves_no_page(world: World) -> None:
    client = hold(world, 400, mode=PERSISTENT)
    world.tick(500)
    assert world.spool.pages
    client.ack(0, multiple=True)
    world.tick(500)
    assert not world.spool.pages
    assert not world.store.kept.get(world.queue().definition.id)


@pytest.mark.parametrize("gone", [False, True])
def test_handed_back_it_comes_back_whole(world: World, *, gone: bool) -> None:
    client = hold(world, 300, mode=PERSISTENT)
    world.tick(500)
    other = world.connect()
    if gone:
        client.drop()
        assert world.spool.pages  # it waits there
    else:
        client.send(*_cancel())
        client.nack(0, multiple=True)
    assert world.queue().ready_count == 300
    assert world.queue().ready_bytes == 300 * BODY
    other.consume("q", "d", no_ack=True)
    assert other.bodies() == [body(number) + "*" for number in range(1, 301)]
    world.tick(500)
    assert not world.spool.pages


def test_rejected_it_is_dead_lettered_whole(world: World) -> None:
    maker = world.connect()
    maker.declare("dead")
    maker.declare("q", durable=True, arguments={"x-dead-letter-exchange": "amq.fanout"})
    maker.bind("dead", "amq.fanout")
    client = hold(world, 300, mode=PERSISTENT)
    world.tick(500)
    client.nack(0, multiple=True, requeue=False)
    world.end_turns()
    maker.consume("dead", "d", no_ack=True)
    assert maker.bodies() == [body(number) for number in range(1, 301)]


def test_what_waits_for_the_store_stays_in_memory() -> None:
    world = World(commit_at_once=False)
    world.broker.holdings.limit_bytes = LIMIT
    hold(world, 300, mode=PERSISTENT)
    world.tick(500)
    assert not world.spool.pages
    world.commit()
    world.tick(500)
    assert held_bytes(world) < LIMIT


def test_the_room_is_shared_with_backlogs(world: World) -> None:
    world.broker.holdings.limit_bytes = 1 << 30
    world.broker.room.resize(40 * limits.ROOM_STEP_BYTES_MIN)
    client = hold(world, 700)
    assert held_bytes(world) > world.broker.room.total_bytes
    world.tick(500)
    assert held_bytes(world) < world.broker.room.total_bytes
    world.broker.room.resize(limits.ROOM_STEP_BYTES_MIN)
    assert held_bytes(world) < 10 * limits.ROOM_STEP_BYTES_MIN
    client.ack(0, multiple=True)
    world.tick(500)
    assert world.broker.room.leased_bytes == 0


def test_what_came_since_the_last_look_may_be_too_much(world: World) -> None:
    world.broker.holdings.limit_bytes = 1 << 30
    world.broker.room.resize(40 * limits.ROOM_STEP_BYTES_MIN)
    client = hold(world, 500)
    world.tick(500)
    assert not world.spool.pages
    for number in range(1000):
        client.publish("q", body(number))
    world.tick(500)
    assert held_bytes(world) < world.broker.room.total_bytes


def test_a_reader_of_a_stream_holds_nothing(world: World) -> None:
    client = world.connect()
    client.declare("s", durable=True, arguments={"x-queue-type": "stream"})
    client.prefetch(1000)
    client.consume("s", "c", arguments={"x-stream-offset": "first"})
    for number in range(300):
        client.publish("s", body(number))
    assert len(client.take()) == 300
    assert held_bytes(world) < 10_000
    world.tick(500)
    assert not world.spool.pages
    client.ack(0, multiple=True)


def _cancel() -> tuple[Basic.Cancel]:
    return (Basic.Cancel("c"),)
