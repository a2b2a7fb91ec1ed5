"""`mqd.transport.session`: deadlines, heartbeats, holding, the socket's end, faults of ours.

Over a transport in memory; real sockets are test_listener.py's.
"""

from __future__ import annotations

import logging

import pytest
from pamqp import frame
from pamqp.header import ProtocolHeader

from mqd import limits
from mqd.broker.channel import Channel as BrokerChannel
from mqd.broker.settings import Settings
from mqd.broker.snapshots import CONNECTION
from tests.harness import (
    Basic,
    Channel,
    Client,
    Connection,
    Queue,
    World,
    published,
)

HEADER = ProtocolHeader(0, 9, 1).marshal()
CLOSE_OK = frame.marshal(Connection.CloseOk(), 0)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect()
    client.declare("q")
    return client


# -- deadlines and heartbeats ---------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", HEADER[:5], HEADER])
def test_a_handshake_that_stands_still(
    sent: bytes, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.raw()
    client.feed(sent)
    world.tick(9_900)
    assert not client.transport.closing
    world.tick(200)
    assert client.transport.aborted
    assert "handshake_timeout" in caplog.text


def test_a_running_connection_has_no_deadline(world: World, client: Client) -> None:
    world.tick(100_000)
    assert not client.transport.closing


def test_without_a_heartbeat_silence_means_nothing(world: World, client: Client) -> None:
    """The client's value is used as it is, and it said zero."""
    client.take()
    for _ in range(5):
        world.tick(100_000)
    assert not client.transport.closing
    assert not client.take()


def test_heartbeats_are_sent_where_nothing_else_is(world: World) -> None:
    client = world.connect(heartbeat=10)
    client.declare("q")
    for _ in range(3):
        world.tick(4000)
        client.feed(b"\x08\0\0\0\0\0\0\xce")
    names = [got.name for got in client.take()]
    assert names == ["Heartbeat"]
    client.consume("q", "c", no_ack=True)
    for _ in range(5):
        client.publish("q", "m")
        world.tick(4000)
    assert {got.name for got in client.take()} == {"Basic.Deliver"}


def test_who_is_silent_for_two_intervals_is_dropped(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.connect(heartbeat=10)
    world.tick(500)
    world.tick(19_900)
    assert not client.transport.closing
    world.tick(200)
    assert client.transport.aborted
    assert "missed heartbeats from client, timeout: 10s" in caplog.text


def test_who_is_held_is_not_expected_to_speak(world: World) -> None:
    client = world.connect(heartbeat=10)
    world.broker.set_alarm("memory", True)
    client.publish("q", "m")
    for _ in range(10):
        world.tick(9000)
    assert not client.transport.closing
    world.broker.set_alarm("memory", False)
    world.tick(500)
    assert not client.transport.closing
    for _ in range(3):
        world.tick(9000)
    assert client.transport.aborted


@pytest.mark.parametrize(("heartbeat", "seconds"), [(0, 30), (5, 5), (60, 30)])
@pytest.mark.parametrize("how", ["an operator", "a fault"])
def test_who_never_answers_close(how: str, heartbeat: int, seconds: int, world: World) -> None:
    """It has as long as one that closes has for hanging up (observed: 3.10.8)."""
    client = world.connect(heartbeat=heartbeat)
    if how == "an operator":
        next(iter(world.broker.connections.values())).close(320, "bye")
    else:
        client.send(Basic.Qos(prefetch_size=1))
    assert [got.name for got in client.take()] == ["Connection.Close"]
    world.tick(1000 * seconds - 100)
    assert not client.transport.closing
    world.tick(200)
    assert client.transport.aborted


@pytest.mark.parametrize("how", ["an operator", "a fault"])
def test_one_that_was_told_to_close_is_listed_as_closed(
    world: World, client: Client, how: str
) -> None:
    """Until it answers, whatever alarms come and go meanwhile (observed: 3.10.8)."""
    (entry,) = world.broker.connections.values()
    state = CONNECTION["state"]
    assert state(entry) == "running"
    if how == "an operator":
        entry.close(320, "bye")
    else:
        client.send(Basic.Qos(prefetch_size=1))
    assert (state(entry), CONNECTION["channels"](entry)) == ("closed", 0)
    world.broker.set_alarm("memory", True)
    world.broker.set_alarm("memory", False)
    assert state(entry) == "closed"
    client.feed(CLOSE_OK)
    assert not world.broker.connections


# -- reading and writing --------------------------------------------------------------------------


def test_a_read_is_bounded_and_grows_for_large_bodies(world: World, client: Client) -> None:
    small = world.settings.read_bytes_max
    assert client.transport.max_size == small
    data = published("q", b"x" * 100_000)
    client.feed(data[:50_000])
    assert client.transport.max_size == limits.READ_LARGE_BYTES_MAX
    client.feed(data[50_000:])
    assert client.transport.max_size == small


def test_what_is_written_is_bounded(client: Client) -> None:
    assert client.transport.limits == (
        limits.WRITE_HIGH_WATER_BYTES,
        limits.WRITE_LOW_WATER_BYTES,
    )


def test_one_write_a_turn(client: Client) -> None:
    client.consume("q", "c", no_ack=True)
    before = client.transport.writes
    client.feed(published("q", "a") + published("q", "b") + published("q", "c"))
    assert client.transport.writes == before + 1
    assert client.bodies() == ["a", "b", "c"]


def test_large_bodies_go_out_uncopied(client: Client) -> None:
    client.consume("q", "c", no_ack=True)
    body = b"x" * (2 * limits.READ_BYTES_MAX)
    client.publish("q", body)
    (got,) = client.take()
    assert got.body == body


def test_counts(world: World, client: Client) -> None:
    (entry,) = world.broker.connections.values()
    before = entry.peer.counts()
    client.send(Basic.Qos(0, 1))
    after = entry.peer.counts()
    assert after[0] - before[0] == len(frame.marshal(Basic.Qos(0, 1), 1))
    assert after[1] - before[1] == 1
    assert after[2] - before[2] == len(frame.marshal(Basic.QosOk(), 1))
    assert after[3] - before[3] == 1


# -- the end --------------------------------------------------------------------------------------


def test_the_peer_closes_and_hangs_up(world: World, client: Client) -> None:
    client.declare("mine", exclusive=True)
    client.send(Connection.Close(200, "", 0, 0), channel=0)
    assert client.said() == ["Connection.CloseOk"]
    assert world.broker.connections == {}
    assert list(world.vhost.queues) == ["q"]
    assert not client.transport.closing  # it is the peer's to hang up
    client.drop()
    assert world.listener.sessions == set()


def test_a_peer_that_closes_and_stays_is_hung_up_on(world: World, client: Client) -> None:
    client.send(Connection.Close(200, "", 0, 0), channel=0)
    world.tick(60_000)
    assert client.transport.closing


def test_another_protocol_is_hung_up_on(world: World) -> None:
    client = world.raw()
    client.feed(b"GET / HTTP/1.1\r\n\r\n")
    assert client.raw_output() == b"AMQP\0\0\x09\x01"
    assert client.transport.closing
    assert client.lost


def test_close_before_it_runs(world: World) -> None:
    client = world.raw()
    client.feed(HEADER)
    from mqd.amqp.replies import ConnectionError_, ReplyCode

    client.session.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "bye"))
    assert client.transport.closing


