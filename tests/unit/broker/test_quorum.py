"""`mqd.broker.queues.quorum`: what a quorum queue does otherwise than a classic one.

Every rule here was observed on 3.10.8; tests/protocol holds the conversations.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.shards.messages import message
from tests.harness import Basic, Client, Confirm, Exchange, Got, Queue, World, small_pages

QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("dead")
    return client


def declare(client: Client, **arguments: Any) -> None:
    dashed = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    client.declare("q", durable=True, arguments=QUORUM | dashed)


def fill(client: Client, *bodies: str) -> None:
    for body in bodies:
        client.publish("q", body)


def count_of(got: Got | None) -> object:
    assert got is not None
    return (got.properties.headers or {}).get("x-delivery-count")


def rest(client: Client, queue: str = "q") -> list[str]:
    bodies = []
    while (got := client.get(queue)) is not None:
        bodies.append(got.body.decode() + "*" * got.method.redelivered)
    return bodies


def test_transient_messages_are_kept_and_confirmed_from_disc(world: World, client: Client) -> None:
    declare(client)
    client.call(Confirm.Select())
    client.publish("q", "m", mode=1)
    assert client.said() == []
    world.commit()
    assert client.said() == ["ack 1"]
    assert [m.body for m in world.store.kept[world.queue().definition.id].values()] == [b"m"]


def test_a_get_shows_how_often_a_message_came_back(client: Client) -> None:
    declare(client)
    client.publish("q", "m", headers={"a": "b"})
    for count in range(3):
        got = client.get()
        assert count_of(got) == count
        assert got is not None
        assert got.method.redelivered == (count > 0)
        assert list(got.properties.headers or ()) == ["a", "x-delivery-count"]
        client.nack(count + 1)


def test_a_delivery_shows_it_once_it_did(client: Client) -> None:
    declare(client)
    client.consume("q", "c")
    fill(client, "m")
    (first,) = client.take()
    client.nack(1)
    (second,) = client.take()
    assert (count_of(first), first.method.redelivered) == (None, False)
    assert (count_of(second), second.method.redelivered) == (1, True)


def test_without_a_limit_what_comes_back_waits_at_the_end(client: Client) -> None:
    declare(client)
    fill(client, "a", "b", "c")
    for _ in range(2):
        client.get()
    client.nack(2)
    client.nack(1)
    assert rest(client) == ["c", "b*", "a*"]


def test_with_a_limit_it_waits_in_front_in_the_order_it_came_back(client: Client) -> None:
    declare(client, delivery_limit=5)
    fill(client, "a", "b", "c")
    for _ in range(2):
        client.get()
    client.nack(2)
    client.nack(1)
    assert rest(client) == ["b*", "a*", "c"]


def test_what_a_lost_channel_held_waits_in_front(world: World, client: Client) -> None:
    declare(client)
    fill(client, "a", "b", "c")
    other = world.connect()
    other.get("q")
    other.drop()
    assert rest(client) == ["a*", "b", "c"]


@pytest.mark.parametrize("limit", [0, 2])
def test_a_message_that_came_back_too_often_is_dead(
    world: World, client: Client, limit: int
) -> None:
    declare(client, delivery_limit=limit, dead_letter_exchange="", dead_letter_routing_key="dead")
    fill(client, "m")
    for tag in range(1, limit + 2):
        assert client.get() is not None
        client.nack(tag)
    assert client.get() is None
    got = client.get("dead")
    assert got is not None
    assert got.properties.headers["x-death"][0]["reason"] == "delivery_limit"
    assert "x-delivery-count" not in got.properties.headers
    world.commit()
    assert not world.store.kept.get(world.queue().definition.id)
    assert not world.store.counts


def test_it_refuses_late_and_takes_again_late(client: Client) -> None:
    declare(client, max_length=10, overflow="reject-publish")
    client.call(Confirm.Select())
    client.publish("q", "0")
    for _ in range(13):
        client.publish("q", "m")
    assert client.said() == ["Basic.Nack"] * 3

    def takes() -> bool:
        client.publish("q", "m")
        return client.said() == []

    taken = []
    for _ in range(4):
        client.get(no_ack=True)
        taken.append(takes())
    assert taken == [False, False, True, True]


def test_exclusive_consumers_are_not_alone(client: Client) -> None:
    declare(client)
    client.consume("q", "a", exclusive=True)
    client.consume("q", "b", exclusive=True)
    fill(client, "1", "2")
    assert client.said() == ["deliver a 1 1", "deliver b 2 2"]


def test_a_single_active_consumer_leaves_nothing_to_get(client: Client) -> None:
    declare(client, single_active_consumer=True)
    client.send(Basic.Get(0, "q"))
    assert client.said() == [
        "channel.close RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. "
        "basic.get operations are not supported by quorum queues with single active consumer"
    ]


def test_a_channel_with_a_prefetch_of_its_own_cannot_consume(client: Client) -> None:
    declare(client)
    client.prefetch(2, whole_channel=True)
    client.send(Basic.Consume(0, "q", "c"))
    assert client.said() == [
        "connection.close NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"
    ]


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_it_is_deleted_without_conditions(client: Client, flag: str) -> None:
    declare(client)
    client.send(Queue.Delete(0, "q", **{flag: True}))
    assert client.said() == [
        "connection.close NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete "
        f"operations with {flag.replace('_', '-')} flag set are not supported by quorum queues"
    ]


def owing(client: Client) -> None:
    declare(
        client,
        dead_letter_strategy="at-least-once",
        overflow="reject-publish",
        dead_letter_exchange="later",
        dead_letter_routing_key="k",
    )
    fill(client, "m")
    client.get()
    client.nack(1, requeue=False)


def test_a_dead_letter_that_is_owed_waits_for_its_queue(world: World, client: Client) -> None:
    owing(client)
    world.commit()
    source = world.queue().definition.id
    assert len(world.store.kept[source]) == 1
    client.declare("late", durable=True)
    client.call(_exchange("later"))
    client.bind("late", "later", "k")
    assert client.get("late") is None
    world.tick(1000)
    assert rest(client, "late") == ["m"]
    assert len(world.store.kept[source]) == 1, "kept until the other is on disc"
    world.commit()
    assert not world.store.kept.get(source)


def test_a_dead_letter_that_is_owed_waits_for_room(world: World, client: Client) -> None:
    client.declare("late", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    client.call(_exchange("later"))
    client.bind("late", "later", "k")
    owing(client)
    client.call(Queue.Delete(0, "late"))
    client.declare("late")
    client.bind("late", "later", "k")
    world.tick(1000)
    assert rest(client, "late") == ["m"]


def test_dead_letters_that_are_owed_leave_memory(client: Client, world: World) -> None:
    world.broker.settings = world.vhost.settings = small_pages(queue_memory_bytes_max=20_000)
    owing(client)
    bodies = [f"{number}".rjust(1000, ".") for number in range(100)]
    fill(client, *bodies)
    world.commit()
    client.consume("q", "c")
    client.take()
    client.nack(0, multiple=True, requeue=False)
    for _ in range(3):
        world.tick(1000)
    owed = world.queue()._owed
    assert len(owed) == 101
    assert sum(len(message.content) for message, *_ in owed) < 50_000
    client.declare("late", durable=True)
    client.call(_exchange("later"))
    client.bind("late", "later", "k")
    world.tick(1000)
    assert sorted(rest(client, "late")) == sorted([*bodies, "m"])


def between_two(client: Client) -> None:
    """A dead letter that is owed to two queues, one of which has no room."""
    client.call(_exchange("later"))
    client.declare("has room", durable=True)
    client.declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    for name in ("has room", "full"):
        client.bind(name, "later", "k")
    owing(client)


def test_who_has_a_dead_letter_is_not_sent_it_again(world: World, client: Client) -> None:
    between_two(client)
    world.tick(1000)
    world.tick(1000)
    client.call(Queue.Delete(0, "full"))
    client.declare("full")
    client.bind("full", "later", "k")
    world.tick(1000)
    assert (rest(client, "has room"), rest(client, "full")) == (["m"], ["m"])
    world.commit()
    assert not world.store.kept[world.queue().definition.id]


def test_nothing_is_owed_to_who_is_no_longer_bound(world: World, client: Client) -> None:
    """One queue has it, and there is nobody else (observed: 3.10.8)."""
    between_two(client)
    client.call(Queue.Unbind(0, "full", "later", "k"))
    world.tick(1000)
    source, target = (world.queue(name).definition.id for name in ("q", "has room"))
    assert len(world.store.kept[source]) == 1, "not yet on disc"
    world.commit()
    assert [len(world.store.kept.get(one, ())) for one in (source, target)] == [0, 1]


@pytest.mark.parametrize("limit", [{"max_length": 1}, {"max_length_bytes": 1}])
def test_what_is_owed_takes_room(client: Client, limit: dict[str, int]) -> None:
    declare(
        client,
        dead_letter_strategy="at-least-once",
        overflow="reject-publish",
        dead_letter_exchange="nowhere",
        **limit,
    )
    for tag in (1, 2):
        client.publish("q", "m")
        client.get()
        client.nack(tag, requeue=False)
    client.call(Confirm.Select())
    client.publish("q", "m")
    assert client.said() == ["Basic.Nack"]


def test_a_queue_that_is_deleted_owes_nothing(world: World, client: Client) -> None:
    owing(client)
    client.call(Queue.Delete(0, "q"))
    world.tick(2000)
    assert not world.broker.timed
    assert not any(world.store.kept.values())


def _exchange(name: str) -> Any:
    return Exchange.Declare(0, name, durable=True)


def test_a_message_of_another_node_is_taken_once_and_says_how_often_it_came_back(
    world: World, client: Client
) -> None:
    declare(client)
    queue = world.vhost.queues["q"]
    for number, returns in ((1, 3), (2, 0), (1, 3), (2, 0)):
        taken = message(b"m%d" % number)
        queue.publish_once(b"origin", number, taken.names, taken.content, True, returns)
    got = client.get("q")
    assert got is not None
    assert (got.body, got.method.redelivered, count_of(got)) == (b"m1", True, 3)
    got = client.get("q")
    assert got is not None
    assert (got.body, got.method.redelivered) == (b"m2", False)
    assert client.get("q") is None
