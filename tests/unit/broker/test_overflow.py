"""Full queues: what goes, who is told, and that nothing is counted twice."""

from __future__ import annotations

import pytest

from tests.harness import Basic, Client, Confirm, World, published


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("dead")
    return client


def fill(client: Client, *bodies: str) -> None:
    for body in bodies:
        client.publish("q", body)


def drained(client: Client, queue: str = "q") -> list[str]:
    bodies = []
    while (got := client.get(queue)) is not None:
        bodies.append(got.body.decode())
    return bodies


def test_the_oldest_goes(client: Client) -> None:
    client.declare("q", arguments={"x-max-length": 2})
    fill(client, "a", "b", "c")
    assert drained(client) == ["b", "c"]


def test_bytes_count_as_messages_do(client: Client) -> None:
    client.declare("q", arguments={"x-max-length-bytes": 5})
    fill(client, "aaa", "bb", "c")
    assert drained(client) == ["bb", "c"]
    fill(client, "toolarge")
    assert drained(client) == []


def test_what_is_delivered_does_not_count(client: Client) -> None:
    client.declare("q", arguments={"x-max-length": 1})
    fill(client, "a")
    client.get()
    fill(client, "b")
    assert drained(client) == ["b"]


def test_what_comes_back_to_a_full_queue_is_the_first_to_go(client: Client) -> None:
    client.declare("q", arguments={"x-max-length": 1})
    fill(client, "a")
    client.get()
    fill(client, "b")
    client.nack(1)
    assert drained(client) == ["b"]


def test_a_length_of_nothing_leaves_what_a_consumer_takes(client: Client) -> None:
    client.declare("q", arguments={"x-max-length": 0})
    fill(client, "lost")
    client.consume("q", "c")
    fill(client, "seen")
    assert client.said() == ["deliver c 1 seen"]


def test_what_goes_is_dead_lettered(client: Client) -> None:
    arguments = {
        "x-max-length": 1,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
    }
    client.declare("q", arguments=arguments)
    fill(client, "a", "b")
    got = client.get("dead")
    assert got is not None
    assert (got.body, got.properties.headers["x-death"][0]["reason"]) == (b"a", "maxlen")


def test_the_store_forgets_what_went(world: World, client: Client) -> None:
    client.declare("q", durable=True, arguments={"x-max-length": 1})
    for body in "abc":
        client.publish("q", body, mode=2)
    world.commit()
    assert [message.body for message in world.store.kept[world.queue().definition.id].values()] == [
        b"c"
    ]


@pytest.mark.parametrize(
    ("overflow", "dead"), [("reject-publish", []), ("reject-publish-dlx", ["b"])]
)
def test_a_full_queue_may_refuse(client: Client, overflow: str, dead: list[str]) -> None:
    client.declare(
        "q",
        arguments={
            "x-max-length": 1,
            "x-overflow": overflow,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        },
    )
    client.call(Confirm.Select())
    client.publish("q", "a")
    assert client.said() == ["ack 1"]
    client.publish("q", "b")
    assert client.said() == ["Basic.Nack"]
    assert drained(client) == ["a"]
    client.publish("q", "c")
    assert "ack 3" in client.said()
    assert drained(client, "dead") == dead


def test_refusals_among_confirms_that_wait(world: World, client: Client) -> None:
    """Every seqno is answered once, whatever waits for the disc."""
    client.declare("q", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.declare("other", durable=True)
    client.call(Confirm.Select())
    frames = [published(name, name, mode=2) for name in ("other", "q", "q", "other", "q")]
    client.feed(b"".join(frames))
    nacked = [
        got.method.delivery_tag for got in client.take() if isinstance(got.method, Basic.Nack)
    ]
    assert nacked == [3, 5]
    world.commit()
    assert client.said() == ["ack 4 multiple"]
    client.feed(published("q", "q", mode=2))
    assert [got.method.delivery_tag for got in client.take()] == [6]
    client.feed(published("other", "o", mode=2))
    world.commit()
    assert client.said() == ["ack 7"]


def test_one_queue_of_several_that_refuses_is_enough(world: World, client: Client) -> None:
    client.declare("q", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    client.declare("other")
    for name in ("q", "other"):
        client.bind(name, "amq.fanout")
    client.call(Confirm.Select())
    client.publish("", "m", exchange="amq.fanout")
    assert client.said() == ["Basic.Nack"]
    assert world.queue("other").ready_count == 1
