"""`mqd.broker.channel`: tags, acknowledgement, prefetch, modes and the channel's end."""

from __future__ import annotations

import pytest
from pamqp import frame

from tests.harness import Basic, Channel, Client, Confirm, Queue, Tx, World


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("q")
    return client


def fill(client: Client, count: int, first: int = 0) -> None:
    for index in range(first, first + count):
        client.publish("q", f"m{index}")


# -- delivery tags (AMQP 0-9-1 §1.8.3.13) ---------------------------------------------------------


def test_tags_count_per_channel(client: Client) -> None:
    fill(client, 4)
    client.consume("q", "c", channel=1)
    assert [got.method.delivery_tag for got in client.take()] == [1, 2, 3, 4]
    client.declare("r")
    client.publish("r", "x")
    got = client.get("r", channel=2)
    assert got is not None
    assert got.method.delivery_tag == 1
    client.publish("r", "y")
    got = client.get("r", channel=1, no_ack=True)
    assert got is not None
    assert got.method.delivery_tag == 5


@pytest.mark.parametrize(
    ("tag", "multiple", "left"),
    [
        (3, False, [1, 2, 4, 5]),
        (3, True, [4, 5]),
        (0, True, []),
        (5, True, []),
        (1, True, [2, 3, 4, 5]),
    ],
)
def test_ack(tag: int, multiple: bool, left: list[int], world: World, client: Client) -> None:
    fill(client, 5)
    client.consume()
    client.take()
    client.ack(tag, multiple=multiple)
    assert client.said() == []
    live = next(iter(world.broker.connections.values())).channels[1]
    assert list(live.unacked) == left
    assert world.queue().unacked_count == len(left)


@pytest.mark.parametrize("tag", [0, 3, 99])
@pytest.mark.parametrize("how", ["ack", "ack multiple", "nack", "nack multiple", "reject"])
def test_unknown_tags(tag: int, how: str, client: Client) -> None:
    """observed: 3.10.8; a multiple one has to name a tag that is out, unless it is 0."""
    if tag == 0 and "multiple" in how:
        return
    fill(client, 3)
    client.consume()
    client.take()
    client.ack(3)
    match how.split():
        case ["ack", *multiple]:
            client.ack(tag, multiple=bool(multiple))
        case ["nack", *multiple]:
            client.nack(tag, multiple=bool(multiple))
        case _:
            client.send(Basic.Reject(tag))
    closed = client.take()[-1]
    assert str(closed) == f"channel.close PRECONDITION_FAILED - unknown delivery tag {tag}"
    method = {"ack": 80, "nack": 120, "reject": 90}[how.split()[0]]
    assert (closed.method.class_id, closed.method.method_id) == (60, method)


def test_everything_so_far_may_be_nothing(client: Client) -> None:
    client.ack(0, multiple=True)
    client.nack(0, multiple=True)
    assert client.said() == []


def test_tags_are_of_one_channel(client: Client) -> None:
    fill(client, 1)
    client.consume("q", channel=1)
    client.take()
    client.ack(1, channel=2)
    assert client.said() == ["channel.close PRECONDITION_FAILED - unknown delivery tag 1"]


@pytest.mark.parametrize("requeue", [True, False])
def test_nack_and_reject(requeue: bool, world: World, client: Client) -> None:
    fill(client, 3)
    client.get()
    client.get()
    client.get()
    client.nack(2, multiple=True, requeue=requeue)
    client.send(Basic.Reject(3, requeue))
    assert world.queue().ready_count == (3 if requeue else 0)
    assert world.queue().unacked_count == 0


# -- recover --------------------------------------------------------------------------------------


RECOVER_ASYNC = b"\x01\0\x01\0\0\0\x05\0\x3c\0\x64\x01\xce"  # pamqp warns of it


@pytest.mark.parametrize("answered", [True, False])
def test_recover_hands_back_everything(answered: bool, client: Client) -> None:
    fill(client, 3)
    client.prefetch(2)
    client.consume()
    assert client.bodies() == ["m0", "m1"]
    client.feed(frame.marshal(Basic.Recover(True), 1) if answered else RECOVER_ASYNC)
    said = client.said()
    if answered:
        assert said.pop(0) == "Basic.RecoverOk"  # before what is delivered again, as 3.10.8
    assert said == ["deliver c 3 m0*", "deliver c 4 m1*"]


def test_recover_without_requeue_is_not_there(client: Client) -> None:
    client.send(Basic.Recover(False))
    assert client.said() == ["connection.close NOT_IMPLEMENTED - requeue=false"]


