"""`mqd.broker.memory`: the ports that keep nothing behave as the others do."""

from __future__ import annotations

import pytest

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.memory import MemorySpool, MemoryStore, MemoryTopology
from mqd.broker.message import Message
from tests.harness import World


def message() -> Message:
    return Message(b"", b"content", True)


def test_batches_are_durable_when_committed() -> None:
    store = MemoryStore(commit_at_once=False)
    told: list[int] = []
    store.on_durable = lambda: told.append(store.durable_batch)
    one, two = message(), message()
    assert store.append(1, one) == 1
    assert one.segment == 0
    store.commit()
    assert one.segment == 1
    assert store.append(1, two) == 2
    store.commit()
    assert told == [1, 2]


def test_or_at_once() -> None:
    store = MemoryStore()
    made = message()
    assert store.append(1, made) == 0
    assert made.segment > 0


def test_what_is_settled_is_gone() -> None:
    store = MemoryStore(commit_at_once=False)
    kept = [message() for _ in range(4)]
    for each in kept:
        store.append(1, each)
    store.settle(1, kept[0])
    assert kept[0].settled
    assert list(store.kept[1].values()) == kept[1:]
    store.settle_all(1, kept[1:2])
    assert list(store.kept[1].values()) == kept[1:2]
    store.settle_all(1, ())
    assert store.kept == {}
    assert list(store.recover()) == []


def test_counts_are_kept_as_long_as_the_message() -> None:
    store = MemoryStore()
    one, two, three = message(), message(), message()
    for each in (one, two, three):
        store.append(1, each)
        each.delivery_count = 3
        store.returned(1, each)
    store.settle(1, one)
    assert store.counts == {(1, two.index): 3, (1, three.index): 3}
    store.settle_all(1, [three])
    assert store.counts == {(1, three.index): 3}


def test_a_copy_settles_once_the_place_is_known() -> None:
    store = MemoryStore(commit_at_once=False)
    made = message()
    store.append(1, made)
    copy = made.copy()
    copy.index, copy.segment = made.index, made.segment
    with pytest.raises(AssertionError, match="settled by a copy"):
        store.settle(1, copy)
    store.commit()
    copy.segment = made.segment
    store.settle(1, copy)
    assert store.kept == {1: {}}


def test_spool() -> None:
    spool = MemorySpool()
    one, two = spool.write(b"one"), spool.write(b"two")
    assert one != two
    assert spool.take(one) == b"one"
    spool.drop(two)
    assert spool.pages == {}
    with pytest.raises(KeyError):
        spool.take(one)


def test_topology_applies_at_once() -> None:
    world = World()
    topology = MemoryTopology()
    topology.broker = world.broker
    done: list[Exception | None] = []
    topology.put_exchange(ExchangeDefinition("/", "x"), done.append)
    queue = QueueDefinition(topology.new_queue_id(), "/", "q")
    topology.put_queue(queue, done.append)
    binding = BindingDefinition("/", "x", "queue", "q", "k")
    topology.put_binding(binding, done.append)
    assert world.vhost.bindings.has_source("x")
    topology.delete_binding(binding, done.append)
    assert not world.vhost.bindings.has_source("x")
    topology.delete_queue(queue, done.append)
    topology.delete_exchange("/", "x", done.append)
    assert done == [None] * 6
    assert "q" not in world.vhost.queues
    assert "x" not in world.vhost.exchanges
    assert topology.new_queue_id() == 2
