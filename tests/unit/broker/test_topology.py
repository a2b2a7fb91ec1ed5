"""`mqd.broker.topology`: checks of declare, bind and delete, and what is proposed.

Every text and the order of checks are in tests/protocol; here is what a transcript cannot see.
"""

from __future__ import annotations

from typing import Any

import pytest

from mqd.amqp.fields import Table
from mqd.broker.definitions import ExchangeDefinition, QueueDefinition
from mqd.errors import ErrorCode, MqdError
from tests.harness import Basic, Channel, Client, Exchange, Queue, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.connect(channels=2)


LOCKED = (
    "channel.close RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in "
    "vhost '/'. It could be originally declared on another connection or the exclusive property "
    "value does not match that of the original declaration."
)


# -- queues ---------------------------------------------------------------------------------------


def test_declare_tells_how_much_there_is(client: Client) -> None:
    ok = client.declare("q")
    assert (ok.queue, ok.message_count, ok.consumer_count) == ("q", 0, 0)
    client.publish("q", "a")
    client.publish("q", "b")
    client.get("q")
    client.prefetch(1)
    client.consume("q", "c", channel=1)
    client.take()
    client.publish("q", "c")
    ok = client.declare("q", passive=True)
    assert (ok.message_count, ok.consumer_count) == (1, 1)


def test_the_server_names_a_queue(client: Client) -> None:
    names = {client.declare("").queue for _ in range(2)}
    assert len(names) == 2
    assert all(len(name) == 30 and name.startswith("amq.gen-") for name in names)
    last = client.declare("").queue
    client.publish(last, "m")
    assert client.get("") is not None


def test_line_ends_are_no_part_of_a_name(world: World, client: Client) -> None:
    client.send_loose(Queue.Declare(0, arguments={}), queue="a\r\nb")
    assert client.said() == ["declare-ok ab 0 0"]
    assert list(world.vhost.queues) == ["ab"]


@pytest.mark.parametrize(
    ("first", "then", "text"),
    [
        ({"durable": True}, {}, "'durable': received 'false' but current is 'true'"),
        ({}, {"auto_delete": True}, "'auto_delete': received 'true' but current is 'false'"),
        (
            {},
            {"arguments": {"x-max-length": 5}},
            "'x-max-length': received the value '5' of type 'byte' but current is none",
        ),
    ],
)
def test_a_second_declare_has_to_mean_the_same(
    first: dict[str, Any], then: dict[str, Any], text: str, client: Client
) -> None:
    client.declare("q", **first)
    client.declare("q", **first)
    client.send(Queue.Declare(0, "q", **then))
    name, _, difference = text.partition(":")
    assert client.said() == [
        f"channel.close PRECONDITION_FAILED - inequivalent arg {name} for queue 'q' in vhost "
        f"'/':{difference}"
    ]


def test_an_exclusive_queue_is_its_connections(world: World, client: Client) -> None:
    client.declare("mine", exclusive=True)
    client.declare("mine", exclusive=True, channel=2)
    for method in (
        Queue.Declare(0, "mine"),
        Queue.Declare(0, "mine", exclusive=True),
        Queue.Declare(0, "mine", passive=True),
        Queue.Bind(0, "mine", "amq.direct", "k"),
        Queue.Purge(0, "mine"),
        Queue.Delete(0, "mine"),
    ):
        other = world.connect()
        other.send(method)
        assert other.said() == [LOCKED]
    client.drop()
    assert "mine" not in world.vhost.queues
    world.connect().declare("mine")


def test_a_durable_queue_is_proposed_and_others_are_not(world: World, client: Client) -> None:
    world.topology.slow = True
    client.declare("t")
    client.declare("x", durable=True, exclusive=True)
    client.send(Queue.Declare(0, "d", durable=True))
    client.send(Queue.Purge(0, "t"))
    assert client.said() == []
    assert "d" not in world.vhost.queues
    world.settle_topology()
    client.feed(b"")
    assert client.said() == ["declare-ok d 0 0", "purge-ok 0"]


