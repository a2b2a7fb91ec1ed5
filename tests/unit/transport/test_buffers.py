"""mqd.transport.buffers: all connections together keep to a limit."""

from __future__ import annotations

import pytest

from mqd import limits
from mqd.broker.room import Room
from mqd.transport.buffers import Buffers
from tests.harness import MemoryTransport, World

HIGH, LEAST = limits.WRITE_HIGH_WATER_BYTES, limits.WRITE_HIGH_WATER_BYTES_MIN
MB = 1 << 20


@pytest.fixture
def room() -> Room:
    return Room(4 * limits.WRITE_TOTAL_BYTES_MAX)


def transports(buffers: Buffers, count: int, size: int) -> list[MemoryTransport]:
    made = [MemoryTransport(("127.0.0.1", 1)) for _ in range(count)]
    for each in made:
        each.written += bytes(size)
        buffers.add(each)
    return made


def waters(made: list[MemoryTransport]) -> set[int | None]:
    return {each.limits[0] for each in made}


def test_a_connection_has_the_usual_water_at_first(room: Room) -> None:
    assert waters(transports(Buffers(room), 1, 0)) == {HIGH}


def test_many_that_are_slow_get_less_each_and_more_again_by_and_by(room: Room) -> None:
    buffers = Buffers(room)
    slow = transports(buffers, 256, MB)
    quick = transports(buffers, 10, 0)
    buffers.look()
    share = limits.WRITE_TOTAL_BYTES_MAX // 256
    assert waters(slow + quick) == {share}
    assert waters(transports(buffers, 1, 0)) == {share}
    for each in slow:
        each.written.clear()
    for _ in range(10):
        buffers.look()
    assert waters(slow + quick) == {HIGH}


def test_no_peer_gets_less_than_it_needs_to_keep_its_rate(room: Room) -> None:
    buffers = Buffers(room)
    made = transports(buffers, 4096, 40_000)
    buffers.look()
    assert waters(made) == {LEAST}


def test_a_small_room_leaves_less_for_them(room: Room) -> None:
    room.resize(40 * MB)
    buffers = Buffers(room)
    made = transports(buffers, 40, MB // 2)
    buffers.look()
    assert waters(made) == {10 * MB // 40}


def test_what_waits_is_counted_with_the_backlogs(room: Room) -> None:
    buffers = Buffers(room)
    made = transports(buffers, 8, MB)
    buffers.look()
    assert room.leased_bytes == 8 * MB
    for each in made[1:]:
        buffers.discard(each)
        each.written.clear()
    made[0].written.clear()
    buffers.look()
    assert room.leased_bytes == 0


def test_a_room_that_is_full_takes_from_them(room: Room) -> None:
    buffers = Buffers(room)
    made = transports(buffers, 8, MB)
    buffers.look()
    room.resize(MB)
    assert waters(made) == {LEAST}


def test_sessions_come_and_go() -> None:
    world = World()
    client = world.connect()
    assert client.transport.limits[0] == HIGH
    assert len(world.listener.buffers._transports) == 1
    client.drop()
    assert not world.listener.buffers._transports
