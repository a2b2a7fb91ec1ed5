"""Queues, exchanges and bindings that are gone with their node, on all nodes."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.broker.vhost import VHost
from tests.cluster.queues.worlds import Client, Cluster
from tests.harness import Basic, Channel, Exchange, Queue, published


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


def vhosts(cluster: Cluster) -> list[VHost]:
    return [cluster[name].broker.vhosts["/"] for name in "abc"]


def clients(cluster: Cluster) -> list[Client]:
    return [cluster[name].connect() for name in "abc"]


def locked(name: str) -> str:
    return f"channel.close RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}"


def test_an_exclusive_queue_is_its_connections_in_the_cluster(cluster: Cluster) -> None:
    one, two, three = clients(cluster)
    name = one.declare("mine", exclusive=True).queue
    assert [vhost.queues[name].home for vhost in vhosts(cluster)] == ["a"] * 3
    for method in (
        Queue.Declare(queue=name, passive=True),
        Queue.Declare(queue=name, exclusive=True),
        Basic.Consume(0, name, "c"),
        Basic.Get(0, name),
        Queue.Delete(queue=name),
    ):
        two.send(method)
        assert two.said()[0].startswith(locked(name))
        two.send(Channel.CloseOk())
        two.call(Channel.Open())
        two.take()
    three.publish(name, "for one")
    assert str(one.get(name)) == "got 1 for one left 0"
    one.drop()
    assert not any(name in vhost.queues for vhost in vhosts(cluster))


def test_a_transient_queue_is_everybodys_and_its_nodes(cluster: Cluster) -> None:
    one, two, _ = clients(cluster)
    one.declare("t")
    two.send(Queue.Declare(queue="t"))
    assert two.said() == ["declare-ok t 0 0"]
    two.send(Queue.Declare(queue="t", durable=True))
    assert "inequivalent arg 'durable'" in two.said()[0]
    two.send(Channel.CloseOk())
    two.call(Channel.Open())
    two.consume("t")
    one.publish("t", "x")
    assert two.bodies() == ["x"]
    cluster.cut("a", "b")
    assert two.said() == ["cancel c"]
    assert "t" not in vhosts(cluster)[1].queues
    assert "t" in vhosts(cluster)[2].queues
    cluster.heal()
    assert vhosts(cluster)[1].queues["t"].home == "a"
    two.send(Queue.Delete(queue="t"))
    assert two.said() == ["delete-ok 1"]
    assert not any("t" in vhost.queues for vhost in vhosts(cluster))


def test_auto_delete_goes_with_the_last_consumer_wherever_it_is(cluster: Cluster) -> None:
    one, two, three = clients(cluster)
    one.declare("t", auto_delete=True)
    two.consume("t")
    three.consume("t")
    two.call(Basic.Cancel("c"))
    assert all("t" in vhost.queues for vhost in vhosts(cluster))
    three.drop()
    assert not any("t" in vhost.queues for vhost in vhosts(cluster))


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "transient"])
def test_bindings_route_on_every_node(cluster: Cluster, durable: bool) -> None:
    one, two, three = clients(cluster)
    one.call(Exchange.Declare(0, "x", "topic", durable=durable))
    name = two.declare("", exclusive=True).queue
    two.bind(name, "x", "k.*")
    three.declare("d", durable=True)
    one.bind("d", "x", "*.z")
    for client in (one, two, three):
        client.publish("k.z", "m", exchange="x")
    assert two.get(name, no_ack=True) is not None
    assert cluster["b"].queue(name).ready_count == 2
    assert cluster["c"].queue("d").ready_count == 3
    two.call(Queue.Unbind(0, name, "x", "k.*"))
    three.publish("k.z", "m", exchange="x")
    assert cluster["b"].queue(name).ready_count == 2
    three.call(Exchange.Delete(0, "x"))
    assert not any("x" in vhost.exchanges for vhost in vhosts(cluster))


def test_a_transient_exchange_goes_with_its_node(cluster: Cluster) -> None:
    one, two, _ = clients(cluster)
    one.call(Exchange.Declare(0, "x", "fanout"))
    two.declare("d", durable=True)
    two.bind("d", "x")
    two.publish("", "1", exchange="x")
    cluster.meshes.stop("a")
    two.send(Exchange.Declare(0, "x", passive=True))
    assert two.said() == ["channel.close NOT_FOUND - no exchange 'x' in vhost '/'"]
    assert [len(list(vhost.bindings)) for vhost in vhosts(cluster)[1:]] == [0, 0]


@pytest.mark.parametrize("kinds", [("fanout", "fanout"), ("fanout", "direct")])
def test_two_nodes_that_were_apart_declared_one_exchange(
    cluster: Cluster, kinds: tuple[str, str]
) -> None:
    """It is that of the same one of them on every node, with the bindings of both."""
    cluster.cut("a", "b")
    cluster.cut("b", "c")
    one, two, three = clients(cluster)
    for client, kind, name in ((two, kinds[1], "tb"), (one, kinds[0], "ta")):
        client.call(Exchange.Declare(0, "x", kind))
        client.declare(name)
        client.bind(name, "x", "k")
    cluster.heal()
    assert [vhost.exchanges["x"].definition.type for vhost in vhosts(cluster)] == ["fanout"] * 3
    for client in (one, two, three):
        client.publish("other", "m", exchange="x")
    assert cluster["a"].queue("ta").ready_count == cluster["b"].queue("tb").ready_count == 3
    cluster.meshes.stop("b")
    cluster.run()
    assert all("x" in vhosts(cluster)[number].exchanges for number in (0, 2))
    cluster.meshes.stop("a")
    cluster.run()
    assert "x" not in vhosts(cluster)[2].exchanges


def test_one_node_sees_to_what_goes_with_a_node(cluster: Cluster) -> None:
    one, _, three = clients(cluster)
    one.call(Exchange.Declare(0, "x", "fanout", durable=True, auto_delete=True))
    three.declare("t")
    three.bind("t", "x")
    cluster.meshes.stop("c")
    cluster.run()
    assert cluster.topology.deleted == ["x"]


def test_one_node_sees_to_what_goes_with_a_binding(cluster: Cluster) -> None:
    one, two, three = clients(cluster)
    for client, name in ((one, "t"), (three, "d")):
        client.call(Exchange.Declare(0, "x", "fanout", durable=True, auto_delete=True))
        client.declare(name, durable=name == "d")
        client.bind(name, "x")
        two.call(Queue.Delete(queue=name))
        assert cluster.topology.deleted == ["x"]
        assert not any("x" in vhost.exchanges for vhost in vhosts(cluster))
        cluster.topology.deleted.clear()


def test_two_that_want_a_name_at_once(cluster: Cluster) -> None:
    """Whoever is second sees what the first one declared."""
    one, two, _ = clients(cluster)
    for number in range(8):
        name = f"n{number}"
        cluster.paused = True
        one.send(Queue.Declare(queue=name, exclusive=True))
        two.send(Queue.Declare(queue=name, exclusive=True))
        cluster.paused = False
        cluster.run()
        said: list[Any] = [one.said(), two.said()]
        assert all(len(each) == 1 for each in said)
        first = [each for each in said if each == [f"declare-ok {name} 0 0"]]
        assert len(first) == 1
        loser = one if said[1] == first[0] else two
        other = said[0] if loser is one else said[1]
        assert other[0].startswith(locked(name))
        loser.send(Channel.CloseOk())
        loser.call(Channel.Open())
        loser.take()
        assert len({vhost.queues[name].home for vhost in vhosts(cluster)}) == 1


def test_a_declare_waits_for_the_others_but_a_second(cluster: Cluster) -> None:
    one, _, _ = clients(cluster)
    cluster.meshes.hold("a", "b")
    one.send(Queue.Declare(queue="", exclusive=True))
    assert one.said() == []
    cluster.meshes.release("a", "b")
    cluster.run()
    assert one.said()[0].startswith("declare-ok amq.gen-")
    cluster.meshes.hold("a", "b")
    one.send(Queue.Declare(queue="", exclusive=True))
    assert one.said() == []
    later, cluster["a"].later = cluster["a"].later, []
    for call in later:
        call()
    assert one.said()[0].startswith("declare-ok amq.gen-")


def test_answers_reach_a_client_of_another_node(cluster: Cluster) -> None:
    one, two, _ = clients(cluster)
    two.declare("rpc", durable=True)
    one.consume("amq.rabbitmq.reply-to", no_ack=True)
    one.publish("rpc", "question", reply_to="amq.rabbitmq.reply-to")
    asked = two.get("rpc", no_ack=True)
    assert asked is not None
    name = asked.properties.reply_to
    two.send_loose(Queue.Declare(passive=True), queue=name)
    assert two.said() == [f"declare-ok {name} 0 1"]
    two.publish(name, "answer")
    assert one.bodies() == ["answer"]
    cluster.cut("a", "b")
    two.feed(published(name, "lost", mandatory=True))
    assert two.said() == ["return 312 lost"]


def test_exclusive_queues_come_and_go_without_anything_durable(cluster: Cluster) -> None:
    one, _, _ = clients(cluster)
    cluster.topology.slow = True
    for _ in range(3):
        name = one.declare("", exclusive=True).queue
        one.call(Queue.Delete(queue=name))
    assert not cluster.topology.waiting
    assert not any(vhost.queues for vhost in vhosts(cluster))


def test_a_binding_may_come_before_its_ends(cluster: Cluster) -> None:
    one, two, three = clients(cluster)
    cluster.meshes.hold("a", "c")
    one.send(Exchange.Declare(0, "x", "fanout"))
    two.declare("t")
    two.bind("t", "x")
    assert "x" not in vhosts(cluster)[2].exchanges
    cluster.meshes.release("a", "c")
    cluster.run()
    three.publish("", "m", exchange="x")
    assert str(two.get("t")) == "got 1 m left 0"


def test_what_was_unbound_meanwhile_does_not_come_back(cluster: Cluster) -> None:
    """b hears of it, which owns the queue; a does not, and must not tell c again."""
    _, two, three = clients(cluster)
    two.declare("t")
    two.bind("t", "amq.direct", "k")
    cluster.cut("a", "c")
    cluster.meshes.hold("b", "a")
    three.call(Queue.Unbind(0, "t", "amq.direct", "k"))
    cluster.heal()
    assert not any(vhosts(cluster)[2].bindings)
