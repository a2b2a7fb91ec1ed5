"""`mqd.broker.event_exchange`: events as messages. What each event tells is in
tests/ctl/test_events.py; what a message looks like was recorded from 3.10.8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pamqp.commands import Exchange

from mqd.amqp.properties import decode
from mqd.broker.definitions import BindingDefinition
from mqd.broker.event_exchange import EVENT_EXCHANGE, EventExchange
from tests.harness import Client, World

EVERYTHING = BindingDefinition("/", EVENT_EXCHANGE, "queue", "heard", "#")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect()
    client.declare("heard")
    return client


@pytest.fixture
def service(world: World, client: Client) -> Iterator[EventExchange]:
    service = EventExchange(world.broker)
    service.start()
    client.bind("heard", EVENT_EXCHANGE, "#")
    yield service
    service.stop()


def heard(world: World, client: Client) -> list[str]:
    world.broker.turn.run()
    names = []
    while (got := client.get("heard", no_ack=True)) is not None:
        names.append(got.method.routing_key)
        world.broker.turn.run()
    return names


def test_a_message_has_no_body(world: World, client: Client, service: EventExchange) -> None:
    heard(world, client)
    client.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    world.broker.turn.run()
    (message,) = world.queue("heard").resident()
    told = decode(message.header)
    assert (message.exchange, message.routing_key) == (EVENT_EXCHANGE, "exchange.created")
    assert (message.body, told.delivery_mode, message.persistent) == (b"", 2, True)
    assert told.headers is not None
    assert told.headers["name"] == ("longstr", b"x")
    assert told.headers["user_who_performed_action"] == ("longstr", b"guest")
    assert told.headers["timestamp_in_ms"] == ("long", world.broker.clock.wall_ms())
    assert told.timestamp == world.broker.clock.wall_ms() // 1000
    assert list(told.headers)[-1] == "timestamp_in_ms"


def test_what_is_made_and_goes_is_heard(
    world: World, client: Client, service: EventExchange
) -> None:
    assert heard(world, client) == ["binding.created"], "its own"
    client.declare("q", auto_delete=True)
    client.consume("q", "t")
    world.connect().drop()
    assert heard(world, client) == [
        "queue.created",
        "consumer.created",
        "user.authentication.success",
        "connection.created",
        "channel.created",
        "channel.closed",
        "connection.closed",
    ]


def test_alarms_are_heard_once(world: World, client: Client, service: EventExchange) -> None:
    heard(world, client)
    for on in (True, True, False, False):
        world.broker.set_alarm("memory", on)
    assert heard(world, client) == ["alarm.set", "alarm.cleared"]


def test_it_goes_with_its_bindings(world: World, client: Client, service: EventExchange) -> None:
    service.stop()
    service.stop()
    assert EVENT_EXCHANGE not in world.vhost.exchanges
    assert EVERYTHING not in world.vhost.bindings
    assert not world.broker.events.listeners
    client.declare("q")
    service.start()
    client.bind("heard", EVENT_EXCHANGE, "queue.*")
    heard(world, client)
    client.declare("q2")
    assert heard(world, client) == ["queue.created"]


def test_without_its_vhost_the_log_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.broker.settings = replace(world.broker.settings, events_vhost="gone")
    service = EventExchange(world.broker)
    service.start()
    assert "event_exchange.vhost" in caplog.text
    service.stop()
    assert not world.broker.events.listeners
