"""Queues of another node, seen through a client's connection."""

from __future__ import annotations

import pytest

from mqd import limits
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.queues.remote import RemoteQueue
from tests.cluster.queues.worlds import Client, Cluster
from tests.harness import (
    PERSISTENT,
    Basic,
    Channel,
    Confirm,
    Queue,
    Tx,
    published,
)

DOWN = (
    "channel.close NOT_FOUND - home node 'b' of durable queue 'q' in vhost '/' is down or "
    "inaccessible"
)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


@pytest.fixture
def here(cluster: Cluster) -> Client:
    """On a; durable queue q lives on b."""
    there = cluster["b"].connect()
    there.declare("q", durable=True)
    return cluster["a"].connect()


def reopen(client: Client) -> None:
    client.send(Channel.CloseOk())
    client.call(Channel.Open())


def test_a_durable_queue_lives_where_it_was_declared(cluster: Cluster, here: Client) -> None:
    del here
    assert [cluster[name].broker.vhosts["/"].queues["q"].home for name in "abc"] == ["b"] * 3
    assert [cluster[name].broker.vhosts["/"].queues["q"].is_remote for name in "abc"] == [
        True,
        False,
        True,
    ]


def test_publish_and_get(cluster: Cluster, here: Client) -> None:
    here.publish("q", "one")
    here.publish("q", "two")
    assert cluster["b"].queue("q").ready_count == 2
    got = here.get("q")
    assert str(got) == "got 1 one left 1"
    assert cluster["b"].queue("q").unacked_count == 1
    here.ack(1)
    assert cluster["b"].queue("q").unacked_count == 0
    assert str(here.get("q", no_ack=True)) == "got 2 two left 0"
    assert here.get("q") is None


def test_confirms_wait_for_the_home(cluster: Cluster, here: Client) -> None:
    here.call(Confirm.Select())
    here.feed(published("q", "1", mode=PERSISTENT) + published("q", "2", mode=PERSISTENT))
    assert here.said() == []
    cluster.commit()
    assert here.said() == ["ack 2 multiple"]
    here.feed(published("q", "3"))
    assert here.said() == ["ack 3"]


