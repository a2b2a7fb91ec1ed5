"""What waits for another node ends, whoever goes meanwhile, and whoever hears of what late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mqd.amqp.replies import ChannelError
from mqd.broker.queues.remote import RemoteQueue
from tests.cluster.queues.worlds import Client, Cluster
from tests.harness import Basic, Channel, Confirm, Queue

QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


@pytest.fixture
def waiting(cluster: Cluster) -> Client:
    """On a, with a delivery of a queue that is here. Quorum queue u lives on b, which is away."""
    client = cluster["a"].connect()
    client.declare("mine", durable=True)
    cluster.quorum_at = "b"
    client.declare("u", durable=True, arguments=QUORUM)
    client.publish("mine", "m")
    client.consume("mine")
    cluster.cut("a", "b")
    client.said()
    return client


def time_out(cluster: Cluster) -> None:
    """A delivery on the client's channel was not acknowledged in time."""
    (entry,) = cluster["a"].broker.connections.values()
    entry.peer.time_out(1, 1)
    cluster.run()


ASKED = {
    "state": Queue.Declare(queue="u", passive=True),
    "purge": Queue.Purge(queue="u"),
    "delete": Queue.Delete(queue="u"),
    "get": Basic.Get(queue="u"),
    "consume": Basic.Consume(queue="u", consumer_tag="c2"),
}


@pytest.mark.parametrize("what", sorted(ASKED))
def test_a_channel_that_is_closed_while_it_asks_holds_nobody_up(
    cluster: Cluster, waiting: Client, what: str
) -> None:
    waiting.send(ASKED[what])
    assert waiting.said() == []
    time_out(cluster)
    assert "delivery acknowledgement on channel 1 timed out" in waiting.said()[0]
    waiting.send(Channel.CloseOk())
    waiting.call(Channel.Open())  # the connection is read again
    queue = cluster["a"].broker.vhosts["/"].queues["u"]
    assert isinstance(queue, RemoteQueue)
    assert queue.take_waiting() == []
    assert not cluster["a"].broker.vhosts["/"]._deleting
    cluster.heal()
    assert waiting.said() == []


def test_one_whose_connection_breaks_leaves_nothing_waiting(
    cluster: Cluster, waiting: Client
) -> None:
    waiting.send(ASKED["delete"])
    waiting.drop()
    cluster.run()
    vhost = cluster["a"].broker.vhosts["/"]
    queue = vhost.queues["u"]
    assert isinstance(queue, RemoteQueue)
    assert (queue.take_waiting(), vhost._deleting) == ([], {})


def test_a_message_on_its_way_to_a_channel_that_closes_ends_the_question(
    cluster: Cluster, waiting: Client
) -> None:
    cluster.heal()
    cluster["b"].connect().publish("u", "for nobody")
    cluster.commit()
    cluster.meshes.hold("b", "a")
    waiting.send(ASKED["get"])
    time_out(cluster)
    waiting.send(Channel.CloseOk())
    cluster.meshes.release("b", "a")
    cluster.run()
    waiting.said()
    waiting.call(Channel.Open())
    assert cluster["b"].queue("u").ready_count == 1


def test_the_answer_to_one_that_is_gone_is_a_fault_of_its_channel(cluster: Cluster) -> None:
    client = cluster["a"].connect()
    cluster.quorum_at = "b"
    client.declare("u", durable=True, arguments=QUORUM)
    (entry,) = cluster["a"].broker.connections.values()
    channel = entry.channels[1]
    client.drop()
    heard: list[object] = []
    queue = cluster["a"].broker.vhosts["/"].queues["u"]
    assert isinstance(queue, RemoteQueue)
    queue.ask(channel, lambda home, then: then(None), heard.append)
    assert isinstance(heard[0], ChannelError)


# -- a home that hears late ------------------------------------------------------------------------


def test_a_quorum_queue_that_its_home_has_not_heard_of_gets_what_was_published(
    cluster: Cluster,
) -> None:
    client = cluster["a"].connect()
    late = cluster.topology.nodes.pop("b")
    cluster.quorum_at = "b"
    client.declare("u", durable=True, arguments=QUORUM)
    client.call(Confirm.Select())
    client.publish("u", "1")
    client.publish("u", "2")
    cluster.commit()
    assert client.said() == []
    late.apply_put_queue(cluster["a"].queue("u").definition)
    cluster.run()
    cluster.commit()
    assert client.said() == ["ack 2 multiple"]
    assert cluster["b"].queue("u").ready_count == 2


def test_a_classic_queue_that_its_home_has_not_heard_of_takes_nothing(cluster: Cluster) -> None:
    cluster["b"].connect().declare("q", durable=True)
    client = cluster["a"].connect()
    client.call(Confirm.Select())
    late = replace(cluster["a"].queue("q").definition, name="late", id=999)
    cluster["a"].broker.apply_put_queue(late)
    client.publish("late", "1")
    cluster.commit()
    assert client.said() == ["Basic.Nack"]
    cluster["b"].broker.apply_put_queue(late)
    client.publish("late", "2")
    cluster.commit()
    assert client.said() == ["ack 2"]
    assert cluster["b"].queue("late").ready_count == 1


def test_a_vhost_that_its_home_hears_of_late_or_made_anew_is_published_to(
    cluster: Cluster,
) -> None:
    there = cluster["b"]
    there.connect().declare("q", durable=True)
    client = cluster["a"].connect()
    client.call(Confirm.Select())
    definition = cluster["a"].queue("q").definition
    client.publish("q", "1")
    before = there.broker.vhosts.pop("/")
    client.publish("q", "2")
    cluster.run()
    assert client.said() == ["ack 1", "Basic.Nack"]
    there.add_vhost("/")
    assert there.broker.vhosts["/"] is not before
    there.broker.apply_put_queue(definition)
    client.publish("q", "3")
    cluster.commit()
    assert client.said() == ["ack 3"]
    assert there.queue("q").ready_count == 1
