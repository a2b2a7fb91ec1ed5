"""`mqd.broker.expiry` and what the classic queue makes of it: a clock moved by hand."""

from __future__ import annotations

import pytest

from mqd.amqp import properties
from mqd.amqp.properties import Properties
from mqd.broker import expiry
from mqd.broker.message import Message, content_of, names_of
from tests.harness import Basic, Client, World


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    return world.connect(channels=2)


def message(expiration: str | None = None) -> Message:
    header = properties.encode(Properties(expiration=expiration), 1)
    return Message(names_of("", "q"), content_of(header, b"m", 1, 4096))


@pytest.mark.parametrize(
    ("queue_ttl_ms", "expiration", "until_ms"),
    [(None, None, 0), (50, None, 150), (None, "30", 130), (50, "30", 130), (50, "70", 150)],
)
def test_the_lesser_time_to_live_counts(
    queue_ttl_ms: int | None, expiration: str | None, until_ms: int
) -> None:
    made = message(expiration)
    expiry.stamp(made, queue_ttl_ms, 100)
    assert made.expires_ms == until_ms
    assert expiry.has_expiration(made.content) == (expiration is not None)


@pytest.mark.parametrize(
    ("kept_ms", "until_ms"),
    [
        (0, 150),  # nothing was kept: it begins anew
        (120, 120),
        (1, 1),  # over while the node was down
        (9_999, 150),  # the wall clock was set back
    ],
)
def test_a_time_to_live_goes_on_after_a_restart(kept_ms: int, until_ms: int) -> None:
    made = message("50")
    made.expires_ms = kept_ms
    expiry.restamp(made, None, 100)
    assert made.expires_ms == until_ms


def test_an_expired_message_is_neither_counted_nor_delivered(world: World, client: Client) -> None:
    client.declare("q", arguments={"x-message-ttl": 100})
    client.publish("q", "old")
    world.tick(60)
    client.publish("q", "new")
    world.tick(60)
    assert str(client.get()) == "got 1 new left 0"


def test_the_head_hides_what_expired_behind_it(world: World, client: Client) -> None:
    client.declare("q")
    client.publish("q", "stays")
    client.publish("q", "goes", expiration="10")
    world.tick(1000)
    assert world.queue().ready_count == 2
    assert str(client.get()) == "got 1 stays left 0"  # what is over behind it does not count
    assert client.get() is None


def test_zero_lives_only_for_a_waiting_consumer(world: World, client: Client) -> None:
    client.declare("q")
    client.publish("q", "lost", expiration="0")
    assert world.queue().ready_count == 0
    client.consume("q", "c")
    client.publish("q", "seen", expiration="0")
    assert client.said() == ["deliver c 1 seen"]


def test_what_is_handed_back_keeps_its_time(world: World, client: Client) -> None:
    client.declare("q")
    client.publish("q", "m", expiration="100")
    assert str(client.get()) == "got 1 m left 0"
    world.tick(200)
    client.nack(1)
    world.tick(1000)
    assert client.get() is None


def test_the_store_forgets_what_expired(world: World, client: Client) -> None:
    client.declare("q", durable=True, arguments={"x-message-ttl": 10})
    world.settle_topology()
    client.publish("q", "m", mode=2)
    world.commit()
    world.tick(1000)
    assert world.queue().ready_count == 0
    assert not any(world.store.kept.values())


def test_what_expires_is_dead_lettered(world: World, client: Client) -> None:
    client.declare("dead")
    client.declare(
        "q",
        arguments={
            "x-message-ttl": 10,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        },
    )
    client.publish("q", "m")
    world.tick(1000)
    assert client.get() is None
    assert str(client.get("dead")) == "got 1 m left 0"


def test_an_unused_queue_goes(world: World, client: Client) -> None:
    client.declare("q", arguments={"x-expires": 1000})
    world.tick(900)
    client.get()
    world.tick(900)
    client.consume("q", "c")
    world.tick(5000)
    assert "q" in world.vhost.queues
    client.call(Basic.Cancel("c"))
    world.tick(900)
    assert "q" in world.vhost.queues
    world.tick(700)
    assert "q" not in world.vhost.queues
    assert not world.broker.timed
