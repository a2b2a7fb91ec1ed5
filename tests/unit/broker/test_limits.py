"""Limits of vhosts and users, and a vhost's default queue type: who is refused, in which words.

All texts and the order of checks: observed: 3.10.8.
"""

from __future__ import annotations

from typing import Any

import pytest

from mqd.amqp.replies import ConnectionError_
from mqd.auth.users import User
from tests.harness import Channel, Client, Queue, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.connect(channels=3)


def limit_user(world: World, name: str, **limits: int) -> None:
    user = world.directory.user(name)
    assert user is not None
    user.limits.clear()
    user.limits.update({key.replace("_", "-"): value for key, value in limits.items()})


def refusal(world: World, user: str = "guest", vhost: str = "/") -> str | None:
    try:
        world.broker.open_vhost(vhost, User(user))
    except ConnectionError_ as error:
        return error.text
    return None


# -- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "refused"), [(0, True), (1, True), (2, False), (-1, False)])
def test_connections_of_a_vhost(world: World, client: Client, limit: int, refused: bool) -> None:
    world.broker.apply_vhost_limits("/", {"max-connections": limit})
    text = f"access to vhost '/' refused for user 'guest': connection limit ({limit}) is reached"
    assert (refusal(world) or "").endswith(text if refused else "")
    assert (refusal(world) is not None) is refused
    assert client.declare("q").queue == "q"  # who is in stays


@pytest.mark.parametrize(("limit", "refused"), [(0, True), (1, True), (2, False), (-1, False)])
def test_connections_of_a_user(world: World, client: Client, limit: int, refused: bool) -> None:
    limit_user(world, "guest", max_connections=limit)
    text = f"connection refused for user 'guest': user connection limit ({limit}) is reached"
    assert (refusal(world) or "").endswith(text if refused else "")
    assert (refusal(world) is not None) is refused


def test_the_vhosts_limit_is_looked_at_first_and_permissions_last(world: World) -> None:
    world.add_vhost("other")
    limit_user(world, "guest", max_connections=0)
    assert "user connection limit" in (refusal(world, vhost="other") or "")
    world.broker.apply_vhost_limits("other", {"max-connections": 0})
    assert "refused for user 'guest': connection limit (0)" in (refusal(world, vhost="other") or "")
    assert "vhost none not found" in (refusal(world, vhost="none") or "")


def test_a_connection_that_went_makes_room(world: World, client: Client) -> None:
    world.broker.apply_vhost_limits("/", {"max-connections": 1})
    assert refusal(world) is not None
    client.drop()
    assert refusal(world) is None


# -- channels -------------------------------------------------------------------------------------


def test_channels_of_a_user_over_all_its_connections(world: World, client: Client) -> None:
    other = world.connect(channels=0)
    limit_user(world, "guest", max_channels=4)
    other.call(Channel.Open(), 1)
    other.send(Channel.Open(), channel=2)
    assert other.said() == [
        "connection.close NOT_ALLOWED - number of channels opened for user 'guest' has reached "
        "the maximum allowed user limit of (4)"
    ]
    assert client.declare("q").queue == "q"


def test_channels_that_are_open_stay_when_fewer_are_allowed(world: World, client: Client) -> None:
    limit_user(world, "guest", max_channels=1)
    assert client.declare("q", channel=3).queue == "q"
    client.call(Channel.Close(200, "", 0, 0), 1)
    client.send(Channel.Open(), channel=1)
    assert client.said()[0].endswith("maximum allowed user limit of (1)")


def test_no_limit_below_zero(world: World, client: Client) -> None:
    limit_user(world, "guest", max_channels=-1)
    client.call(Channel.Open(), 9)


# -- queues ---------------------------------------------------------------------------------------


def declare(client: Client, queue: str, **options: Any) -> list[str]:
    client.send(Queue.Declare(queue=queue, **options), channel=1)
    said = client.said()
    if said[0].startswith("channel.close"):
        client.send(Channel.CloseOk(), channel=1)
        client.call(Channel.Open(), 1)
    return said


REACHED = (
    "channel.close PRECONDITION_FAILED - cannot declare queue '{}': queue limit in vhost '/' (1) "
    "is reached"
)


def test_queues_of_a_vhost(world: World, client: Client) -> None:
    client.declare("q")
    world.broker.apply_vhost_limits("/", {"max-queues": 1})
    assert declare(client, "new") == [REACHED.format("new")]
    assert declare(client, "new", exclusive=True) == [REACHED.format("new")]
    assert "cannot declare queue 'amq.gen-" in declare(client, "")[0]
    assert declare(client, "new", arguments={"x-max-length": -1}) == [REACHED.format("new")]
    assert "reserved prefix" in declare(client, "amq.q")[0]
    assert client.declare("q").queue == "q"
    client.call(Queue.Delete(queue="q"))
    assert client.declare("new").queue == "new"


def test_no_queue_at_all_and_any_number(world: World, client: Client) -> None:
    world.broker.apply_vhost_limits("/", {"max-queues": 0})
    assert "queue limit in vhost '/' (0) is reached" in declare(client, "q")[0]
    world.broker.apply_vhost_limits("/", {"max-queues": -1})
    assert client.declare("q").queue == "q"
    world.broker.apply_vhost_limits("/", {})
    assert client.declare("r").queue == "r"


# -- default queue type ---------------------------------------------------------------------------


def test_a_queue_without_a_type_has_the_vhosts(world: World, client: Client) -> None:
    world.vhost.default_queue_type = "quorum"
    client.declare("q", durable=True, arguments={"x-max-length": 5})
    definition = world.vhost.queues["q"].definition
    assert definition.type == "quorum"
    assert list(definition.arguments) == ["x-max-length", "x-queue-type"]
    client.declare("q", durable=True, arguments={"x-max-length": 5})
    client.declare("q", durable=True, arguments={"x-max-length": 5, "x-queue-type": "quorum"})


@pytest.mark.parametrize(
    "options",
    [
        {"durable": False},
        {"durable": True, "exclusive": True},
        {"durable": True, "auto_delete": True},
        {"durable": True, "arguments": {"x-queue-type": "classic"}},
    ],
)
def test_one_that_cannot_be_of_that_type_is_classic(
    world: World, client: Client, options: dict[str, Any]
) -> None:
    world.vhost.default_queue_type = "quorum"
    client.declare("q", **options)
    definition = world.vhost.queues["q"].definition
    assert definition.type == "classic"
    assert definition.arguments.get("x-queue-type") in (None, ("longstr", b"classic"))


def test_the_default_counts_where_a_declare_is_compared(world: World, client: Client) -> None:
    client.declare("q", durable=True, arguments={"x-queue-type": "classic"})
    world.vhost.default_queue_type = "quorum"
    assert declare(client, "q", durable=True) == [
        "channel.close PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in "
        "vhost '/': received 'quorum' but current is 'classic'"
    ]


def test_what_the_type_does_not_know_is_refused(world: World, client: Client) -> None:
    world.vhost.default_queue_type = "quorum"
    assert declare(client, "q", durable=True, arguments={"x-queue-mode": "lazy"})[0].endswith(
        "invalid arg 'x-queue-mode' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"
    )
    assert declare(client, "", durable=True)[0].endswith(
        "Cannot declare a server-named queue for type rabbit_quorum_queue"
    )


def test_classic_by_default_is_written_into_every_queue(world: World, client: Client) -> None:
    world.vhost.default_queue_type = "classic"
    client.declare("q", exclusive=True)
    definition = world.vhost.queues["q"].definition
    assert definition.arguments == {"x-queue-type": ("longstr", b"classic")}
