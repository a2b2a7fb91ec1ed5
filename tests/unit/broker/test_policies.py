"""Policies on live queues and exchanges: what is there follows at once, what is new has them."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.broker.definitions import ExchangeDefinition
from mqd.policies.model import OPERATOR_POLICY, POLICY, Policy
from tests.harness import Client, Exchange, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.connect(channels=2)


def put(world: World, name: str, definition: dict[str, Any], **options: Any) -> None:
    """Set a policy, or with operator=True an operator policy."""
    component = OPERATOR_POLICY if options.pop("operator", False) else POLICY
    pattern = options.pop("pattern", ".*")
    world.broker.apply_policy("/", component, name, Policy(name, pattern, definition, **options))
    world.end_turns()


def clear(world: World, name: str, component: str = POLICY) -> None:
    world.broker.apply_policy("/", component, name, None)
    world.end_turns()


def drained(client: Client, queue: str = "q") -> list[str]:
    bodies = []
    while (got := client.get(queue, no_ack=True)) is not None:
        bodies.append(got.body.decode())
    return bodies


def test_a_queue_gets_shorter_and_may_grow_again(world: World, client: Client) -> None:
    client.declare("q")
    for body in "abc":
        client.publish("q", body)
    put(world, "short", {"max-length": 2})
    assert world.queue().ready_count == 2
    client.publish("q", "d")
    assert drained(client) == ["c", "d"]
    clear(world, "short")
    for body in "abc":
        client.publish("q", body)
    assert drained(client) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("before", "kind", "left"),
    [
        ({}, "classic", ["c"]),
        ({"overflow": "drop-head"}, "classic", ["c"]),
        ({"overflow": "reject-publish-dlx"}, "classic", ["a", "b", "c"]),
        ({}, "quorum", ["a", "b", "c"]),
    ],
)
def test_a_new_length_holds_before_a_new_overflow(
    before: dict[str, Any], kind: str, left: list[str], world: World, client: Client
) -> None:
    client.declare("q", durable=True, arguments={"x-queue-type": kind})
    put(world, "p", {"max-length": 5, **before})
    for body in ("a", "b", "c"):
        client.publish("q", body)
    put(world, "p", {"max-length": 1, "overflow": "reject-publish"})
    assert drained(client) == left


def test_messages_expire_while_the_policy_is_there(world: World, client: Client) -> None:
    client.declare("q")
    put(world, "soon", {"message-ttl": 100})
    client.publish("q", "old")
    world.tick(150)
    assert drained(client) == []
    clear(world, "soon")
    client.publish("q", "new")
    world.tick(10_000)
    assert drained(client) == ["new"]


def test_the_lesser_of_argument_policy_and_operator_policy_counts(
    world: World, client: Client
) -> None:
    client.declare("q", arguments={"x-max-length": 3})
    put(world, "user", {"max-length": 2})
    put(world, "op", {"max-length": 1}, operator=True)
    for body in "abcd":
        client.publish("q", body)
    assert world.queue().ready_count == 1
    clear(world, "op", OPERATOR_POLICY)
    for body in "abcd":
        client.publish("q", body)
    assert world.queue().ready_count == 2
    clear(world, "user")
    for body in "abcd":
        client.publish("q", body)
    assert drained(client) == ["b", "c", "d"]


def test_dead_letters_go_where_the_policy_says_unless_an_argument_does(
    world: World, client: Client
) -> None:
    for name in ("dead", "own"):
        client.declare(name)
    client.declare("q")
    client.declare(
        "r", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "own"}
    )
    definition = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
    put(world, "dlx", definition, pattern="^[qr]$")
    for queue in ("q", "r"):
        client.publish(queue, queue)
        got = client.get(queue)
        assert got is not None
        client.nack(got.method.delivery_tag, requeue=False)
    assert drained(client, "dead") == ["q"]
    assert drained(client, "own") == ["r"]
    clear(world, "dlx")
    client.publish("q", "gone")
    got = client.get("q")
    assert got is not None
    client.nack(got.method.delivery_tag, requeue=False)
    assert drained(client, "dead") == []


def test_an_alternate_exchange_comes_and_goes_under_a_resolved_publish(
    world: World, client: Client
) -> None:
    client.declare("q")
    client.bind("q", "amq.fanout")
    client.call(Exchange.Declare(exchange="x", exchange_type="direct"))
    client.publish("nowhere", "1", exchange="x")
    put(world, "ae", {"alternate-exchange": "amq.fanout"}, apply_to="exchanges", pattern="^x$")
    client.publish("nowhere", "2", exchange="x")
    clear(world, "ae")
    client.publish("nowhere", "3", exchange="x")
    assert drained(client) == ["2"]


def test_what_is_new_has_its_policy_from_the_start(world: World, client: Client) -> None:
    put(world, "p", {"max-length": 1})
    client.declare("q")
    client.publish("q", "a")
    client.publish("q", "b")
    assert drained(client) == ["b"]
    client.call(Exchange.Declare(exchange="x", exchange_type="direct"))
    assert world.vhost.exchanges["x"].policy == world.queue().policy


def test_exclusive_and_server_named_queues_have_policies_too(world: World, client: Client) -> None:
    put(world, "p", {"max-length": 1})
    name = client.declare("", exclusive=True).queue
    assert world.queue(name).rules.max_length == 1


def test_a_queue_expires_by_policy(world: World, client: Client) -> None:
    client.declare("q")
    put(world, "p", {"expires": 1000})
    world.tick(900)
    assert "q" in world.vhost.queues
    world.tick(200)
    assert "q" not in world.vhost.queues


def test_a_quorum_queue_is_passed_by_by_what_it_does_not_know(world: World, client: Client) -> None:
    client.declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    put(world, "lazy", {"queue-mode": "lazy", "max-length": 1}, priority=5)
    put(world, "limit", {"delivery-limit": 4})
    applied = world.vhost.queues["q"].policy
    assert applied is not None
    assert applied.name == "limit"
    assert world.vhost.queues["q"].rules.delivery_limit == 4


def test_a_policy_of_another_vhost_is_none_here(world: World, client: Client) -> None:
    world.add_vhost("other")
    client.declare("q")
    world.broker.apply_policy("other", POLICY, "p", Policy("p", "", {"max-length": 1}))
    assert world.queue().policy is None
    world.broker.apply_put_exchange(ExchangeDefinition("other", "x"))
    assert world.broker.vhosts["other"].exchanges["x"].policy is not None


def test_a_policy_of_the_same_name_replaces_the_old_one(world: World, client: Client) -> None:
    client.declare("q")
    put(world, "p", {"max-length": 1})
    put(world, "p", {"max-length-bytes": 1})
    rules = world.queue().rules
    assert (rules.max_length, rules.max_length_bytes) == (None, 1)