def test_a_full_queue_rejects(cluster: Cluster) -> None:
    there = cluster["b"].connect()
    there.declare("q", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    here = cluster["a"].connect()
    here.call(Confirm.Select())
    here.feed(published("q", "1") + published("q", "2"))
    assert sorted(here.said()) == ["Basic.Nack", "ack 1"]


def test_consume_ack_and_prefetch(cluster: Cluster, here: Client) -> None:
    here.prefetch(2)
    here.consume("q")
    for body in "abcd":
        here.publish("q", body)
    assert here.said() == ["deliver c 1 a", "deliver c 2 b"]
    here.ack(1)
    assert here.said() == ["deliver c 3 c"]
    here.nack(2, requeue=True)
    assert here.said() == ["deliver c 4 b*"]
    here.nack(3, requeue=False)
    assert here.said() == ["deliver c 5 d"]
    here.ack(5, multiple=True)
    queue = cluster["b"].queue("q")
    assert (queue.ready_count, queue.unacked_count) == (0, 0)


def test_what_a_client_held_goes_back_with_it(cluster: Cluster, here: Client) -> None:
    here.consume("q")
    here.publish("q", "x")
    assert here.said() == ["deliver c 1 x"]
    here.drop()
    queue = cluster["b"].queue("q")
    assert (queue.ready_count, queue.unacked_count, len(queue.consumers)) == (1, 0, 0)
    assert not cluster["b"].broker.served
    other = cluster["c"].connect()
    assert str(other.get("q")) == "got 1 x* left 0"


def test_declare_purge_and_delete_are_answered_by_the_home(cluster: Cluster, here: Client) -> None:
    here.publish("q", "1")
    here.publish("q", "2")
    here.consume("q", no_ack=False)
    here.publish("q", "3")
    here.take()
    here.send(Queue.Declare(queue="q", passive=True))
    assert here.said() == ["declare-ok q 0 1"]
    here.send(Queue.Declare(queue="q", durable=True))
    assert here.said() == ["declare-ok q 0 1"]
    here.call(Basic.Cancel("c"))
    here.nack(3, requeue=True)
    here.send(Queue.Purge(queue="q"))
    assert here.said() == ["purge-ok 1"]
    here.publish("q", "4")
    here.send(Queue.Delete(queue="q", if_empty=True))
    assert here.said() == ["channel.close PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"]
    reopen(here)
    here.take()
    here.consume("q", no_ack=True)
    here.take()
    here.send(Queue.Delete(queue="q"))
    assert here.said() == ["delete-ok 0", "cancel c"]
    assert all("q" not in cluster[name].broker.vhosts["/"].queues for name in "abc")


def test_exclusive_consumers_are_alone_in_the_cluster(cluster: Cluster, here: Client) -> None:
    other = cluster["c"].connect()
    here.consume("q", exclusive=True)
    other.send(Basic.Consume(0, "q", "c"))
    refused = "channel.close ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    assert other.said() == [refused]
    reopen(other)
    other.take()
    here.call(Basic.Cancel("c"))
    other.consume("q", exclusive=True)
    here.send(Basic.Consume(0, "q", "c"))
    assert here.said() == [refused]


def test_a_single_active_consumer_is_one_of_all(cluster: Cluster) -> None:
    clients = {name: cluster[name].connect() for name in "abc"}
    clients["b"].declare("q", durable=True, arguments={"x-single-active-consumer": True})
    for client in clients.values():
        client.consume("q")
    for body in "12":
        clients["c"].publish("q", body)
    assert [client.bodies() for client in clients.values()] == [["1", "2"], [], []]
    clients["a"].drop()
    assert [clients[name].bodies() for name in "bc"] == [["1*", "2*"], []]


def test_cancel_is_answered_after_what_was_under_way(cluster: Cluster, here: Client) -> None:
    here.consume("q", no_ack=True)
    here.take()
    cluster.meshes.hold("a", "b")
    other = cluster["c"].connect()
    here.send(Basic.Cancel("c"))
    other.publish("q", "late")
    cluster.meshes.release("a", "b")
    cluster.run()
    assert here.said() == ["deliver c 1 late", "Basic.CancelOk"]
    other.publish("q", "later")
    assert here.said() == []
    assert cluster["b"].queue("q").ready_count == 1


def test_what_comes_for_a_consumer_that_is_gone_goes_back(cluster: Cluster, here: Client) -> None:
    """It was on its way when the queue, or the node's home, had let go of the consumer."""
    queue = cluster["a"].vhost.queues["q"]
    assert isinstance(queue, RemoteQueue)
    other = cluster["c"].connect()
    for tag in ("gone", "forgotten"):
        here.consume("q", tag)
        here.take()
        (consumer,) = queue.consumers
        cluster.meshes.hold("b", "a")
        other.publish("q", tag)
        if tag == "gone":
            queue.remove_consumer(consumer)
        else:
            assert queue.at is not None
            queue.at.forget(consumer)
            home = cluster["b"].vhost.queues["q"]
            home.remove_consumer(home.consumers[0])
        cluster.meshes.release("b", "a")
        cluster.run()
        assert here.said() == []
        assert (cluster["b"].queue("q").ready_count, queue.unacked_count) == (1, 0)
        here.drop()
        here = cluster["a"].connect()
        assert str(here.get("q")) == f"got 1 {tag}* left 0"
        here.ack(1)


def test_the_channels_own_prefetch_counts_what_comes_from_everywhere(
    cluster: Cluster, here: Client
) -> None:
    cluster["c"].connect().declare("r", durable=True)
    here.prefetch(2, whole_channel=True)
    here.consume("q", "cq")
    here.consume("r", "cr")
    for body in "12":
        here.publish("q", body)
        here.publish("r", body)
    got = here.said()
    assert len(got) == 2
    here.ack(2, multiple=True)
    assert len(here.said()) == 2
    here.ack(4, multiple=True)
    for name, queue in (("b", "q"), ("c", "r")):
        assert cluster[name].queue(queue).unacked_count == 0


def test_transactions(cluster: Cluster, here: Client) -> None:
    here.call(Tx.Select())
    here.publish("q", "1", mode=PERSISTENT)
    here.send(Tx.Commit())
    assert here.said() == []
    cluster.commit()
    assert here.said() == ["Tx.CommitOk"]
    here.get("q")
    here.ack(1)
    here.call(Tx.Rollback())
    assert cluster["b"].queue("q").unacked_count == 1
    here.ack(1)
    here.call(Tx.Commit())
    assert cluster["b"].queue("q").unacked_count == 0


def test_a_client_that_does_not_read_is_sent_no_more_than_a_window(
    cluster: Cluster, here: Client
) -> None:
    here.consume("q", no_ack=True)
    here.congest()
    other = cluster["b"].connect()
    for _ in range(10):
        other.feed(b"".join(published("q", "x" * 10) for _ in range(100)))
    queue = cluster["b"].queue("q")
    assert queue.ready_count == 1000 - 256
    here.relieve()
    assert queue.ready_count == 0
    assert len(here.bodies()) == 1000


# -- a home that goes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        Queue.Declare(queue="q", durable=True),
        Queue.Declare(queue="q", durable=False),
        Queue.Declare(queue="q", passive=True),
        Queue.Delete(queue="q"),
        Queue.Purge(queue="q"),
        Queue.Bind(queue="q", exchange="amq.direct", routing_key="k"),
        Queue.Unbind(queue="q", exchange="amq.direct", routing_key="k"),
        Basic.Get(0, "q"),
        Basic.Consume(0, "q", "c"),
    ],
    ids=lambda method: str(method.name),
)
def test_nothing_can_be_asked_while_the_home_is_down(
    cluster: Cluster, here: Client, method: object
) -> None:
    cluster.cut("a", "b")
    here.send(method)
    assert here.said() == [DOWN]
    cluster.heal()
    reopen(here)
    here.take()
    here.publish("q", "x")
    assert str(here.get("q")) == "got 1 x left 0"


