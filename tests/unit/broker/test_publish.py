"""`mqd.broker.publish`: from a method frame to the queues, and what stops a message."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import frame

from mqd.broker.definitions import ExchangeDefinition
from tests.harness import (
    Basic,
    Client,
    Confirm,
    Exchange,
    Queue,
    World,
    published,
)
from tests.recorder import header_frame, publish_method, raw_frame


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    """With the queues q (transient) and d (durable)."""
    client = world.connect(channels=2)
    client.declare("q")
    client.declare("d", durable=True)
    return client


def count(world: World, queue: str = "q") -> int:
    return world.queue(queue).ready_count


# -- where it goes, and for how long that is known ------------------------------------------------


def test_the_default_exchange_knows_queues_by_name(world: World, client: Client) -> None:
    client.publish("q", "m")
    client.publish("none", "m")
    assert count(world) == 1


@pytest.mark.parametrize("seen", [False, True])
def test_changes_count_at_once(seen: bool, world: World, client: Client) -> None:
    """What a publisher resolved before is resolved again after any change."""

    def publish() -> None:
        client.publish("k", "m", exchange="amq.direct")

    if seen:
        publish()
    client.bind("q", "amq.direct", "k")
    publish()
    assert count(world) == 1
    client.call(Queue.Unbind(0, "q", "amq.direct", "k"))
    publish()
    assert count(world) == 1
    client.bind("q", "amq.direct", "k")
    client.call(Queue.Delete(0, "q"))
    client.declare("q")
    publish()
    assert count(world) == 0
    client.bind("q", "amq.direct", "k")
    publish()
    assert count(world) == 1


def test_permissions_taken_away_count_at_once(world: World, client: Client) -> None:
    world.directory.add("w", rights=("", ".*", ""))
    writer = world.connect(user="w")
    writer.publish("q", "m")
    world.directory.add("w", rights=("", "", ""))
    world.broker.apply_access_changed()
    writer.publish("q", "m")
    assert writer.said() == [
        "channel.close ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused "
        "for user 'w'"
    ]
    assert count(world) == 1


def test_an_exchange_that_goes(world: World, client: Client) -> None:
    client.call(Exchange.Declare(0, "x", "fanout"))
    client.publish("k", "m", exchange="x")
    client.call(Exchange.Delete(0, "x"))
    client.publish("k", "m", exchange="x")
    assert client.said() == ["channel.close NOT_FOUND - no exchange 'x' in vhost '/'"]


def test_a_queue_at_most_once(world: World, client: Client) -> None:
    client.bind("q", "amq.topic", "a.#")
    client.bind("q", "amq.topic", "#.b")
    client.publish("a.b", "m", exchange="amq.topic")
    assert count(world) == 1


def test_headers_route_each_message(world: World, client: Client) -> None:
    client.bind("q", "amq.headers", colour="red")
    for colour in ("red", "blue", "red"):
        client.publish("", colour, exchange="amq.headers", headers={"colour": colour})
    client.publish("", "none", exchange="amq.headers")
    assert count(world) == 2


def test_cc_and_bcc(world: World, client: Client) -> None:
    client.declare("r")
    client.declare("s")
    client.publish("q", "m", headers={"CC": ["r", "q"], "BCC": ["s", "none"]})
    for queue in ("q", "r", "s"):
        got = client.get(queue)
        assert got is not None
        assert got.method.message_count == 0
        assert got.method.routing_key == "q"
        assert got.properties.headers == {"CC": ["r", "q"]}


# -- what stops a message -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"exchange": "none"}, "NOT_FOUND - no exchange 'none' in vhost '/'"),
        (
            {"exchange": "inner"},
            "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'",
        ),
        ({"expiration": "abc"}, "PRECONDITION_FAILED - invalid expiration 'abc': no_integer"),
        (
            {"expiration": "-1"},
            "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}",
        ),
        (
            {"user_id": "bob"},
            "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was "
            "'guest'",
        ),
        ({"mode": 3}, "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}"),
        (
            {"mode": 3, "headers": {}},
            "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}",
        ),
        (
            {"mode": 0, "content_type": "a"},
            "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,0}",
        ),
        (
            {"headers": {"CC": "r"}},
            'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}',
        ),
        (
            {"reply_to": "amq.rabbitmq.reply-to"},
            "PRECONDITION_FAILED - fast reply consumer does not exist",
        ),
    ],
)
@pytest.mark.parametrize("seen", [False, True])
def test_refused(
    seen: bool, options: dict[str, Any], text: str, world: World, client: Client
) -> None:
    world.broker.apply_put_exchange(ExchangeDefinition("/", "inner", "fanout", internal=True))
    if seen and "exchange" not in options:
        client.publish("q", "plain")
    client.publish("q", "m", **options)
    (closed,) = client.take()
    assert str(closed) == f"channel.close {text}"
    assert (closed.method.class_id, closed.method.method_id) == (60, 40)
    assert count(world) == (1 if seen and "exchange" not in options else 0)


def test_immediate_is_not_there(client: Client) -> None:
    client.feed(publish_method(1, "", "q", 2))
    assert client.said() == ["connection.close NOT_IMPLEMENTED - immediate=true"]


def test_who_may_speak_for_others(world: World, client: Client) -> None:
    client.publish("q", "m", user_id="guest")
    world.directory.add("proxy", tags=("impersonator",))
    world.connect(user="proxy").publish("q", "m", user_id="bob")
    assert count(world) == 2


@pytest.mark.parametrize(
    "properties",
    [
        (0x0010, b"\x02\xff\xfe"),  # user-id that is no UTF-8
        (0x0100, b"\x02\xff\xfe"),  # expiration likewise
    ],
)
def test_a_fault_that_names_bytes_which_are_no_text(
    properties: tuple[int, bytes], client: Client
) -> None:
    flags, raw = properties
    client.feed(publish_method(1, "", "q") + header_frame(1, 0, flags, raw))
    assert b"PRECONDITION_FAILED" in client.raw_output()


def test_topic_permissions(world: World, client: Client) -> None:
    from mqd.auth.permissions import TopicPermission

    world.directory.topic_permissions["guest", "/", "amq.topic"] = TopicPermission("^a", ".*")
    client.bind("q", "amq.topic", "#")
    client.publish("a.b", "m", exchange="amq.topic")
    assert count(world) == 1
    client.publish("b.a", "m", exchange="amq.topic")
    assert client.said() == [
        "channel.close ACCESS_REFUSED - access to topic 'b.a' in exchange 'amq.topic' in vhost "
        "'/' refused for user 'guest'"
    ]


# -- mandatory ------------------------------------------------------------------------------------


def test_an_unroutable_mandatory_message_returns_before_its_confirm(client: Client) -> None:
    client.call(Confirm.Select())
    client.publish("none", "m", mandatory=True, headers={"h": 1})
    returned, ack = client.take()
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.exchange, returned.method.routing_key) == ("", "none")
    assert returned.body == b"m"
    assert returned.properties.headers == {"h": 1}
    assert str(ack) == "ack 1"


def test_mandatory_messages_that_are_routed(world: World, client: Client) -> None:
    client.publish("q", "m", mandatory=True)
    client.publish("none", "m", mandatory=True, headers={"CC": ["q"]})
    assert client.said() == []
    assert count(world) == 2


def test_unroutable_messages_are_dropped(client: Client) -> None:
    client.call(Confirm.Select())
    client.publish("none", "m")
    assert client.said() == ["ack 1"]


@pytest.mark.parametrize("name", ["x", "ünusual (name)", "x" * 200])
def test_returns_name_any_exchange(name: str, world: World, client: Client) -> None:
    world.broker.apply_put_exchange(ExchangeDefinition("/", name, "fanout"))
    client.feed(
        raw_frame(
            1,
            1,
            b"\0\x3c\0\x28\0\0" + bytes((len(name.encode()),)) + name.encode() + b"\x02k!\x01",
        )
        + header_frame(1, 1)
        + raw_frame(3, 1, b"m")
    )
    (got,) = client.take()
    assert (got.method.exchange, got.method.routing_key) == (name, "k!")


# -- what is persistent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "persistent"),
    [
        ({}, False),
        ({"mode": 1}, False),
        ({"mode": 2}, True),
        ({"mode": 2, "content_type": "a", "content_encoding": "b"}, True),
        ({"mode": 2, "headers": {"a": {"b": [1]}}}, True),
        ({"mode": 1, "headers": {"a": 1}}, False),
        ({"mode": 2, "expiration": "1000"}, True),
    ],
)
def test_delivery_mode(
    options: dict[str, Any], persistent: bool, world: World, client: Client
) -> None:
    client.publish("d", "m", **options)
    assert bool(world.store.kept) == persistent


def test_a_copy_for_each_durable_queue(world: World, client: Client) -> None:
    client.declare("e", durable=True)
    for queue in ("d", "e", "q"):
        client.call(Queue.Bind(0, queue, "amq.fanout"))
    client.call(Confirm.Select())
    client.publish("", "m", exchange="amq.fanout", mode=2)
    ids = {world.queue(name).definition.id for name in ("d", "e")}
    assert set(world.store.kept) == ids
    one, two = (next(iter(world.store.kept[each].values())) for each in ids)
    assert one is not two
    assert one.content is two.content  # so that the store writes it once
    assert client.said() == []
    world.commit()
    assert client.said() == ["ack 1"]


# -- alarms ---------------------------------------------------------------------------------------


def test_who_publishes_under_an_alarm_is_held(world: World, client: Client) -> None:
    consumer = world.connect()
    consumer.consume("q", "c")
    world.broker.set_alarm("memory", True)
    assert client.said() == []
    client.publish("q", "m")
    (blocked,) = client.take()
    assert (blocked.name, blocked.method.reason) == ("Connection.Blocked", "low on memory")
    client.publish("q", "late")
    assert client.unread
    world.broker.set_alarm("memory", False)
    world.end_turns()
    client.feed(b"")
    assert client.said() == ["Connection.Unblocked"]
    assert "late" in consumer.bodies()


def test_frames_as_they_came() -> None:
    """The helper's frames are what pamqp writes, but for nothing."""
    method = frame.marshal(Basic.Publish(0, "", "q", False), 1)
    assert publish_method(1, "", "q") == method
    assert published("q", "m", channel=1).startswith(method)