def test_a_lost_socket_is_logged(
    world: World, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.drop(ConnectionResetError("reset"))
    assert "client unexpectedly closed TCP connection" in caplog.text
    assert world.broker.connections == {}


def test_nothing_is_written_to_a_lost_socket(world: World, client: Client) -> None:
    client.consume("q", "c", no_ack=True)
    other = world.connect()
    client.hold_turns = True
    client.feed(published("q", "m"))
    client.lost = True
    client.transport.closing = True
    client.session.connection_lost(None)
    world.end_turns()
    other.publish("q", "n")
    assert client.transport.written == b"" or b"n\xce" not in client.transport.written


# -- faults of ours -------------------------------------------------------------------------------


def test_a_fault_of_ours_costs_one_connection(
    world: World,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = world.connect()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(BrokerChannel, "ack", broken)
    client.ack(1)
    assert client.said() == ["connection.close INTERNAL_ERROR"]
    assert "a bug" in caplog.text
    client.feed(CLOSE_OK)
    assert client.transport.closing
    monkeypatch.undo()
    other.call(Channel.Open(), 2)


def test_a_fault_behind_an_answer_is_caught_too(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    world.topology.slow = True
    client.send(Queue.Declare(0, "d", durable=True), Basic.Ack(1))
    monkeypatch.setattr(BrokerChannel, "ack", broken)
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0", "connection.close INTERNAL_ERROR"]


# -- holding --------------------------------------------------------------------------------------


def test_what_was_read_waits_while_held(world: World, client: Client) -> None:
    """Everything behind the publish that met the alarm, and its content."""
    world.broker.set_alarm("disk", True)
    client.feed(published("q", "m") + frame.marshal(Basic.Qos(0, 1), 1))
    assert client.said() == ["Connection.Blocked"]
    assert world.queue().ready_count == 0
    world.broker.set_alarm("disk", False)
    world.end_turns()
    assert client.said() == ["Connection.Unblocked", "Basic.QosOk"]
    assert world.queue().ready_count == 1


def test_an_operator_may_close_who_is_held(world: World, client: Client) -> None:
    world.broker.set_alarm("disk", True)
    client.publish("q", "m")
    client.take()
    next(iter(world.broker.connections.values())).close(320, "bye")
    assert client.said() == ["connection.close CONNECTION_FORCED - bye"]
    client.feed(CLOSE_OK)
    assert client.lost


def test_limits_of_the_node_are_offered() -> None:
    world = World(Settings(channel_max=7, frame_bytes_max=8192, heartbeat_s=5))
    client = world.raw()
    client.feed(HEADER)
    client.feed(client.start_ok("\0guest\0guest"))
    tune = client.take()[1].method
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (7, 8192, 5)


def test_update_secret(client: Client) -> None:
    client.send(Connection.UpdateSecret("new", "token"), channel=0)
    assert client.said() == ["Connection.UpdateSecretOk"]