def test_what_is_published_while_the_home_is_down_is_not_routed(
    cluster: Cluster, here: Client
) -> None:
    here.bind("q", "amq.fanout")
    here.call(Confirm.Select())
    cluster.cut("a", "b")
    here.feed(published("q", "1") + published("q", "2", mandatory=True))
    here.feed(published("", "3", exchange="amq.fanout", mandatory=True))
    assert here.said() == ["return 312 2", "ack 2 multiple", "return 312 3", "ack 3"]


def test_consumers_are_cancelled_and_publishes_nacked_when_the_home_goes(
    cluster: Cluster, here: Client
) -> None:
    here.call(Confirm.Select())
    here.consume("q")
    here.publish("q", "held")
    here.take()
    here.feed(published("q", "1", mode=PERSISTENT) + published("q", "2", mode=PERSISTENT))
    assert here.bodies() == ["1", "2"]
    cluster.cut("a", "b")
    assert here.said() == ["cancel c", "Basic.Nack", "Basic.Nack"]
    here.ack(1)  # no harm
    queue = cluster["b"].queue("q")
    assert (queue.ready_count, queue.unacked_count, len(queue.consumers)) == (3, 0, 0)
    cluster.heal()
    here.consume("q")
    assert here.bodies() == ["held*", "1*", "2*"]


def test_an_answer_that_does_not_come_any_more_is_down(cluster: Cluster, here: Client) -> None:
    cluster.meshes.hold("a", "b")
    here.send(Basic.Get(0, "q"))
    assert here.said() == []
    cluster.cut("a", "b")
    assert here.said() == [DOWN]


