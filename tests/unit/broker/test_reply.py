"""`mqd.broker.reply`: direct reply-to (RabbitMQ's guide "Direct Reply-to")."""

from __future__ import annotations

import pytest

from tests.harness import Basic, Channel, Client, Queue, World

PSEUDO = "amq.rabbitmq.reply-to"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def caller(world: World) -> Client:
    client = world.connect(channels=2)
    client.consume(PSEUDO, "answers", no_ack=True)
    return client


@pytest.fixture
def server(world: World) -> Client:
    client = world.connect()
    client.declare("service")
    return client


def called(caller: Client, server: Client, body: str = "question") -> str:
    """A request goes to the server; the name it is told to answer to."""
    caller.publish("service", body, reply_to=PSEUDO)
    got = server.get("service", no_ack=True)
    assert got is not None
    assert got.body.decode() == body
    name = got.properties.reply_to
    assert name is not None
    assert name.startswith(f"{PSEUDO}.")
    return name


@pytest.mark.parametrize("body", ["question", ""])
def test_a_call(body: str, caller: Client, server: Client) -> None:
    name = called(caller, server, body)
    server.publish(name, "answer", correlation_id="7")
    (got,) = caller.take()
    assert str(got) == "deliver answers 1 answer"
    assert (got.method.exchange, got.method.routing_key) == ("", name)
    assert got.properties.correlation_id == "7"
    server.publish(name, "more")
    assert caller.said() == ["deliver answers 1 more"]  # observed: 3.10.8


def test_each_channel_has_a_name_of_its_own(caller: Client, server: Client) -> None:
    caller.consume(PSEUDO, "answers", no_ack=True, channel=2)
    first = called(caller, server)
    assert called(caller, server) == first
    caller.publish("service", "q", reply_to=PSEUDO, channel=2)
    got = server.get("service")
    assert got is not None
    assert got.properties.reply_to not in (None, first)


def test_other_names_are_left_alone(caller: Client, server: Client) -> None:
    caller.publish("service", "q", reply_to="mine")
    got = server.get("service")
    assert got is not None
    assert got.properties.reply_to == "mine"


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (Basic.Consume(0, PSEUDO, "c"), "reply consumer cannot acknowledge"),
        (Basic.Consume(0, PSEUDO, "c", no_ack=True), "reply consumer already set"),
    ],
)
def test_refused(method: Basic.Consume, text: str, caller: Client) -> None:
    channel = 1 if "already" in text else 2
    caller.send(method, channel=channel)
    assert caller.said() == [f"channel.close PRECONDITION_FAILED - {text}"]


@pytest.mark.parametrize("how", ["cancel", "close", "drop"])
def test_replies_to_who_is_gone_are_dropped(
    how: str, world: World, caller: Client, server: Client
) -> None:
    name = called(caller, server)
    match how:
        case "cancel":
            caller.call(Basic.Cancel("answers"))
        case "close":
            caller.call(Channel.Close(200, "", 0, 0))
        case _:
            caller.drop()
    server.publish(name, "answer")
    assert world.broker.replies == {}
    assert caller.said() == []
    server.send_loose(Queue.Declare(0, passive=True, arguments={}), queue=name)
    assert server.said() == [f"channel.close NOT_FOUND - no queue '{name}' in vhost '/'"]


def test_a_route_kept_is_not_a_way_to_who_is_gone(caller: Client, server: Client) -> None:
    name = called(caller, server)
    server.publish(name, "answer")
    assert caller.bodies() == ["answer"]
    caller.call(Basic.Cancel("answers"))
    server.publish(name, "answer")
    assert caller.said() == []


def test_names_declare_themselves(caller: Client, server: Client) -> None:
    name = called(caller, server)
    for each in (name, PSEUDO):
        server.send_loose(Queue.Declare(0, passive=True, arguments={}), queue=each)
        assert server.said() == [f"declare-ok {each} 0 1"]


def test_a_mandatory_reply_is_delivered_and_returned(caller: Client, server: Client) -> None:
    """As a name that is no queue's it counts as unroutable (RabbitMQ's guide)."""
    name = called(caller, server)
    server.publish(name, "answer", mandatory=True)
    assert caller.bodies() == ["answer"]
    assert server.said() == ["return 312 answer"]


def test_a_small_peer_gets_small_frames(world: World, server: Client) -> None:
    caller = world.connect(frame_max=4096)
    caller.consume(PSEUDO, "answers", no_ack=True)
    name = called(caller, server)
    server.publish(name, b"x" * 9000)
    (got,) = caller.take()
    assert len(got.body) == 9000
    assert max(got.frames) == 4096
