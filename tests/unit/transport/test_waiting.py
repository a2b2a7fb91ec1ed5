"""A channel that waits for an answer, as a client sees it: a declare is on its way to the disc."""

from __future__ import annotations

import pytest
from pamqp import frame

from mqd import limits
from mqd.broker.settings import Settings
from mqd.broker.snapshots import CONNECTION
from tests.harness import (
    PERSISTENT,
    Basic,
    Channel,
    Client,
    Connection,
    Queue,
    Tx,
    World,
    published,
)

CLOSE = frame.marshal(Connection.Close(200, "bye", 0, 0), 0)
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"


@pytest.fixture
def world() -> World:
    return World(Settings(consumer_timeout_ms=600_000))


@pytest.fixture
def client(world: World) -> Client:
    """Channel 1 waits; q is there."""
    client = world.connect(channels=2, heartbeat=20)
    client.declare("q")
    world.topology.slow = True
    client.send(Queue.Declare(queue="d", durable=True))
    assert client.said() == []
    return client


def nothing_waits(client: Client) -> None:
    connection = client.session.connection
    assert connection.waiting.kept == {}
    assert (connection.waiting.kept_bytes, connection.stopped, connection.paused) == (
        0,
        False,
        False,
    )
    assert client.transport.reading


def test_other_channels_go_on(world: World, client: Client) -> None:
    client.send(Basic.Qos(0, 1))
    client.publish("q", "m", channel=2)
    assert str(client.get("q", channel=2)) == "got 1 m left 0"
    client.call(Channel.Open(), 3)
    client.ack(1, channel=2)
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0", "Basic.QosOk"]
    nothing_waits(client)


def test_deliveries_go_on(client: Client) -> None:
    client.consume("q", "c", channel=2, no_ack=True)
    client.publish("q", "m", channel=2)
    assert client.said() == ["deliver c 1 m"]


def test_a_channel_is_answered_in_order(world: World, client: Client) -> None:
    client.send(Queue.Bind(0, "d", "amq.direct", "d"), Basic.Get(0, "d"), Queue.Declare(queue="q"))
    client.send(Queue.Declare(queue="e", durable=True), channel=2)
    client.send(Tx.Select(), channel=2)
    for _ in range(3):
        world.settle_topology()
    assert client.said() == [
        "declare-ok d 0 0",
        "declare-ok e 0 0",
        "Tx.SelectOk",
        "Queue.BindOk",
        "Basic.GetEmpty",
        "declare-ok q 0 0",
    ]
    nothing_waits(client)


def test_heartbeats_go_on(world: World, client: Client) -> None:
    for _ in range(10):
        world.tick(10_000)
        client.feed(HEARTBEAT)
    assert {str(got) for got in client.take()} == {"Heartbeat"}
    assert not client.transport.closing


def test_who_is_silent_meanwhile_is_dropped(world: World, client: Client) -> None:
    """Its socket is read, after all (3.10.8's reader knows of no channel that waits)."""
    world.tick(500)
    world.tick(39_900)
    assert not client.transport.closing
    world.tick(200)
    assert client.transport.aborted


def test_too_much_stops_the_connection(world: World, client: Client) -> None:
    (entry,) = world.broker.connections.values()
    body = b"x" * 30_000
    count = limits.KEPT_BYTES_MAX // len(body) + 1
    for _ in range(count + 5):
        client.feed(published("d", body))
    client.feed(published("q", "other", channel=2))
    assert len(client.unread) == 5 * len(published("d", body)) + len(published("q", "other"))
    assert world.queue("q").ready_count == 0
    for _ in range(10):
        world.tick(10_000)
    assert CONNECTION["state"](entry) == "flow"
    assert not client.transport.closing  # who is not read is not expected to speak
    world.settle_topology()
    client.feed(b"")
    assert world.queue("d").ready_count == count + 5
    assert world.queue("q").ready_count == 1
    nothing_waits(client)
    world.tick(500)
    world.tick(2000)
    assert CONNECTION["state"](entry) == "running"


def test_another_reason_may_outlive_it(world: World, client: Client) -> None:
    """An alarm holds the publisher on channel 2 while much is kept for channel 1."""
    world.broker.set_alarm("memory", True)
    client.publish("q", "held", channel=2)
    client.take()
    client.feed(published("d", b"x" * limits.KEPT_BYTES_MAX))
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0"]
    assert not client.transport.reading
    world.broker.set_alarm("memory", False)
    world.end_turns()
    client.feed(b"")
    assert world.queue("d").ready_count == world.queue("q").ready_count == 1
    nothing_waits(client)


def test_what_was_kept_counts_for_the_disc() -> None:
    """As if it were read when it is handled: the disc is slower than who published meanwhile."""
    world = World(commit_at_once=False)
    world.store.gathered_max = 3
    client = world.connect()
    world.topology.slow = True
    client.send(Queue.Declare(queue="d", durable=True))
    client.feed(b"".join(published("d", str(number), mode=PERSISTENT) for number in range(4)))
    assert client.transport.reading
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0"]
    assert not client.transport.reading
    world.commit()
    nothing_waits(client)