def test_a_quorum_queue_waits_for_its_home(cluster: Cluster, here: Client) -> None:
    cluster.quorum_at = "b"
    here.declare("u", durable=True, arguments={"x-queue-type": "quorum"})
    here.call(Confirm.Select())
    here.consume("u")
    here.publish("u", "1")
    cluster.commit()
    assert here.said() == ["deliver c 1 1", "ack 1"]
    cluster.cut("a", "b")
    here.publish("u", "2")
    assert here.said() == []
    here.send(Queue.Declare(queue="u", passive=True))
    assert here.said() == []
    cluster.heal()
    cluster.commit()
    assert here.said() == ["declare-ok u 2 0", "deliver c 2 1*", "deliver c 3 2", "ack 2"]
    here.ack(1)
    here.ack(3, multiple=True)
    queue = cluster["b"].queue("u")
    assert (queue.ready_count, queue.unacked_count) == (0, 0)


def test_a_dead_letter_that_is_owed_is_kept_until_another_node_has_it(
    cluster: Cluster, here: Client
) -> None:
    arguments = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "q",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    here.declare("owing", durable=True, arguments=arguments)
    here.publish("owing", "m")
    here.get("owing")
    cluster.meshes.hold("a", "b")
    here.nack(1, requeue=False)
    cluster.cut("a", "b")
    cluster.commit()
    assert cluster["b"].queue("q").ready_count == 0
    cluster.heal()
    cluster["a"].tick(1000)
    cluster.run()
    assert cluster["b"].queue("q").ready_count == 1


