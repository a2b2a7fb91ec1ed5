"""`mqd.broker.vhost`: what appears and disappears together, and what waits for the disc."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from tests.harness import Exchange, World


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


def exchange(world: World, name: str, *, auto_delete: bool = False, durable: bool = False) -> None:
    world.vhost.apply_put_exchange(
        ExchangeDefinition("/", name, "fanout", durable=durable, auto_delete=auto_delete)
    )


def binding(source: str, destination: str, kind: str = "queue") -> BindingDefinition:
    return BindingDefinition("/", source, kind, destination, "k")


def queue(world: World, name: str = "q", *, durable: bool = False) -> None:
    world.vhost.apply_put_queue(QueueDefinition(7, "/", name, durable=durable))


def test_the_default_exchange_is_always_there(world: World) -> None:
    assert "" in world.vhost.exchanges


def test_applying_twice_is_once(world: World) -> None:
    for _ in range(2):
        exchange(world, "x")
        queue(world)
        world.vhost.apply_put_binding(binding("x", "q"))
    first = world.vhost.queues["q"]
    queue(world)
    assert world.vhost.queues["q"] is first
    version = world.vhost.version
    for _ in range(2):
        world.vhost.apply_delete_binding(binding("x", "q"))
    world.vhost.apply_delete_queue("q")
    world.vhost.apply_delete_queue("q")
    world.vhost.apply_delete_exchange("x")
    world.vhost.apply_delete_exchange("x")
    assert world.vhost.version > version
    assert "x" not in world.vhost.exchanges


def test_each_change_is_seen_by_what_was_resolved(world: World) -> None:
    steps: list[Callable[[], object]] = [
        lambda: exchange(world, "x"),
        lambda: queue(world),
        lambda: world.vhost.apply_put_binding(binding("x", "q")),
        lambda: world.vhost.apply_delete_binding(binding("x", "q")),
        lambda: world.vhost.apply_delete_queue("q"),
        lambda: world.vhost.apply_delete_exchange("x"),
        world.broker.apply_access_changed,
        lambda: world.broker.set_alarm("disk", True),
    ]
    for step in steps:
        before = world.vhost.version
        step()
        assert world.vhost.version > before


def test_a_queue_takes_its_bindings_along(world: World) -> None:
    exchange(world, "x")
    queue(world)
    world.vhost.apply_put_binding(binding("x", "q"))
    world.vhost.apply_delete_queue("q")
    queue(world)
    client = world.connect()
    client.publish("k", "m", exchange="x")
    assert world.queue().ready_count == 0
    assert not world.vhost.bindings.has_source("x")


def test_an_exchange_takes_the_bindings_of_both_its_sides(world: World) -> None:
    exchange(world, "a")
    exchange(world, "b")
    queue(world)
    world.vhost.apply_put_binding(binding("a", "b", "exchange"))
    world.vhost.apply_put_binding(binding("b", "q"))
    world.vhost.apply_delete_exchange("b")
    assert not world.vhost.bindings.has_source("a")
    assert not world.vhost.bindings.has_source("b")
    exchange(world, "b")
    client = world.connect()
    client.publish("k", "m", exchange="a")
    client.publish("k", "m", exchange="b")
    assert world.queue().ready_count == 0


@pytest.mark.parametrize("durable", [False, True])
def test_auto_delete_exchanges_go_one_after_the_other(durable: bool, world: World) -> None:
    """a → b → c → q: without q nothing leads anywhere."""
    for name in "abc":
        exchange(world, name, auto_delete=True, durable=durable)
    queue(world)
    world.vhost.apply_put_binding(binding("a", "b", "exchange"))
    world.vhost.apply_put_binding(binding("b", "c", "exchange"))
    world.vhost.apply_put_binding(binding("c", "q"))
    world.vhost.apply_delete_queue("q")
    assert not {"a", "b", "c"} & world.vhost.exchanges.keys()


def test_what_another_node_does_is_followed_there(world: World) -> None:
    """Whoever removed the binding has the exchange deleted, once; what is transient goes here."""
    for name, durable in (("d", True), ("t", False)):
        exchange(world, name, auto_delete=True, durable=durable)
        queue(world)
        world.vhost.apply_put_binding(binding(name, "q"))
        with world.broker.following():
            world.vhost.apply_delete_binding(binding(name, "q"))
    assert "d" in world.vhost.exchanges
    assert "t" not in world.vhost.exchanges


def test_a_deletion_that_waits_is_not_asked_for_again(world: World) -> None:
    exchange(world, "x", auto_delete=True, durable=True)
    queue(world)
    world.topology.slow = True
    for _ in range(2):
        world.vhost.apply_put_binding(binding("x", "q"))
        world.vhost.apply_delete_binding(binding("x", "q"))
    assert len(world.topology.waiting) == 1
    world.settle_topology()
    assert "x" not in world.vhost.exchanges


def test_a_durable_exchange_takes_the_place_of_a_transient_one(world: World) -> None:
    exchange(world, "x")
    queue(world)
    world.vhost.apply_put_binding(binding("x", "q"))
    world.vhost.apply_put_exchange(ExchangeDefinition("/", "x", "direct", durable=True))
    exchange(world, "x")
    assert world.vhost.exchanges["x"].definition.type == "direct"
    client = world.connect()
    client.publish("k", "m", exchange="x")
    client.publish("other", "m", exchange="x")
    assert world.queue().ready_count == 1


def test_an_auto_delete_exchange_never_bound_stays(world: World) -> None:
    exchange(world, "x", auto_delete=True)
    queue(world)
    world.vhost.apply_delete_queue("q")
    assert "x" in world.vhost.exchanges


def test_auto_delete_with_two_bindings_from_one_queue(world: World) -> None:
    exchange(world, "x", auto_delete=True)
    queue(world)
    world.vhost.apply_put_binding(binding("x", "q"))
    world.vhost.apply_put_binding(BindingDefinition("/", "x", "queue", "q", "other"))
    world.vhost.apply_delete_binding(binding("x", "q"))
    assert "x" in world.vhost.exchanges
    world.vhost.apply_delete_queue("q")
    assert "x" not in world.vhost.exchanges


def test_a_binding_is_as_durable_as_its_ends(world: World) -> None:
    exchange(world, "d", durable=True)
    exchange(world, "t")
    queue(world, "dq", durable=True)
    queue(world, "tq")
    expected = {("d", "dq"): True, ("d", "tq"): False, ("t", "dq"): False, ("t", "tq"): False}
    for (source, destination), durable in expected.items():
        assert world.vhost.is_durable(binding(source, destination)) is durable
    assert world.vhost.is_durable(binding("d", "d", "exchange"))
    assert not world.vhost.is_durable(binding("d", "t", "exchange"))


def test_bindings_of_what_is_gone_are_not_made(world: World) -> None:
    queue(world)
    world.vhost.apply_put_binding(binding("none", "q"))
    assert not world.vhost.bindings.has_source("none")


def test_exclusive_queues_go_with_their_connection(world: World) -> None:
    client = world.connect()
    client.declare("one", exclusive=True)
    client.declare("two", exclusive=True)
    client.declare("other")
    client.call(Exchange.Declare(0, "x", "fanout"))
    client.bind("one", "x")
    client.drop()
    assert list(world.vhost.queues) == ["other"]
    assert not world.vhost.bindings.has_source("x")


def test_what_waits_for_a_batch_is_called_once(world: World) -> None:
    called: list[int] = []
    world.vhost.when_durable(0, lambda: called.append(0))
    assert called == [0]
    world.vhost.when_durable(2, lambda: called.append(2))
    world.vhost.when_durable(1, lambda: called.append(1))
    world.store.commit()
    assert called == [0, 1]
    world.store.commit()
    world.store.commit()
    assert called == [0, 1, 2]


def test_who_waits_may_wait_again(world: World) -> None:
    called: list[int] = []

    def again() -> None:
        called.append(1)
        world.vhost.when_durable(2, lambda: called.append(2))

    world.vhost.when_durable(1, again)
    world.store.commit()
    world.store.commit()
    assert called == [1, 2]


def test_each_vhost_is_its_own(world: World) -> None:
    world.add_vhost("other")
    world.directory.add("both")
    world.directory.permissions["both", "other"] = world.directory.permissions["both", "/"]
    here, there = world.connect(user="both"), world.connect(user="both", vhost="other")
    here.declare("q")
    there.declare("q", durable=True)
    there.publish("q", "m")
    assert world.queue("q").ready_count == 0
    assert world.queue("q", "other").ready_count == 1
    here.publish("q", "m", mode=2)
    assert world.stores["other"].kept == {}
