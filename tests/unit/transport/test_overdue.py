"""`mqd.transport.overdue`: deliveries that nobody acknowledges end their channel."""

from __future__ import annotations

import pytest

from mqd.broker.settings import Settings
from mqd.transport.overdue import Overdue
from tests.harness import Client, World

TIMEOUT_MS = 10_000


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("q")
    for index in range(4):
        client.publish("q", f"m{index}")
    return client


def watch(world: World, overdue: Overdue, seconds: int) -> list[tuple[int, int]]:
    """(channel, delivery tag) of what is found in that time, looked at twice a second."""
    found = []
    for _ in range(seconds * 2):
        world.clock.advance(500)
        entries = list(world.broker.connections.values())
        hits = overdue.find(entries, world.clock.now_ms)
        found += [(channel.number, tag) for _, channel, tag in hits]
        if found:
            break
    return found


def test_a_delivery_that_waits_too_long(world: World, client: Client) -> None:
    overdue = Overdue(TIMEOUT_MS)
    client.get()
    client.get(channel=2)
    assert watch(world, overdue, 9) == []
    client.ack(1)
    assert watch(world, overdue, 6) == [(2, 1)]


def test_who_acknowledges_in_time(world: World, client: Client) -> None:
    overdue = Overdue(TIMEOUT_MS)
    for tag in range(1, 5):
        client.get()
        assert watch(world, overdue, 8) == []
        client.ack(tag)
    assert watch(world, overdue, 30) == []


def test_the_oldest_counts(world: World, client: Client) -> None:
    overdue = Overdue(TIMEOUT_MS)
    client.get()
    assert watch(world, overdue, 8) == []
    client.get()
    client.ack(2)
    assert watch(world, overdue, 8) == [(1, 1)]


def test_no_timeout(world: World, client: Client) -> None:
    overdue = Overdue(0)
    client.get()
    assert watch(world, overdue, 100_000) == []


def test_what_the_client_is_told() -> None:
    world = World(Settings(consumer_timeout_ms=1000))
    client = world.connect()
    client.declare("q")
    client.publish("q", "m")
    client.get()
    (entry,) = world.broker.connections.values()
    entry.peer.time_out(1, 1)
    world.end_turns()
    text = (
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value "
        "used: 1000 ms. This timeout value can be configured, see consumers doc guide to learn more"
    )
    assert client.said() == [f"channel.close {text}"]
    assert world.queue().ready_count == 1