def test_what_follows_in_the_same_read_waits_too(world: World, client: Client) -> None:
    world.topology.slow = True
    client.send(Queue.Declare(0, "d", durable=True), Basic.Get(0, "d"), Basic.Get(0, "d"))
    assert client.said() == []
    world.settle_topology()
    assert client.said() == ["declare-ok d 0 0", "Basic.GetEmpty", "Basic.GetEmpty"]


def test_other_connections_go_on_meanwhile(world: World, client: Client) -> None:
    world.topology.slow = True
    client.send(Queue.Declare(0, "d", durable=True))
    other = world.connect()
    other.declare("t")
    assert client.said() == []


@pytest.mark.parametrize("slow", [True, False])
def test_a_refused_proposal_is_a_fault_of_the_connection(
    slow: bool, world: World, client: Client
) -> None:
    world.topology.slow = slow
    world.topology.failure = MqdError(ErrorCode.UNAVAILABLE, "the disc is full")
    client.send(Queue.Declare(0, "d", durable=True))
    world.settle_topology()
    assert client.said() == ["connection.close INTERNAL_ERROR"]


TAKEN = MqdError(ErrorCode.ALREADY_EXISTS, "it exists already")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [({}, "declare-ok d 0 0"), ({"x-expires": ("I", 9000)}, "channel.close PRECONDITION_FAILED")],
)
def test_a_queue_that_another_node_declared_meanwhile_is_found(
    theirs: Table, ours: str, world: World, client: Client
) -> None:
    world.topology.slow = True
    client.send(Queue.Declare(0, "d", durable=True))
    world.broker.apply_put_queue(QueueDefinition(99, "/", "d", arguments=theirs))
    world.topology.failure = TAKEN
    world.settle_topology()
    assert [said[: len(ours)] for said in client.said()] == [ours]


def test_a_queue_that_is_taken_and_not_to_be_found(world: World, client: Client) -> None:
    world.topology.failure = TAKEN
    client.send(Queue.Declare(0, "d", durable=True))
    assert client.said() == ["connection.close INTERNAL_ERROR"]


def test_an_exchange_that_another_node_declared_meanwhile_is_found(
    world: World, client: Client
) -> None:
    world.topology.slow = True
    client.send(Exchange.Declare(0, "x", "topic", durable=True))
    world.broker.apply_put_exchange(ExchangeDefinition("/", "x", "fanout"))
    world.topology.failure = TAKEN
    world.settle_topology()
    assert client.said()[0].startswith("channel.close PRECONDITION_FAILED")


