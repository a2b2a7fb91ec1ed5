"""`mqd.broker.queues.stream`: where readers begin, what credit is, what is counted and refused."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.broker.snapshots import QUEUE, Walk
from mqd.policies.applied import Applied
from tests.harness import Basic, Client, Confirm, Queue, World


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("s", durable=True, arguments={"x-queue-type": "stream"})
    return client


def fill(world: World, client: Client, *bodies: str) -> None:
    for body in bodies:
        client.publish("s", body, channel=2)
    world.commit()


def read(client: Client, offset: Any = None, *, tag: str = "c", credit: int = 10) -> None:
    client.prefetch(credit)
    arguments = {} if offset is None else {"x-stream-offset": offset}
    client.consume("s", tag, arguments=arguments)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [("first", ["a", "b", "c", "d"]), ("last", ["c", "d"]), (1, ["b", "c", "d"]), (None, [])],
)
def test_where_a_reader_begins(
    world: World, client: Client, offset: Any, expected: list[str]
) -> None:
    fill(world, client, "a", "b")
    fill(world, client, "c", "d")
    read(client, offset)
    assert client.bodies() == expected
    fill(world, client, "e")
    assert client.bodies() == ["e"]


def test_every_delivery_tells_its_offset(world: World, client: Client) -> None:
    fill(world, client, "a", "b")
    read(client, "first")
    offsets = [got.properties.headers["x-stream-offset"] for got in client.take()]
    assert offsets == [0, 1]


def test_nobody_sees_what_is_not_on_disc(world: World, client: Client) -> None:
    read(client)
    client.call(Confirm.Select(), 2)
    client.publish("s", "a", channel=2)
    assert client.said() == []
    world.commit()
    assert sorted(client.said()) == ["ack 1", "deliver c 1 a"]


def test_acknowledgements_in_any_order_give_credit(world: World, client: Client) -> None:
    fill(world, client, *"abcd")
    read(client, "first", credit=2)
    assert client.bodies() == ["a", "b"]
    client.ack(2)
    assert client.bodies() == ["c"]
    client.ack(1)
    assert client.bodies() == ["d"]


def test_readers_take_nothing_from_the_stream_nor_from_each_other(
    world: World, client: Client
) -> None:
    fill(world, client, "a", "b")
    for tag in ("one", "two"):
        read(client, "first", tag=tag)
    assert client.said() == [f"deliver one {n} {b}" for n, b in ((1, "a"), (2, "b"))] + [
        f"deliver two {n} {b}" for n, b in ((3, "a"), (4, "b"))
    ]
    walk = Walk(world.broker.connections.values())
    names = ("messages", "messages_ready", "messages_unacknowledged")
    assert [QUEUE[name](world.queue("s"), walk) for name in names] == [2, 2, 0]
    client.drop()
    assert [QUEUE[name](world.queue("s"), walk) for name in names] == [2, 2, 0]


def test_a_slow_reader_goes_on_where_it_was(world: World, client: Client) -> None:
    read(client, "first", credit=100)
    client.congest()
    fill(world, client, "a", "b")
    assert client.bodies() == []
    client.relieve()
    assert client.bodies() == ["a", "b"]


def test_a_slow_reader_that_acks_waits_once(world: World, client: Client) -> None:
    read(client, "first", credit=3)
    fill(world, client, "a", "b", "c", "d", "e")
    client.take()
    client.congest()
    for tag in (1, 2, 3):
        client.ack(tag)
    assert len(client.session.outlet.parked) == 1
    client.relieve()
    assert client.bodies() == ["d", "e"]


def test_a_policy_changes_what_is_kept(world: World, client: Client) -> None:
    world.queue("s").apply_policy(Applied("p", None, {"max-length-bytes": 10, "max-age": "1h"}))
    (stream,) = world.store.streams.values()
    assert stream.rules == (10, 3600, None)


@pytest.mark.parametrize(
    ("method", "what"),
    [(Basic.Get(0, "s"), "basic.get"), (Queue.Purge(0, "s"), "queue.purge")],
)
def test_what_a_stream_cannot_do(client: Client, method: Any, what: str) -> None:
    client.send(method)
    assert client.said() == [
        f"connection.close NOT_IMPLEMENTED - {what} not supported by stream queues "
        "queue 's' in vhost '/'"
    ]


def test_what_waits_for_the_disc_slows_its_publisher(world: World, client: Client) -> None:
    before = world.store.gathered_count
    client.publish("s", "a", channel=2)
    assert world.store.gathered_count == before + 1
    world.commit()
    assert world.store.gathered_count == before


def test_a_stream_takes_nothing_back(client: Client, world: World) -> None:
    """RabbitMQ's loses the connection over basic.recover, and answers nothing else."""
    fill(world, client, "a")
    read(client, "first")
    client.said()
    client.send(Basic.Recover(True))
    assert client.said() == [
        "connection.close NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream "
        "queues queue 's' in vhost '/'"
    ]


@pytest.mark.parametrize("no_ack", [True, False])
def test_what_it_does_not_know_is_refused_first(no_ack: bool, client: Client) -> None:
    """Before the prefetch count that is missing (observed: 3.10.8)."""
    client.send(Basic.Consume(0, "s", "c", no_ack=no_ack, arguments={"x-priority": 1}))
    assert client.said() == [
        "channel.close PRECONDITION_FAILED - invalid arg 'x-priority' for queue 's' in vhost '/' "
        "of queue type rabbit_stream_queue"
    ]
