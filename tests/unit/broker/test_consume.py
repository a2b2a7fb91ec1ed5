"""`mqd.broker.consume`: consume, cancel and get, and what is said to wrong ones."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.harness import Basic, Channel, Client, Queue, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("q")
    return client


def test_consume_ok_comes_before_the_backlog(client: Client) -> None:
    client.publish("q", "m")
    client.send(Basic.Consume(0, "q", "c"))
    assert client.said() == ["Basic.ConsumeOk", "deliver c 1 m"]


def test_consume_without_answer(client: Client) -> None:
    client.publish("q", "m")
    client.send(Basic.Consume(0, "q", "c", nowait=True))
    assert client.said() == ["deliver c 1 m"]
    client.send(Basic.Cancel("c", True))
    assert client.said() == []


def test_the_server_names_a_consumer(client: Client) -> None:
    tags = {client.call(Basic.Consume(0, "q")).consumer_tag for _ in range(2)}
    assert len(tags) == 2
    assert all(re.fullmatch(r"amq\.ctag-[\w-]{22}", tag) for tag in tags)


def test_tags_are_of_one_channel(client: Client) -> None:
    client.consume("q", "c", channel=1)
    client.consume("q", "c", channel=2)
    client.send(Basic.Consume(0, "q", "c"))
    assert client.said() == ["connection.close NOT_ALLOWED - attempt to reuse consumer tag 'c'"]


def test_an_empty_name_is_the_queue_declared_last(client: Client) -> None:
    client.declare("r")
    client.consume("", "c")
    client.publish("r", "m")
    assert client.bodies() == ["m"]
    client.send(Basic.Consume(0, "", "d"), channel=2)
    assert client.said() == ["channel.close NOT_FOUND - no previously declared queue"]


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (Basic.Consume(0, "none"), "NOT_FOUND - no queue 'none' in vhost '/'"),
        (Basic.Get(0, "none"), "NOT_FOUND - no queue 'none' in vhost '/'"),
        (
            Basic.Consume(0, "q", arguments={"x-priority": "high"}),
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "
            '"expected integer, got longstr"',
        ),
        (
            Basic.Consume(0, "q", arguments={"x-priority": True}),
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "
            '"expected integer, got bool"',
        ),
    ],
)
def test_refused(method: Any, text: str, client: Client) -> None:
    client.send(method)
    assert client.said() == [f"channel.close {text}"]


# -- exclusive consumers --------------------------------------------------------------------------


def test_an_exclusive_consumer_is_alone(world: World, client: Client) -> None:
    client.consume("q", "c", exclusive=True)
    client.send(Basic.Consume(0, "q", "d"), channel=2)
    text = "channel.close ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    assert client.said() == [text]
    other = world.connect()
    other.send(Basic.Consume(0, "q", "d", exclusive=True))
    assert other.said() == [text]
    client.call(Basic.Cancel("c"))
    again = world.connect()
    again.consume("q", "d")
    client.send(Basic.Consume(0, "q", "e", exclusive=True))
    assert client.said() == [text]


def test_it_is_free_when_its_channel_closes(client: Client) -> None:
    client.consume("q", "c", exclusive=True)
    client.call(Channel.Close(200, "", 0, 0))
    client.consume("q", "d", channel=2, exclusive=True)


def test_a_queue_of_another_connection(world: World, client: Client) -> None:
    client.declare("mine", exclusive=True)
    for method in (Basic.Consume(0, "mine", "c"), Basic.Get(0, "mine")):
        other = world.connect()
        other.send(method)
        (said,) = other.said()
        assert said.startswith(
            "channel.close RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine'"
        )
    client.consume("mine", "c")


# -- cancel ---------------------------------------------------------------------------------------


def test_cancel(world: World, client: Client) -> None:
    client.consume("q", "c")
    client.publish("q", "m")
    client.take()
    assert client.call(Basic.Cancel("c")).consumer_tag == "c"
    client.publish("q", "n")
    assert client.said() == []
    client.ack(1)  # what it held is its channel's
    assert world.queue().ready_count == 1
    assert client.call(Basic.Cancel("nobody")).consumer_tag == "nobody"


def test_a_cancelled_tag_may_be_used_again(client: Client) -> None:
    client.consume("q", "c")
    client.call(Basic.Cancel("c"))
    client.consume("q", "c")
    client.publish("q", "m")
    assert client.said() == ["deliver c 1 m"]


def test_an_auto_delete_queue_goes_with_its_last_consumer(world: World, client: Client) -> None:
    client.declare("a", auto_delete=True)
    client.consume("a", "c", channel=1)
    client.consume("a", "d", channel=2)
    client.call(Basic.Cancel("c"))
    assert "a" in world.vhost.queues
    client.call(Channel.Close(200, "", 0, 0), 2)
    assert "a" not in world.vhost.queues


def test_an_auto_delete_queue_that_had_no_consumer_stays(world: World, client: Client) -> None:
    client.declare("a", auto_delete=True)
    client.publish("a", "m")
    assert client.get("a") is not None
    client.call(Channel.Close(200, "", 0, 0))
    assert "a" in world.vhost.queues


def test_two_consumers_of_an_auto_delete_queue_go_at_once(world: World, client: Client) -> None:
    world.topology.slow = True
    client.send(Queue.Declare(0, "a", durable=True, auto_delete=True))
    world.settle_topology()
    client.take()
    client.consume("a", "c")
    client.consume("a", "d")
    client.drop()
    world.settle_topology()
    assert "a" not in world.vhost.queues


# -- get ------------------------------------------------------------------------------------------


def test_get(world: World, client: Client) -> None:
    for body in ("a", "b", "c"):
        client.publish("q", body)
    assert str(client.get()) == "got 1 a left 2"
    assert str(client.get(no_ack=True)) == "got 2 b left 1"
    client.nack(1)
    got = client.get()
    assert str(got) == "got 3 a* left 1"
    assert got is not None
    assert (got.method.exchange, got.method.routing_key) == ("", "q")
    assert world.queue().unacked_count == 1


def test_get_from_an_empty_queue(client: Client) -> None:
    client.send(Basic.Get(0, "q"))
    assert client.said() == ["Basic.GetEmpty"]


def test_get_takes_over_channels_and_frame_sizes(world: World, client: Client) -> None:
    client.publish("q", b"x" * 10_000, channel=2)
    small = world.connect(frame_max=4096)
    got = small.get()
    assert got is not None
    assert len(got.body) == 10_000
    assert max(got.frames) == 4096


# -- permissions ----------------------------------------------------------------------------------


def test_reading_needs_read(world: World, client: Client) -> None:
    world.directory.add("writer", rights=("", ".*", ""))
    for method in (Basic.Consume(0, "q", "c"), Basic.Get(0, "q")):
        writer = world.connect(user="writer")
        writer.send(method)
        text = "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'writer'"
        assert writer.said() == [f"channel.close {text}"]
