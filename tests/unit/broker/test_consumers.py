"""`mqd.broker.consumers`: the frames of a delivery and the ring of those who take turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.broker.consumers import Consumer, Ring, readdress
from mqd.broker.message import content_of
from tests.harness import Basic, Client, World, published


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("q")
    return client


# -- frames ---------------------------------------------------------------------------------------


def test_a_delivery_names_where_it_was_published(client: Client) -> None:
    client.consume("q", "tag", no_ack=True)
    client.publish("q", "body", content_type="text/plain", headers={"a": 1})
    (got,) = client.take()
    assert (got.method.consumer_tag, got.method.exchange, got.method.routing_key) == (
        "tag",
        "",
        "q",
    )
    assert got.properties.content_type == "text/plain"
    assert got.properties.headers == {"a": 1}
    assert got.body == b"body"


def test_names_change_from_message_to_message(client: Client) -> None:
    client.bind("q", "amq.topic", key="#")
    client.consume("q", "tag", no_ack=True)
    for key in ("a.b", "c", "a.b", "", "x" * 255):
        client.publish(key, "m", exchange="amq.topic")
    client.publish("q", "m")
    names = [(got.method.exchange, got.method.routing_key) for got in client.take()]
    topic = [("amq.topic", key) for key in ("a.b", "c", "a.b", "", "x" * 255)]
    assert names == [*topic, ("", "q")]


def test_from_one_channel_to_another(client: Client) -> None:
    client.consume("q", "tag", channel=2, no_ack=True)
    client.publish("q", "body", channel=1)
    (got,) = client.take()
    assert (got.channel, got.body) == (2, b"body")


@pytest.mark.parametrize("channel", [1, 2])
def test_to_a_peer_with_smaller_frames(channel: int, world: World, client: Client) -> None:
    small = world.connect(frame_max=4096, channels=2)
    small.consume("q", "tag", channel=channel, no_ack=True)
    body = bytes(range(256)) * 40
    client.publish("q", body)
    (got,) = small.take()
    assert got.body == body
    assert got.frames == [4096, 4096, 10_240 - 2 * 4088 + 8]


def test_many_small_frames_are_left_as_they_came(world: World, client: Client) -> None:
    client.consume("q", "tag", no_ack=True)
    client.feed(published("q", b"x" * 100, frame_max=28))
    (got,) = client.take()
    assert got.frames == [28] * 5


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 300_000])
def test_bodies_of_any_size(body: bytes, client: Client) -> None:
    client.consume("q", "tag", no_ack=True)
    client.publish("q", body)
    assert client.take()[0].body == body


def test_a_plain_case_is_not_copied() -> None:
    content = content_of(b"\0\x3c\0\0" + b"\0" * 7 + b"\x01\0\0", b"m", 7, 4096)
    assert readdress(content, 7, 4096) is content
    assert readdress(content, 7, 0) is content


# -- ring -----------------------------------------------------------------------------------------


def ring_of(world: World, client: Client, priorities: list[int]) -> tuple[Ring, list[Consumer]]:
    """A ring with consumers c0, c1, ... of those priorities, as they would be added."""
    for index, priority in enumerate(priorities):
        arguments = {"x-priority": priority} if priority else {}
        client.consume("q", f"c{index}", no_ack=True, arguments=arguments)
    queue = world.queue()
    return queue.ring, list(queue.consumers)


def order(ring: Ring, count: int) -> list[str]:
    """Who is served, that many times."""
    tags = []
    for _ in range(count):
        consumer = ring.next()
        assert consumer is not None
        ring.served(consumer)
        tags.append(consumer.tag)
    return tags


def test_an_empty_ring(world: World, client: Client) -> None:
    ring, _ = ring_of(world, client, [])
    assert ring.next() is None
    assert len(ring) == 0


def test_turns(world: World, client: Client) -> None:
    ring, _ = ring_of(world, client, [0, 0, 0])
    assert order(ring, 5) == ["c0", "c1", "c2", "c0", "c1"]


def test_priorities(world: World, client: Client) -> None:
    ring, consumers = ring_of(world, client, [0, 5, -1, 5])
    assert order(ring, 4) == ["c1", "c3", "c1", "c3"]
    ring.discard(consumers[1])
    ring.discard(consumers[3])
    assert order(ring, 2) == ["c0", "c0"]
    ring.discard(consumers[0])
    assert order(ring, 2) == ["c2", "c2"]
    ring.add(consumers[1])
    assert order(ring, 1) == ["c1"]


def test_adding_and_leaving_twice_is_once(world: World, client: Client) -> None:
    ring, consumers = ring_of(world, client, [0, 0])
    ring.add(consumers[0])
    assert len(ring) == 2
    ring.discard(consumers[0])
    ring.discard(consumers[0])
    assert len(ring) == 1
    assert not consumers[0].ringed


@given(
    st.lists(
        st.tuples(st.sampled_from(("serve", "serve", "serve", "leave", "come")), st.integers(0, 5)),
        max_size=60,
    )
)
def test_whoever_waited_longest_is_next(steps: list[tuple[str, int]]) -> None:
    """Fair: among equals the one served, or come, longest ago is served."""
    world = World()
    client = world.connect()
    client.declare("q")
    ring, consumers = ring_of(world, client, [0, 0, 0, 0])
    waiting = {consumer.tag: index for index, consumer in enumerate(consumers)}
    now = len(consumers)
    for what, index in steps:
        consumer = consumers[index % len(consumers)]
        now += 1
        if what == "leave":
            ring.discard(consumer)
            waiting.pop(consumer.tag, None)
        elif what == "come":
            ring.add(consumer)
            waiting.setdefault(consumer.tag, now)
        elif waiting:
            longest = min(waiting, key=lambda tag: waiting[tag])
            assert order(ring, 1) == [longest]
            waiting[longest] = now
        else:
            assert ring.next() is None


def test_a_consumer_that_is_gone_gets_nothing(world: World, client: Client) -> None:
    client.consume("q", "a", no_ack=True)
    client.consume("q", "b", no_ack=True)
    client.call(Basic.Cancel("a"))
    client.publish("q", "m")
    assert client.said() == ["deliver b 1 m"]
