"""`mqd.broker.queues.classic`: who gets which message when, and what the store is told.

Any order of events is tests/property/test_queue_machine.py's; here stand the single rules, and the
failures it found.
"""

from __future__ import annotations

import pytest

from mqd.broker.queues import ordered
from tests.harness import Basic, Channel, Client, Queue, Tx, World, small_pages


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    """With channels 1 and 2, and the transient queue q."""
    client = world.connect(channels=2)
    client.declare("q")
    return client


def fill(client: Client, count: int, queue: str = "q", mode: int = 1) -> None:
    for index in range(count):
        client.publish(queue, f"m{index}", mode=mode)


# -- order ----------------------------------------------------------------------------------------


def test_a_message_that_finds_a_consumer_never_waits(world: World, client: Client) -> None:
    client.consume("q", "c")
    fill(client, 2)
    assert client.said() == ["deliver c 1 m0", "deliver c 2 m1"]
    assert (world.queue().ready_count, world.queue().unacked_count) == (0, 2)


def test_a_backlog_is_served_in_order(world: World, client: Client) -> None:
    fill(client, 3)
    client.consume("q", "c", no_ack=True)
    assert client.bodies() == ["m0", "m1", "m2"]
    assert (world.queue().ready_count, world.queue().unacked_count) == (0, 0)


def test_what_is_handed_back_goes_where_it_was(client: Client) -> None:
    fill(client, 4)
    for _ in range(3):
        client.get()
    client.nack(2)
    client.nack(1)
    assert [str(client.get()) for _ in range(3)] == [
        "got 4 m0* left 2",
        "got 5 m1* left 1",
        "got 6 m3 left 0",
    ]


def test_a_dropped_connection_hands_back_in_order(world: World, client: Client) -> None:
    fill(client, 3)
    other = world.connect()
    other.prefetch(2)
    other.consume("q", "d")
    other.drop()
    client.consume("q", "c")
    assert client.bodies() == ["m0*", "m1*", "m2"]


# -- whose turn it is -----------------------------------------------------------------------------


def test_consumers_take_turns(client: Client) -> None:
    for tag in "abc":
        client.consume("q", tag, no_ack=True)
    fill(client, 7)
    tags = [got.method.consumer_tag for got in client.take()]
    assert tags == ["a", "b", "c", "a", "b", "c", "a"]


def test_a_full_consumer_is_passed_over_and_comes_back_last(client: Client) -> None:
    client.prefetch(1)
    client.consume("q", "a")
    client.prefetch(0)
    client.consume("q", "b")
    client.consume("q", "c")
    fill(client, 4)
    assert [got.method.consumer_tag for got in client.take()] == ["a", "b", "c", "b"]
    client.ack(1)
    fill(client, 3)
    assert [got.method.consumer_tag for got in client.take()] == ["c", "b", "a"]


def test_a_higher_priority_goes_first(client: Client) -> None:
    client.consume("q", "low", arguments={"x-priority": -1})
    client.consume("q", "mid")
    client.prefetch(2)
    client.consume("q", "high", arguments={"x-priority": 10})
    fill(client, 4)
    tags = [got.method.consumer_tag for got in client.take()]
    assert tags == ["high", "high", "mid", "mid"]
    client.ack(1)
    fill(client, 1)
    assert [got.method.consumer_tag for got in client.take()] == ["high"]


def test_equal_priorities_take_turns(client: Client) -> None:
    for tag in "abc":
        client.consume("q", tag, arguments={"x-priority": 5})
    client.consume("q", "d")
    fill(client, 5)
    assert [got.method.consumer_tag for got in client.take()] == ["a", "b", "c", "a", "b"]


# -- congestion -----------------------------------------------------------------------------------


def test_a_congested_connection_is_offered_nothing(world: World, client: Client) -> None:
    slow = world.connect()
    slow.consume("q", "slow")
    client.consume("q", "quick")
    slow.congest()
    fill(client, 3)
    assert slow.said() == []
    assert client.bodies() == ["m0", "m1", "m2"]
    slow.relieve()
    fill(client, 2)
    assert len(slow.bodies()) == 1
    assert len(client.bodies()) == 1


def test_a_backlog_waits_for_a_congested_connection(world: World, client: Client) -> None:
    slow = world.connect()
    slow.consume("q", "slow")
    slow.congest()
    fill(client, 3)
    assert world.queue().ready_count == 3
    slow.relieve()
    assert slow.bodies() == ["m0", "m1", "m2"]


def test_who_acks_while_congested_is_served_when_that_ends(world: World, client: Client) -> None:
    """Found by the state machine: it left the ring for good."""
    slow = world.connect()
    slow.prefetch(1)
    slow.consume("q", "slow")
    fill(client, 2)
    assert slow.bodies() == ["m0"]
    slow.congest()
    slow.ack(1)
    assert slow.bodies() == []
    slow.relieve()
    assert slow.bodies() == ["m1"]


def test_who_is_cancelled_while_congested_stays_away(world: World, client: Client) -> None:
    slow = world.connect()
    slow.consume("q", "slow")
    slow.congest()
    fill(client, 1)
    slow.call(Basic.Cancel("slow"))
    slow.relieve()
    assert slow.said() == []
    assert world.queue().ready_count == 1


# -- a turn's share -------------------------------------------------------------------------------


def test_a_long_backlog_is_drained_in_turns(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "_DRAIN_MESSAGES_MAX", 4)
    fill(client, 10)
    client.hold_turns = True
    client.send(Basic.Consume(0, "q", "c", no_ack=True))
    world.turn.end()
    assert len(client.bodies()) == 4
    client.publish("q", "late")
    world.turn.run()
    assert client.bodies() == ["m4", "m5", "m6", "m7"]
    world.turn.run()
    assert client.bodies() == ["m8", "m9", "late"]
    assert world.turn.later == []


