"""Queues that go into a shard and come out of one, with what is in them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mqd.broker.queues.quorum import QuorumQueue
from mqd.broker.queues.sharded import ShardedClassic, ShardedQuorum
from tests.cluster.shards.asking import get, heard
from tests.cluster.shards.messages import message
from tests.cluster.shards.test_shards import DEFINITION, Cluster, cluster
from tests.harness import Basic, Client, Confirm, World

pytestmark = pytest.mark.asyncio

LOCAL = replace(DEFINITION, id=10, name="l", shard=None)
IN_SHARD = replace(LOCAL, shard=0)


def put(three: Cluster, **changes: object) -> None:
    for node in three.nodes.values():
        node.broker.apply_put_queue(replace(LOCAL, **changes))


async def rest(three: Cluster, client: Client) -> list[str]:
    bodies = []
    while (got := await get(three, client, "l")) is not None:
        bodies.append(got.body.decode() + "*" * got.method.redelivered)
    return bodies


def used(world: World) -> Client:
    """A queue with six messages: a consumer has two, one of which it had before, and three wait."""
    client = world.connect()
    for body in "abcdef":
        client.publish("l", body, mode=2)
    client.prefetch(2)
    client.consume("l")
    client.ack(1)
    client.nack(2)
    assert world.vhost.queues["l"].unacked_count == 2
    return client


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_a_queue_goes_into_a_shard_with_its_messages_and_consumers(kind: str) -> None:
    async with cluster() as three:
        put(three, type=kind)
        world = three["a"].world
        client = used(world)
        put(three, type=kind, shard=0)
        queue = world.vhost.queues["l"]
        assert isinstance(queue, (ShardedQuorum, ShardedClassic))
        await three.until(lambda: not world.vhost.moves)
        assert 10 not in world.store.kept
        client.drop()
        three.crash("a")
        await three.home("b")
        bodies = [body.rstrip("*") for body in await rest(three, three["b"].world.connect())]
        assert sorted(bodies) == list("bcdef")
        assert [body for body in bodies if body in "def"] == list("def")


async def test_a_queue_comes_out_of_a_shard_with_its_messages() -> None:
    async with cluster() as three:
        put(three, shard=0)
        world = three["a"].world
        client = world.connect()
        for body in "abc":
            client.publish("l", body)
        await three.until(lambda: world.vhost.queues["l"].ready_count == 3)
        assert await get(three, client, "l") is not None
        put(three)
        queue = world.vhost.queues["l"]
        assert type(queue) is QuorumQueue
        assert [m.body for m in world.store.kept[10].values()] == [b"a", b"b", b"c"]
        await three.until(lambda: not world.vhost.moves)
        client.drop()
        assert await rest(three, world.connect()) == ["a*", "b", "c"]


@pytest.mark.parametrize("no_ack", [False, True])
async def test_what_is_being_answered_as_a_queue_comes_out_is_not_lost(no_ack: bool) -> None:
    async with cluster() as three:
        put(three, shard=0)
        world = three["a"].world
        client = world.connect()
        client.publish("l", "a")
        client.publish("l", "b")
        await three.until(lambda: world.vhost.queues["l"].ready_count == 2)
        client.send(Basic.Get(0, "l", no_ack))
        put(three)
        got = await heard(three, client)
        await three.until(lambda: not world.vhost.moves)
        client.drop()
        left = [body.rstrip("*") for body in await rest(three, world.connect())]
        assert got.body == b"a"
        assert left == (["b"] if no_ack else ["a", "b"])


async def test_what_was_left_on_the_way_is_brought() -> None:
    async with cluster() as three:
        world = three["a"].world
        put(three, shard=0)
        kept = [*three["a"].broker.vhosts["/"].left_behind]
        assert not kept
        other = World()
        other.broker.apply_put_queue(LOCAL)
        client = other.connect()
        client.publish("l", "m")
        left = [(m, True) for m in other.store.kept[10].values()]
        world.vhost.left_behind[10] = left
        world.store.kept[10] = dict(other.store.kept[10])
        world.vhost.rehome("l")
        await three.until(lambda: 10 not in world.store.kept)
        assert await rest(three, world.connect()) == ["m*"]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_what_comes_into_a_queue_that_has_messages_says_that_it_was_delivered(
    kind: str,
) -> None:
    async with cluster() as three:
        world = three["a"].world
        put(three, type=kind, shard=0)
        world.connect().publish("l", "new", mode=2)
        queue = world.vhost.queues["l"]
        await three.until(lambda: queue.ready_count == 1)
        world.vhost.left_behind[10] = [(message(b"old", "l"), True)]
        world.vhost.rehome("l")
        await three.until(lambda: queue.ready_count == 2)
        client = world.connect()
        client.consume("l")
        told = [(got.body, got.method.redelivered) for got in client.take()]
        assert told == [(b"new", False), (b"old", True)]


async def test_what_is_on_its_way_into_the_log_comes_out_with_the_queue() -> None:
    """In order, with what waits for it, and known when it is sent again."""
    async with cluster() as three:
        put(three, shard=0)
        world = three["a"].world
        client = world.connect()
        client.call(Confirm.Select())
        client.publish("l", "1", mode=2)
        await three.confirmed(client, 1)
        client.publish("l", "2", mode=2)
        queue = world.vhost.queues["l"]
        other = message(b"3", "l")
        queue.publish_once(b"other", 5, other.names, other.content, True, 2)
        put(three)
        queue = world.vhost.queues["l"]
        assert type(queue) is QuorumQueue
        queue.publish_once(b"other", 5, other.names, other.content, True, 2)
        await three.confirmed(client, 2)
        assert await rest(three, world.connect()) == ["1", "2", "3*"]


async def test_what_was_sent_before_a_queue_went_into_a_shard_is_known_there() -> None:
    """Also to the next writer."""
    async with cluster() as three:
        put(three)
        world = three["a"].world
        first, second = message(b"1", "l"), message(b"2", "l")
        queue = world.vhost.queues["l"]
        for number, one in ((8, first), (9, second)):
            queue.publish_once(b"other", number, one.names, one.content, True)
        assert world.connect().get("l", no_ack=True) is not None
        put(three, shard=0)
        again = world.vhost.queues["l"]
        again.publish_once(b"other", 9, second.names, second.content, True)
        await three.until(lambda: not world.vhost.moves)
        three.crash("a")
        await three.home("b")
        queue = three["b"].world.vhost.queues["l"]
        for number, one in ((8, first), (9, second)):
            assert queue.publish_once(b"other", number, one.names, one.content, True) == 0
        left = await rest(three, three["b"].world.connect())
        assert [body.rstrip("*") for body in left] == ["2"]


async def test_who_waits_for_a_message_of_another_node_is_told_to_ask_the_next_home() -> None:
    async with cluster() as three:
        put(three, shard=0)
        world = three["a"].world
        told: list[bool | None] = []
        one = message(b"1", "l")
        three.engines.fail("a", stored=False)
        for _ in range(2):  # the second one comes again
            ticket = world.vhost.queues["l"].publish_once(b"other", 1, one.names, one.content, True)
            world.vhost.tickets.wait(ticket, told.append)
        three.engines.elect("Q0", "b")
        await three.home("b")
        assert told == [None, None]
        assert not world.vhost.tickets
