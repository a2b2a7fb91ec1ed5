"""What stops the reading of a connection: an answer on its way, an alarm, a peer that reads not."""

from __future__ import annotations

import pytest

from mqd import limits
from mqd.transport.gate import ALARM, FLOW, PEER, Gate
from tests.harness import Basic, Client, Queue, World, published

_BODY = b"x" * 100_000
_A_TURNS_SHARE = limits.ANSWER_BYTES_MAX // len(_BODY) + 1


def asking(world: World, count: int) -> Client:
    """A client that asks for so many messages in one read, with a question behind them."""
    client = world.connect()
    client.declare("q")
    for _ in range(count):
        client.feed(published("q", _BODY))
    client.hold_turns = True
    client.send(*[Basic.Get(queue="q")] * count, Queue.Declare(queue="q", passive=True))
    return client


def answers(client: Client) -> list[str]:
    return [got.name for got in client.take()]


def test_reasons_end_one_by_one() -> None:
    client = World().connect()
    transport = client.transport
    gate = Gate(client.session.connection, transport)
    for reason in (FLOW, ALARM, PEER):
        gate.shut(reason)
    gate.open(ALARM)
    assert gate.is_shut(PEER)
    assert not gate.is_shut(ALARM)
    gate.open(PEER)
    assert client.session.connection.paused
    assert not transport.reading
    gate.open(FLOW)
    assert not client.session.connection.paused
    assert transport.reading


@pytest.fixture
def waiting() -> Client:
    """Its declare is on its way to the disc."""
    world = World()
    client = world.connect()
    world.topology.slow = True
    client.send(Queue.Declare(queue="d", durable=True))
    return client


def test_who_goes_while_an_answer_is_awaited_is_gone(waiting: Client) -> None:
    assert waiting.transport.reading
    assert not waiting.session.eof_received()
    waiting.drop()
    assert not waiting.world.broker.connections
    waiting.world.settle_topology()


def test_what_it_sent_before_is_handled_first(waiting: Client) -> None:
    waiting.feed(published("d", "m"))
    assert waiting.session.eof_received()
    assert not waiting.transport.closing
    waiting.world.settle_topology()
    assert waiting.world.queue("d").ready_count == 1
    assert waiting.transport.closing


def test_only_so_much_waits_behind_an_answer(waiting: Client) -> None:
    count = limits.KEPT_BYTES_MAX // 20_000 + 2
    for _ in range(count):
        waiting.feed(published("d", b"x" * 20_000))
    assert not waiting.transport.reading
    assert waiting.unread
    waiting.world.settle_topology()
    waiting.feed(b"")
    assert waiting.transport.reading
    assert waiting.world.queue("d").ready_count == count


def test_large_answers_are_sent_before_more_are_asked_for() -> None:
    world = World()
    client = asking(world, 100)
    assert not client.transport.reading
    assert sum(map(len, client.session.outlet.frames)) < limits.ANSWER_BYTES_MAX + 2 * len(_BODY)
    world.end_turns()
    assert answers(client) == ["Basic.GetOk"] * 100 + ["Queue.DeclareOk"]
    assert client.transport.reading


def test_a_peer_that_does_not_read_is_answered_later() -> None:
    world = World()
    client = asking(world, 100)
    client.congest()
    world.end_turns()
    assert answers(client) == ["Basic.GetOk"] * _A_TURNS_SHARE
    assert not client.transport.reading
    client.relieve()
    world.end_turns()
    assert answers(client) == ["Basic.GetOk"] * (100 - _A_TURNS_SHARE) + ["Queue.DeclareOk"]


def test_small_answers_stop_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WRITE_STOP_BYTES", 10_000)
    client = World().connect()
    client.congest()
    for _ in range(1000):
        client.send(Queue.Declare(queue="q"))
    assert not client.transport.reading
    assert len(client.transport.written) < 10_100
    assert client.unread
    answered = len(answers(client))
    client.relieve()
    client.feed(b"")  # what it had sent meanwhile
    assert answered + len(answers(client)) == 1000


def test_an_alarm_that_ends_does_not_open_for_a_peer_that_does_not_read() -> None:
    world = World()
    client = asking(world, 100)
    client.congest()
    world.end_turns()
    client.take()
    world.broker.set_alarm("memory", True)
    world.broker.set_alarm("memory", False)
    world.end_turns()
    assert not client.transport.reading
    assert client.take() == []


def test_what_is_lost_is_not_opened() -> None:
    world = World()
    client = asking(world, 100)
    client.drop()
    world.end_turns()
    assert not world.broker.connections
    assert world.queue().ready_count == 100


def test_an_operator_closes_a_connection_that_is_shut() -> None:
    world = World()
    client = asking(world, 100)
    client.congest()
    world.end_turns()
    client.take()
    (entry,) = world.broker.connections.values()
    entry.close(320, "CONNECTION_FORCED - enough")
    assert answers(client) == ["Connection.Close"]
    assert client.transport.reading