def test_large_messages_are_drained_in_turns_too(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "_DRAIN_BYTES_MAX", 2000)
    for _ in range(5):
        client.publish("q", "x" * 900)
    client.hold_turns = True
    client.send(Basic.Consume(0, "q", "c", no_ack=True))
    world.turn.end()
    assert len(client.bodies()) == 3
    world.turn.run()
    assert len(client.bodies()) == 2


def test_a_deleted_queue_drains_no_more(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "_DRAIN_MESSAGES_MAX", 1)
    fill(client, 3)
    client.hold_turns = True
    client.send(Basic.Consume(0, "q", "c", no_ack=True))
    client.send(Queue.Delete(0, "q"))
    world.end_turns()
    assert client.bodies() == ["m0"]


# -- what survives --------------------------------------------------------------------------------


def stored(world: World, queue: str = "d") -> list[str]:
    """Bodies the store has of a queue."""
    kept = world.store.kept.get(world.queue(queue).definition.id, {})
    return [message.body.decode() for message in kept.values()]


def test_persistent_messages_of_a_durable_queue_are_stored(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    client.publish("d", "p", mode=2)
    client.publish("d", "t", mode=1)
    client.publish("d", "t")
    client.publish("q", "p", mode=2)
    assert stored(world) == ["p"]
    assert list(world.store.kept) == [world.queue("d").definition.id]


@pytest.mark.parametrize("how", ["ack", "reject", "get", "purge", "delete", "deliver"])
def test_what_is_done_with_leaves_the_store(how: str, world: World, client: Client) -> None:
    client.declare("d", durable=True)
    fill(client, 1, "d", mode=2)
    assert stored(world) == ["m0"]
    match how:
        case "ack":
            client.get("d")
            assert stored(world) == ["m0"]
            client.ack(1)
        case "reject":
            client.get("d")
            client.nack(1, requeue=False)
        case "get":
            client.get("d", no_ack=True)
        case "purge":
            client.call(Queue.Purge(0, "d"))
        case "delete":
            client.call(Queue.Delete(0, "d"))
            client.declare("d", durable=True)
        case _:
            client.consume("d", no_ack=True)
    assert stored(world) == []
    assert not any(world.store.kept.values())


def test_what_is_delivered_without_acks_is_never_stored(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    client.consume("d", no_ack=True)
    fill(client, 1, "d", mode=2)
    assert world.store.kept == {}


def test_a_purge_keeps_what_is_delivered(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    client.call(Tx.Select(), 2)
    fill(client, 5, "d", mode=2)
    client.get("d")
    client.get("d", channel=2)
    client.get("d", channel=2)
    client.ack(1, channel=2)  # in a transaction, not committed
    assert client.call(Queue.Purge(0, "d")).message_count == 2
    assert sorted(stored(world)) == ["m0", "m1", "m2"]


def test_a_purge_keeps_what_a_commit_hands_back_in_the_same_turn(
    world: World, client: Client
) -> None:
    client.declare("d", durable=True)
    client.call(Tx.Select())
    client.publish("d", "m", mode=2, channel=2)
    world.commit()
    client.get("d")
    client.nack(1)
    client.hold_turns = True
    client.send(Tx.Commit())
    client.send(Queue.Purge(0, "d"), channel=2)
    world.end_turns()
    assert client.said() == ["Tx.CommitOk", "purge-ok 0"]
    assert world.queue("d").ready_count == 1
    assert stored(world) == ["m"]


def test_an_exclusive_queue_is_never_stored(world: World, client: Client) -> None:
    client.declare("x", durable=True, exclusive=True)
    fill(client, 1, "x", mode=2)
    assert world.store.kept == {}


def test_a_backlog_goes_through_pages(world: World) -> None:
    world = World(small_pages(), commit_at_once=False)
    client = world.connect()
    client.declare("d", durable=True)
    world.commit()
    for index in range(5000):
        client.publish("d", str(index), mode=2)
        if index % 1000 == 0:
            world.commit()
    world.commit()
    assert world.spool.pages
    assert len(stored(world)) == 5000
    client.consume("d", "c")
    assert client.bodies() == [str(index) for index in range(5000)]
    client.ack(5000, multiple=True)
    assert stored(world) == []
    assert world.spool.pages == {}


# -- found by the state machine -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lost", "closed"])
def test_a_connection_that_ends_gives_to_none_of_its_own(
    how: str, world: World, client: Client
) -> None:
    """A sibling channel without acks was given what came back, and lost it."""
    other = world.connect(channels=2)
    other.prefetch(1, channel=1)
    other.consume("q", "acks", channel=1)
    fill(client, 1)
    other.consume("q", "none", channel=2, no_ack=True)
    if how == "lost":
        other.drop()
    else:
        other.send(Channel.Close(200, "", 0, 0), channel=2)
        other.drop()
    assert str(client.get()) == "got 1 m0* left 0"


def test_global_prefetch_goes_round_the_queues(world: World, client: Client) -> None:
    """The queue whose message was acknowledged took the room again, for ever."""
    client.declare("r")
    fill(client, 10, "q")
    fill(client, 10, "r")
    client.prefetch(1, whole_channel=True)
    client.consume("q", "cq")
    client.consume("r", "cr")
    served = []
    for tag in range(1, 9):
        (got,) = client.take()
        assert got.method.delivery_tag == tag
        served.append(got.method.consumer_tag)
        client.ack(tag)
    assert served[2:] in (["cq", "cr"] * 3, ["cr", "cq"] * 3)
