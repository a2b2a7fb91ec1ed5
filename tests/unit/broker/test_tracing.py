"""`mqd.broker.tracing`. What a copy looks like is in tests/protocol/scenarios/tracing.txt, recorded
from 3.10.8."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import mqd.embedded
from mqd.broker.consumers import Consumer
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.queues.classic import ClassicQueue
from mqd.broker.tracing import TRACE_EXCHANGE
from mqd.policies.applied import Applied
from tests.harness import Client, Confirm, World


@pytest.fixture
def world() -> World:
    world = World()
    for name in ("/", "other"):
        if name not in world.broker.vhosts:
            world.add_vhost(name)
        world.broker.apply_put_exchange(
            ExchangeDefinition(name, TRACE_EXCHANGE, "topic", internal=True)
        )
    return world


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect()
    for queue in ("q", "t"):
        client.declare(queue)
    client.bind("t", TRACE_EXCHANGE, "#")
    return client


@pytest.fixture
def watcher(world: World) -> Client:
    """Somebody else, who looks at the copies."""
    return world.connect()


def copies(client: Client, queue: str = "t") -> list[str]:
    """Routing keys and bodies."""
    found = []
    while (got := client.get(queue, no_ack=True)) is not None:
        found.append(f"{got.method.routing_key} {got.body.decode()}")
    return found


def test_consumers_change_with_the_switch(world: World, client: Client, watcher: Client) -> None:
    client.consume("q", "before", no_ack=True)
    kinds = world.vhost.queues["q"].consumers
    assert [type(one) for one in kinds] == [Consumer]
    world.vhost.tracer.switch(True)
    world.vhost.tracer.switch(True)
    client.consume("q", "after", no_ack=True)
    assert [type(one).__name__ for one in kinds] == ["TracedConsumer", "TracedConsumer"]
    for body in ("a", "b"):
        client.publish("q", body)
    assert copies(watcher) == ["publish. a", "deliver.q a", "publish. b", "deliver.q b"]
    world.vhost.tracer.switch(False)
    world.vhost.tracer.switch(False)
    assert [type(one) for one in kinds] == [Consumer, Consumer]
    client.publish("q", "c")
    assert (copies(watcher), client.bodies()) == ([], ["a", "b", "c"])


def test_nobody_listens(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.connect()
    client.declare("q")
    world.vhost.tracer.switch(True)
    monkeypatch.setattr("mqd.broker.tracing.properties.encode", None)
    client.publish("q", "m")
    assert str(client.get("q")) == "got 1 m left 0"


def test_an_alternate_exchange_listens_too(world: World) -> None:
    client = world.connect()
    client.declare("t")
    client.bind("t", "amq.fanout")
    world.vhost.exchanges[TRACE_EXCHANGE].policy = Applied(
        "p", None, {"alternate-exchange": "amq.fanout"}
    )
    world.vhost.tracer.switch(True)
    client.publish("q", "m")
    assert copies(client) == ["publish. m"]


def test_one_vhost_alone(world: World, client: Client) -> None:
    world.directory.add("g2", vhost="other")
    other = world.connect(user="g2", vhost="other")
    other.declare("q")
    other.declare("t")
    other.bind("t", TRACE_EXCHANGE, "#")
    world.broker.vhosts["other"].tracer.switch(True)
    client.publish("q", "m")
    other.publish("q", "n")
    assert (copies(client), copies(other)) == ([], ["publish. n"])


def test_a_queue_may_hold_its_own_copies(world: World, client: Client, watcher: Client) -> None:
    """What it delivers comes back to it as a copy, which is not copied again; its consumer is
    given no more than it may have."""
    client.bind("q", TRACE_EXCHANGE, "deliver.q")
    for number in range(3):
        client.publish("q", str(number))
    world.vhost.tracer.switch(True)
    client.prefetch(1)
    client.consume("q")
    assert client.said() == ["deliver c 1 0"]
    said = []
    for tag in range(1, 7):
        client.ack(tag)
        said += client.said()
    assert said == [f"deliver c {tag} {body}" for tag, body in enumerate("12012", 2)]
    assert copies(watcher) == ["deliver.q 0", "deliver.q 1", "deliver.q 2"]


def test_a_backlog_is_copied_in_order(world: World, client: Client, watcher: Client) -> None:
    for number in range(2000):
        client.publish("q", str(number))
    world.vhost.tracer.switch(True)
    client.consume("q", no_ack=True)
    assert copies(watcher) == [f"deliver.q {number}" for number in range(2000)]


def test_confirms_and_copies_of_what_is_not_routed(world: World, client: Client) -> None:
    world.vhost.tracer.switch(True)
    client.call(Confirm.Select())
    client.publish("nowhere", "m", mandatory=True)
    assert client.said() == ["return 312 m", "ack 1"]
    got = client.get("t", no_ack=True)
    assert got is not None
    assert got.properties.headers["routed_queues"] == ["nowhere"]  # as 3.10.8 has it


def test_a_timestamp_too_large_for_its_kind(world: World, client: Client) -> None:
    import datetime

    world.vhost.tracer.switch(True)
    when = datetime.datetime(2222, 1, 1, tzinfo=datetime.UTC)
    client.publish("q", "m", timestamp=when)
    got = client.get("t", no_ack=True)
    assert got is not None
    assert got.properties.headers["properties"] == {"timestamp": int(when.timestamp())}


def test_it_lasts_while_the_process_does(tmp_path: Path) -> None:
    """observed: 3.10.8 keeps it over stop_app and start_app, and forgets it with the node."""

    async def scenario() -> None:
        async with mqd.embedded.AsyncBroker(tmp_path) as broker:
            assert broker.node.broker is not None
            broker.node.broker.vhosts["/"].tracer.switch(True)
            await broker.node.stop_app()
            await broker.node.start_app()
            assert broker.node.broker.vhosts["/"].tracing
        async with mqd.embedded.AsyncBroker(tmp_path) as broker:
            assert broker.node.broker is not None
            assert not broker.node.broker.vhosts["/"].tracing

    asyncio.run(scenario())


def test_a_vhost_that_is_made_again_is_not_traced(world: World) -> None:
    world.broker.vhosts["other"].tracer.switch(True)
    world.broker.apply_delete_vhost("other")
    world.broker.apply_put_vhost("other")
    assert not world.broker.vhosts["other"].tracing


def test_quiet_queues_know_nothing_of_it() -> None:
    """The plain path of a queue asks nobody whether there is tracing."""
    for method in (ClassicQueue.publish, ClassicQueue.drain, Consumer.send):
        assert "tracing" not in method.__code__.co_names
        assert "tracer" not in method.__code__.co_names