def test_publishers_are_held_while_much_waits_for_a_home(
    cluster: Cluster, here: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REMOTE_PENDING_BYTES_MAX", 1000)
    cluster.quorum_at = "b"
    here.declare("u", durable=True, arguments={"x-queue-type": "quorum"})
    here.call(Confirm.Select())
    cluster.cut("a", "b")
    for number in range(4):
        here.feed(published("u", f"{number}" * 600))
    assert here.unread
    assert here.said() == []
    cluster.heal()
    here.feed(b"")
    cluster.commit()
    assert here.said() == ["ack 4 multiple"]
    assert cluster["b"].queue("u").ready_count == 4


def test_a_stream_of_another_node(cluster: Cluster, here: Client) -> None:
    there = cluster["b"].connect()
    there.declare("s", durable=True, arguments={"x-queue-type": "stream"})
    here.call(Confirm.Select())
    for body in "123":
        here.publish("s", body)
    assert here.said() == []
    cluster.commit()
    assert here.said() == ["ack 3 multiple"]
    here.prefetch(2)
    here.consume("s", arguments={"x-stream-offset": "first"})
    assert here.said() == ["deliver c 1 1", "deliver c 2 2"]
    here.ack(2, multiple=True)
    assert here.said() == ["deliver c 3 3"]
    here.send(Basic.Reject(3, requeue=False))
    assert here.said() == [
        "connection.close NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream "
        "queues queue 's' in vhost '/'"
    ]


def test_a_numbered_message_that_comes_again_is_one(cluster: Cluster, here: Client) -> None:
    cluster.quorum_at = "b"
    here.declare("u", durable=True, arguments={"x-queue-type": "quorum"})
    here.call(Confirm.Select())
    cluster.meshes.hold("b", "a")
    here.publish("u", "1")
    assert cluster["b"].queue("u").ready_count == 1
    cluster.cut("a", "b")
    cluster.heal()
    cluster.commit()
    assert here.said() == ["ack 1"]
    assert cluster["b"].queue("u").ready_count == 1


def test_a_queue_moves_and_its_clients_stay(cluster: Cluster, here: Client) -> None:
    """From b to a, where the client is, and on to c."""
    cluster.quorum_at = "b"
    here.declare("u", durable=True, arguments={"x-queue-type": "quorum"})
    here.consume("u")
    for place in ("a", "c", "b"):
        cluster.quorum_at = place
        for name in "abc":
            cluster[name].queues.homes_changed()
        cluster.run()
        here.publish("u", place)
        assert here.bodies() == [place]
        cluster.commit()
        queue = cluster[place].queue("u")
        assert len(queue.consumers) == 1
        assert queue.unacked_count == 1
        assert not queue.is_remote


def test_a_home_that_does_not_know_it_yet_is_asked_again_later(
    cluster: Cluster, here: Client
) -> None:
    cluster.quorum_at = "b"
    here.declare("u", durable=True, arguments={"x-queue-type": "quorum"})
    here.call(Confirm.Select())
    cluster.quorum_at = "c"
    cluster["a"].queues.homes_changed()
    here.publish("u", "1")
    here.send(Basic.Get(0, "u"))
    cluster.commit()
    assert here.said() == []
    cluster["c"].queues.homes_changed()
    cluster.run()
    cluster.commit()
    assert here.said() == ["got 1 1 left 0", "ack 1"]


def test_what_was_asked_of_a_queue_is_answered_when_it_has_moved_here(
    cluster: Cluster, here: Client
) -> None:
    cluster.quorum_at = "b"
    here.declare("u", durable=True, arguments={"x-queue-type": "quorum"})
    clients = [cluster["a"].connect() for _ in range(5)]
    cluster.cut("a", "b")
    here.call(Confirm.Select())
    here.publish("u", "1")
    for client, method in zip(
        clients,
        (
            Queue.Declare(queue="u", passive=True),
            Basic.Get(0, "u"),
            Basic.Consume(0, "u", "c"),
            Queue.Purge(queue="u"),
            Queue.Delete(queue="u"),
        ),
        strict=True,
    ):
        client.send(method)
        assert client.said() == []
    cluster.quorum_at = "a"
    cluster["a"].queues.homes_changed()
    cluster.commit()
    assert here.said() == ["ack 1"]
    assert [client.said() for client in clients] == [
        ["declare-ok u 1 1"],
        ["got 1 1 left 0"],
        ["Basic.ConsumeOk", "cancel c"],
        ["purge-ok 0"],
        ["delete-ok 0"],
    ]


# -- links that take no more ----------------------------------------------------------------------


def test_publishers_are_held_while_a_link_takes_no_more(cluster: Cluster, here: Client) -> None:
    here.call(Confirm.Select())
    cluster.meshes.congest("a", "b")
    here.publish("q", "1")
    here.publish("q", "2")
    assert here.unread
    assert cluster["b"].queue("q").ready_count == 0
    assert here.said() == []
    cluster.meshes.relieve("a", "b")
    cluster.run()
    here.feed(b"")
    assert here.said() == ["ack 1", "ack 2"]
    assert cluster["b"].queue("q").ready_count == 2


def test_consumers_wait_while_a_link_takes_no_more(cluster: Cluster, here: Client) -> None:
    here.consume("q", no_ack=True)
    there = cluster["b"].connect()
    cluster.meshes.congest("b", "a")
    for body in "123":
        there.publish("q", body)
    assert here.said() == []
    assert cluster["b"].queue("q").ready_count == 2
    cluster.meshes.relieve("b", "a")
    cluster.run()
    assert here.bodies() == ["1", "2", "3"]


def test_a_large_commit_goes_in_pieces(cluster: Cluster, here: Client) -> None:
    here.call(Tx.Select())
    for _ in range(40):
        here.publish("q", "x" * 100_000)
    sent: list[int] = []
    mesh = cluster.meshes["a"]
    send = mesh.send
    mesh.send = lambda node, service, data: sent.append(len(data)) or send(node, service, data)  # type: ignore[method-assign, func-returns-value]
    here.call(Tx.Commit())
    assert len(sent) > 3
    assert max(sent) < 1_300_000
    assert cluster["b"].queue("q").ready_count == 40


def test_a_delivery_is_traced_once_where_its_client_is(cluster: Cluster, here: Client) -> None:
    for name in "abc":
        vhost = cluster[name].broker.vhosts["/"]
        vhost.apply_put_exchange(ExchangeDefinition("/", "amq.rabbitmq.trace", "topic"))
        vhost.tracer.switch(True)
    here.declare("log", durable=True)
    here.bind("log", "amq.rabbitmq.trace", "#")
    here.consume("q")
    here.publish("q", "one")
    here.call(Basic.Cancel("c"))
    here.publish("q", "two")
    assert here.get("q") is not None
    keys = []
    while (got := here.get("log", no_ack=True)) is not None:
        keys.append(got.method.routing_key)
    assert keys.count("publish.") == 2
    assert keys.count("deliver.q") == 2