def test_a_binding_whose_queue_went_meanwhile(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    words = "no queue 'd' in vhost '/'"
    world.topology.failure = MqdError(ErrorCode.NOT_FOUND, words)
    client.send(Queue.Bind(0, "d", "amq.topic", "k"))
    assert client.said() == [f"channel.close NOT_FOUND - {words}"]


def test_an_answer_that_comes_too_late_is_for_nobody(world: World, client: Client) -> None:
    world.topology.slow = True
    client.send(Queue.Declare(0, "d", durable=True))
    client.drop()
    world.settle_topology()
    assert "d" in world.vhost.queues


def test_a_late_answer_after_the_connection_was_told_to_go(world: World, client: Client) -> None:
    world.topology.slow = True
    client.send(Queue.Declare(0, "d", durable=True))
    entry = next(iter(world.broker.connections.values()))
    entry.close(320, "bye")
    world.settle_topology()
    assert client.said() == ["connection.close CONNECTION_FORCED - bye"]


def test_ids_of_queues_are_never_used_again(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    first = world.queue("d").definition.id
    client.call(Queue.Delete(0, "d"))
    client.declare("d", durable=True)
    client.declare("t")
    assert world.queue("d").definition.id > first > 0
    assert world.queue("t").definition.id < 0


def test_purge_and_delete_count(world: World, client: Client) -> None:
    client.declare("q")
    for body in "abc":
        client.publish("q", body)
    client.get("q")
    assert client.call(Queue.Purge(0, "q")).message_count == 2
    client.publish("q", "d")
    assert client.call(Queue.Delete(0, "q")).message_count == 1
    assert client.call(Queue.Delete(0, "q")).message_count == 0
    client.ack(1)  # of a queue that has gone
    client.send(Basic.Nack(1))
    assert client.said() == ["channel.close PRECONDITION_FAILED - unknown delivery tag 1"]


@pytest.mark.parametrize("requeue", [True, False])
def test_what_a_deleted_queue_left_may_be_settled(
    requeue: bool, world: World, client: Client
) -> None:
    client.declare("d", durable=True)
    client.publish("d", "m", mode=2)
    client.consume("d", "c")
    client.take()
    client.call(Queue.Delete(0, "d"))
    client.declare("d", durable=True)
    client.nack(1, requeue=requeue)
    assert world.queue("d").ready_count == 0
    assert world.store.kept == {}


def test_conditions_of_delete(client: Client) -> None:
    client.declare("q")
    client.publish("q", "m")
    client.send(Queue.Delete(0, "q", if_empty=True))
    assert client.said() == ["channel.close PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"]
    client.consume("q", "c", channel=2)
    client.take()
    client.send(Queue.Delete(0, "q", if_unused=True), channel=2)
    assert client.said() == ["channel.close PRECONDITION_FAILED - queue 'q' in vhost '/' in use"]


def test_consumers_hear_of_a_delete(world: World, client: Client) -> None:
    client.declare("q")
    deaf = world.connect(capabilities={})
    for each in (client, deaf):
        each.consume("q", "c")
    client.consume("q", "d", channel=2)
    client.send(Queue.Delete(0, "q"))
    assert client.said() == ["delete-ok 0", "cancel c", "cancel d"]
    assert deaf.said() == []
    client.consume(client.declare("r").queue, "c")  # the tag is free


# -- exchanges and bindings -----------------------------------------------------------------------


def test_exchanges(world: World, client: Client) -> None:
    client.call(Exchange.Declare(0, "t", "topic"))
    client.call(Exchange.Declare(0, "t", "topic"))
    client.call(Exchange.Declare(0, "t", passive=True))
    client.call(Exchange.Delete(0, "t"))
    client.call(Exchange.Delete(0, "t"))
    client.send(Exchange.Declare(0, "t", passive=True))
    assert client.said() == ["channel.close NOT_FOUND - no exchange 't' in vhost '/'"]


def test_a_durable_exchange_and_binding_are_proposed(world: World, client: Client) -> None:
    client.declare("d", durable=True)
    client.declare("t")
    world.topology.slow = True
    for method, answer in (
        (Exchange.Declare(0, "x", durable=True), "Exchange.DeclareOk"),
        (Queue.Bind(0, "d", "x", "k"), "Queue.BindOk"),
        (Queue.Unbind(0, "d", "x", "k"), "Queue.UnbindOk"),
        (Exchange.Bind(0, "amq.fanout", "x", "k"), "Exchange.BindOk"),
        (Exchange.Unbind(0, "amq.fanout", "x", "k"), "Exchange.UnbindOk"),
        (Exchange.Delete(0, "x"), "Exchange.DeleteOk"),
    ):
        client.send(method)
        assert client.said() == []
        world.settle_topology()
        assert client.said() == [answer]
    client.bind("t", "amq.direct", "k")  # a transient end makes a transient binding


def test_binding_twice_is_once(world: World, client: Client) -> None:
    client.declare("q")
    for _ in range(2):
        client.bind("q", "amq.direct", "k")
    client.call(Queue.Unbind(0, "q", "amq.direct", "k"))
    client.publish("k", "m", exchange="amq.direct")
    assert world.queue().ready_count == 0


def test_an_empty_queue_and_key_mean_the_last_queue(world: World, client: Client) -> None:
    client.declare("q")
    client.call(Queue.Bind(0, "", "amq.direct", ""))
    client.publish("q", "m", exchange="amq.direct")
    assert world.queue().ready_count == 1
    client.send(Queue.Bind(0, "", "amq.direct", ""), channel=2)
    assert client.said() == ["channel.close NOT_FOUND - no previously declared queue"]


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (Queue.Bind(0, "q", "none", "k"), "NOT_FOUND - no exchange 'none' in vhost '/'"),
        (Queue.Bind(0, "none", "amq.direct", "k"), "NOT_FOUND - no queue 'none' in vhost '/'"),
        (Exchange.Bind(0, "none", "amq.direct"), "NOT_FOUND - no exchange 'none' in vhost '/'"),
        (
            Exchange.Delete(0, "amq.direct"),
            "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
        ),
        (
            Exchange.Declare(0, "amq.mine"),
            "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (
            Queue.Declare(0, "amq.mine"),
            "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
    ],
)
def test_refused(method: Any, text: str, client: Client) -> None:
    client.declare("q")
    client.send(method)
    assert client.said() == [f"channel.close {text}"]


def test_unbinding_what_is_not_bound(client: Client) -> None:
    client.declare("q")
    client.call(Queue.Unbind(0, "q", "amq.direct", "k"))
    client.call(Queue.Unbind(0, "none", "amq.direct", "k"))
    client.call(Queue.Unbind(0, "q", "none", "k"))
    client.call(Exchange.Unbind(0, "none", "amq.direct", "k"))


def test_conditions_of_exchange_delete(client: Client) -> None:
    client.declare("q")
    client.call(Exchange.Declare(0, "x"))
    client.bind("q", "x", "k")
    client.send(Exchange.Delete(0, "x", if_unused=True))
    assert client.said() == ["channel.close PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"]


# -- permissions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rights", "method", "resource"),
    [
        (("", ".*", ".*"), Queue.Declare(0, "new"), "queue 'new'"),
        (("", ".*", ".*"), Queue.Delete(0, "q"), "queue 'q'"),
        ((".*", ".*", ""), Queue.Purge(0, "q"), "queue 'q'"),
        ((".*", "", ".*"), Queue.Bind(0, "q", "amq.direct", "k"), "queue 'q'"),
        ((".*", ".*", "^q"), Queue.Bind(0, "q", "amq.direct", "k"), "exchange 'amq.direct'"),
        (("", ".*", ".*"), Exchange.Declare(0, "new"), "exchange 'new'"),
        (("", ".*", ".*"), Exchange.Delete(0, "new"), "exchange 'new'"),
        (
            (".*", ".*", ""),
            Queue.Declare(0, "new", arguments={"x-dead-letter-exchange": "dlx"}),
            "queue 'new'",
        ),
        (
            (".*", "^new", ".*"),
            Queue.Declare(0, "new", arguments={"x-dead-letter-exchange": "dlx"}),
            "exchange 'dlx'",
        ),
        (
            (".*", "^new", ".*"),
            Exchange.Declare(0, "new", arguments={"alternate-exchange": "ae"}),
            "exchange 'ae'",
        ),
    ],
)
def test_permissions(
    rights: tuple[str, str, str], method: Any, resource: str, world: World, client: Client
) -> None:
    client.declare("q")
    world.directory.add("eve", rights=rights)
    eve = world.connect(user="eve")
    eve.send(method)
    assert eve.said() == [
        f"channel.close ACCESS_REFUSED - access to {resource} in vhost '/' refused for user 'eve'"
    ]


def test_a_channel_that_fails_declares_no_more(client: Client) -> None:
    client.declare("q")
    client.send(Queue.Bind(0, "q", "none", "k"), Queue.Declare(0, "after"))
    assert client.said() == ["channel.close NOT_FOUND - no exchange 'none' in vhost '/'"]
    client.send(Channel.CloseOk())
    client.call(Channel.Open())
    client.send(Queue.Declare(0, "after", passive=True))
    assert client.said() == ["channel.close NOT_FOUND - no queue 'after' in vhost '/'"]
