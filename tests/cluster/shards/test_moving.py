"""Queues that go into a shard and come out of one, with what is in them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mqd.broker.queues.quorum import QuorumQueue
from mqd.broker.queues.sharded import ShardedClassic, ShardedQuorum
from tests.cluster.shards.asking import get
from tests.cluster.shards.test_shards import DEFINITION, Cluster, cluster
from tests.harness import Client, World

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