# -- prefetch (RabbitMQ: per consumer, or shared by the channel) -----------------------------------


def test_prefetch_is_of_each_consumer(client: Client) -> None:
    client.prefetch(2)
    client.consume("q", "a")
    client.consume("q", "b")
    fill(client, 6)
    assert len(client.bodies()) == 4
    client.ack(2, multiple=True)
    assert client.bodies() == ["m4", "m5"]


def test_prefetch_counts_for_consumers_started_later(client: Client) -> None:
    client.consume("q", "a")
    client.prefetch(1)
    fill(client, 3)
    assert len(client.bodies()) == 3


def test_a_lowered_prefetch_leaves_what_is_out(client: Client) -> None:
    client.prefetch(3)
    client.consume("q", "a")
    fill(client, 5)
    assert len(client.bodies()) == 3
    client.prefetch(1)
    client.ack(1)
    assert client.bodies() == ["m3"]  # the consumer has what it was started with


def test_prefetch_of_the_channel_is_shared(client: Client) -> None:
    client.prefetch(3, whole_channel=True)
    client.consume("q", "a")
    client.consume("q", "b")
    fill(client, 5)
    assert len(client.bodies()) == 3
    client.ack(1)
    assert client.bodies() == ["m3"]


def test_both_limits_hold(client: Client) -> None:
    client.prefetch(2)
    client.prefetch(3, whole_channel=True)
    client.consume("q", "a")
    fill(client, 2)
    assert len(client.bodies()) == 2
    client.consume("q", "b")
    fill(client, 3, 2)
    assert len(client.bodies()) == 1


def test_prefetch_of_the_channel_holds_at_once(client: Client) -> None:
    client.prefetch(1, whole_channel=True)
    client.consume("q", "a")
    fill(client, 4)
    assert client.bodies() == ["m0"]
    client.prefetch(3, whole_channel=True)
    assert client.bodies() == ["m1", "m2"]
    client.prefetch(0, whole_channel=True)
    assert client.bodies() == ["m3"]


def test_what_is_fetched_does_not_count(client: Client) -> None:
    fill(client, 3)
    client.get()
    client.get()
    client.prefetch(1, whole_channel=True)
    client.consume()
    assert client.bodies() == ["m2"]


def test_what_a_cancelled_consumer_holds_counts(client: Client) -> None:
    client.prefetch(1, whole_channel=True)
    client.consume("q", "a")
    fill(client, 2)
    client.call(Basic.Cancel("a"))
    client.consume("q", "b")
    assert client.bodies() == ["m0"]
    client.ack(1)
    assert client.bodies() == ["m1"]


def test_no_acks_no_limit(client: Client) -> None:
    client.prefetch(1)
    client.prefetch(1, whole_channel=True)
    client.consume("q", "a", no_ack=True)
    fill(client, 3)
    assert len(client.bodies()) == 3


def test_a_full_channel_stops_those_without_acks_too(client: Client) -> None:
    """observed: 3.10.8."""
    client.prefetch(1, whole_channel=True)
    client.consume("q", "a")
    fill(client, 1)
    client.consume("q", "b", no_ack=True)
    fill(client, 2, 1)
    assert client.bodies() == ["m0"]
    client.prefetch(0, whole_channel=True)
    assert client.bodies() == ["m1", "m2"]


def test_prefetch_of_consumers_ends_that_of_the_channel(client: Client) -> None:
    """observed: 3.10.8."""
    client.prefetch(1, whole_channel=True)
    client.consume("q", "a")
    fill(client, 3)
    assert client.bodies() == ["m0"]
    client.prefetch(5)
    assert client.bodies() == ["m1", "m2"]
    fill(client, 1, 3)
    assert client.bodies() == ["m3"]


def test_acks_in_a_transaction_make_room_at_commit(client: Client) -> None:
    client.call(Tx.Select())
    client.prefetch(1)
    client.prefetch(1, whole_channel=True)
    client.consume("q", "a")
    for index in range(3):
        client.publish("q", f"m{index}", channel=2)
    assert client.bodies() == ["m0"]
    client.ack(1)
    client.publish("q", "m3", channel=2)
    assert client.bodies() == []
    client.send(Tx.Commit())
    assert client.said() == ["Tx.CommitOk", "deliver a 2 m1"]