def test_an_alarm_meets_what_was_kept(world: World, client: Client) -> None:
    client.feed(published("d", "m") + frame.marshal(Basic.Qos(0, 1), 1))
    world.broker.set_alarm("memory", True)
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0", "Connection.Blocked"]
    assert world.queue("d").ready_count == 0
    world.broker.set_alarm("memory", False)
    world.end_turns()
    assert client.said() == ["Connection.Unblocked", "Basic.QosOk"]
    assert world.queue("d").ready_count == 1
    nothing_waits(client)


# -- the end of the connection --------------------------------------------------------------------


def test_close_waits_for_what_was_sent_before_it(world: World, client: Client) -> None:
    client.feed(published("d", "m") + published("q", "n", channel=2) + CLOSE)
    assert client.said() == []
    assert world.queue("q").ready_count == 1
    assert world.broker.connections
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0", "Connection.CloseOk"]
    assert world.queue("d").ready_count == 1
    assert not world.broker.connections


def test_close_does_not_wait_for_ever(world: World, client: Client) -> None:
    client.feed(published("d", "m") + CLOSE)
    world.tick(19_900)
    assert "Connection.CloseOk" not in client.said()
    world.tick(200)
    assert client.said() == ["Connection.CloseOk"]
    world.settle_topology()  # nobody hears that
    assert client.said() == []
    assert world.queue("d").ready_count == 0
    assert not world.broker.connections


def test_who_closes_and_hangs_up_is_answered_first(world: World, client: Client) -> None:
    client.feed(published("d", "m") + CLOSE)
    assert client.session.eof_received()
    assert not client.transport.closing
    world.settle_topology()
    assert world.queue("d").ready_count == 1
    assert client.transport.closing


def test_who_hangs_up_with_two_channels_waiting_is_answered_first(
    world: World, client: Client
) -> None:
    client.send(Queue.Declare(queue="e", durable=True), channel=2)
    client.feed(published("d", "m") + published("e", "n", channel=2))
    assert client.session.eof_received()
    first, *world.topology.waiting = world.topology.waiting
    first()
    world.end_turns()
    assert world.queue("d").ready_count == 1
    assert not client.transport.closing
    world.settle_topology()
    assert world.queue("e").ready_count == 1
    assert client.transport.closing


def test_an_operator_closes_it(world: World, client: Client) -> None:
    client.publish("d", "m")
    (entry,) = world.broker.connections.values()
    entry.close(320, "CONNECTION_FORCED - enough")
    assert client.said() == ["connection.close CONNECTION_FORCED - CONNECTION_FORCED - enough"]
    world.settle_topology()
    assert client.said() == []
    client.feed(frame.marshal(Connection.CloseOk(), 0))
    assert not world.broker.connections
    assert world.queue("d").ready_count == 0


def test_a_fault_of_another_channel_ends_it(world: World, client: Client) -> None:
    client.send(Basic.Qos(prefetch_size=1), channel=2)
    assert [got.name for got in client.take()] == ["Connection.Close"]
    world.settle_topology()
    assert client.said() == []


# -- the end of the channel -----------------------------------------------------------------------


def test_its_close_waits_with_it(world: World, client: Client) -> None:
    client.send(Channel.Close(200, "bye", 0, 0))
    assert client.said() == []
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0", "Channel.CloseOk"]
    client.call(Channel.Open())
    nothing_waits(client)


def test_an_answer_that_is_an_error(world: World, client: Client) -> None:
    world.topology.failure = RuntimeError("no disc")
    client.publish("d", "m")
    world.settle_topology()
    assert client.said() == ["connection.close INTERNAL_ERROR"]


@pytest.mark.parametrize("opened_anew", [True, False])
def test_a_channel_that_times_out_while_it_waits(opened_anew: bool, world: World) -> None:
    """The late answer is nobody's, even if there is another channel of that number by then."""
    client = world.connect(channels=2)
    client.declare("q")
    client.consume("q")
    client.publish("q", "m")
    world.topology.slow = True
    client.send(Queue.Declare(queue="d", durable=True), Basic.Qos(0, 1))
    client.take()
    client.session.time_out(1, 1)
    world.end_turns()
    (closed,) = client.said()
    assert "delivery acknowledgement on channel 1 timed out" in closed
    nothing_waits(client)
    client.send(Channel.CloseOk())
    if opened_anew:
        client.call(Channel.Open())
        client.send(Queue.Declare(queue="e", durable=True), Basic.Qos(0, 1))
    first, *others = world.topology.waiting
    world.topology.waiting = others
    first()
    world.end_turns()
    assert client.said() == []
    world.settle_topology()
    assert client.said() == (["declare-ok e 0 0", "Basic.QosOk"] if opened_anew else [])
    nothing_waits(client)
    assert {"d", "q"} <= set(world.vhost.queues)  # what was asked is done all the same