# -- modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "text"),
    [
        (Tx.Select(), Confirm.Select(), "cannot switch from tx to confirm mode"),
        (Confirm.Select(), Tx.Select(), "cannot switch from confirm to tx mode"),
        (Confirm.Select(), Tx.Commit(), "channel is not transactional"),
        (None, Tx.Rollback(), "channel is not transactional"),
    ],
)
def test_modes_exclude_each_other(
    first: Tx.Select | None, then: Tx.Select, text: str, client: Client
) -> None:
    if first is not None:
        client.call(first)
    client.send(then)
    assert client.said() == [f"channel.close PRECONDITION_FAILED - {text}"]


def test_select_twice_is_once(client: Client) -> None:
    client.call(Confirm.Select())
    client.publish("q", "m")
    client.call(Confirm.Select())
    client.publish("q", "m")
    assert client.said() == ["ack 1", "ack 2"]
    client.call(Tx.Select(), 2)
    client.publish("q", "m", channel=2)
    client.call(Tx.Select(), 2)
    client.call(Tx.Commit(), 2)
    assert client.get(channel=1) is not None


def test_confirms_of_several_channels(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    for channel in (1, 2):
        client.call(Confirm.Select(), channel)
        for _ in range(channel):
            client.publish("d", "m", mode=2, channel=channel)
    assert client.said() == []
    world.commit()
    assert sorted(f"{got.channel} {got}" for got in client.take()) == [
        "1 ack 1",
        "2 ack 2 multiple",
    ]


def test_commit_waits_for_the_disc_and_holds_the_rest(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    client.call(Tx.Select())
    client.publish("d", "m", mode=2)
    client.send(Tx.Commit())
    client.send(Queue.Declare(0, "other"))
    assert client.said() == []
    assert "other" not in world.vhost.queues
    world.commit()
    client.feed(b"")
    assert client.said() == ["Tx.CommitOk", "declare-ok other 0 0"]


def test_a_commit_is_forgotten_when_the_connection_goes(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    client.call(Tx.Select())
    client.publish("d", "m", mode=2)
    client.send(Tx.Commit())
    client.drop()
    world.commit()
    assert world.queue("d").ready_count == 1


def test_a_transaction_skips_queues_that_went(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    client.call(Tx.Select())
    client.publish("d", "m", mode=2)
    client.call(Queue.Delete(0, "d"), 2)
    client.call(Tx.Commit())
    assert world.store.kept == {}


def test_a_mandatory_publish_returns_at_commit(world: World, client: Client) -> None:
    client.call(Tx.Select())
    client.publish("nowhere", "m", mandatory=True)
    assert client.said() == []
    client.send(Tx.Commit())
    assert client.said() == ["return 312 m", "Tx.CommitOk"]


# -- the end --------------------------------------------------------------------------------------


def test_a_channel_that_closes_hands_back(world: World, client: Client) -> None:
    fill(client, 3)
    client.consume("q", "a")
    client.take()
    client.call(Channel.Close(200, "", 0, 0))
    assert client.said() == []
    assert (world.queue().ready_count, world.queue().unacked_count) == (3, 0)
    assert world.queue().consumers == []
    entry = next(iter(world.broker.connections.values()))
    assert list(entry.channels) == [2]


def test_its_messages_go_to_the_others_in_order(client: Client) -> None:
    fill(client, 3)
    client.consume("q", "a", channel=1)
    client.consume("q", "b", channel=2)
    client.take()
    client.call(Channel.Close(200, "", 0, 0))
    assert client.bodies() == ["m0*", "m1*", "m2*"]


def test_a_reopened_channel_starts_anew(client: Client) -> None:
    fill(client, 2)
    client.prefetch(1)
    client.call(Confirm.Select())
    client.consume("q", "a")
    client.call(Channel.Close(200, "", 0, 0))
    client.call(Channel.Open())
    client.take()
    client.consume("q", "a")
    assert client.said() == ["deliver a 1 m0*", "deliver a 2 m1"]
    client.publish("q", "m2")
    assert client.said() == ["deliver a 3 m2"]


def test_publishes_of_a_transaction_vanish_with_it(world: World, client: Client) -> None:
    client.call(Tx.Select())
    client.publish("q", "m")
    client.call(Channel.Close(200, "", 0, 0))
    assert world.queue().ready_count == 0


def test_acks_of_a_transaction_vanish_with_it(world: World, client: Client) -> None:
    fill(client, 1)
    client.call(Tx.Select())
    client.get()
    client.ack(1)
    client.drop()
    assert world.queue().ready_count == 1
