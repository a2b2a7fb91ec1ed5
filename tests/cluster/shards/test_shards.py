"""Nodes that take shards from each other, with brokers and clients; links and engine in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from mqd.broker.definitions import QueueDefinition
from mqd.broker.homes import Here, Home
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.queues.sharded import Sharded, ShardedQuorum
from mqd.cluster.ports import LogInfo
from mqd.cluster.shards.facts import ShardQueues
from mqd.cluster.shards.reconciler import Reconciler, moves
from mqd.cluster.shards.shards import Shards, log_of
from mqd.cluster.shards.whereabouts import Whereabouts, shard_of
from mqd.metadata.commands import ClusterRecord, Member
from mqd.metadata.machine import State
from mqd.metadata.store import MetadataStore
from tests.cluster.fake_engine import FakeEngines
from tests.cluster.fake_mesh import FakeMeshes
from tests.cluster.shards.asking import get
from tests.harness import Basic, Client, Confirm, World
from tests.waiting import until

pytestmark = pytest.mark.asyncio

NODES = ("a", "b", "c")
MEMBERS = {name: Member(name, "00000001", 1) for name in NODES}
STATE = State()
STATE.members.update(MEMBERS)
DEFINITION = QueueDefinition(9, "/", "q", type="quorum", shard=0)


class Away:
    """A node that cannot be asked: what is published to it waits for the next home."""

    is_up = False

    def __init__(self, node: str) -> None:
        self.node = node


class Homes(Here):
    def __init__(self, node: Node) -> None:
        self._node = node

    def elsewhere(self, definition: QueueDefinition) -> Home | None:
        if definition.shard is None:
            return None
        home = self._node.where.home_of(definition.shard)
        return None if home == self._node.name else cast("Home", Away(home or ""))


class Node:
    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.world = World()
        self.broker = self.world.broker
        self.where = Whereabouts(cluster.meshes[name], self.broker)
        self.broker.homes = Homes(self)
        self.shards = Shards(cluster.engines[name], self.broker, self.where, name, self.world.clock)
        self.broker.apply_put_queue(DEFINITION)
        self.shards.start()
        engine, mesh = cluster.engines[name], cluster.meshes[name]
        metadata = cast("MetadataStore", SimpleNamespace(state=STATE))
        self.reconciler = Reconciler(
            engine, mesh, self.shards, self.where, self.broker, metadata, 3
        )
        self.facts = ShardQueues(mesh, self.where, lambda: MEMBERS)
        self.facts.use(engine, self.shards, self.reconciler)

    @property
    def queue(self) -> Sharded | RemoteQueue:
        queue = self.world.vhost.queues["q"]
        assert isinstance(queue, (Sharded, RemoteQueue))
        return queue


class Cluster:
    def __init__(self) -> None:
        self.engines = FakeEngines(*NODES)
        self.meshes = FakeMeshes(*NODES)
        self.nodes: dict[str, Node] = {}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def crash(self, name: str) -> None:
        """The node is no more, and does not know."""
        self.nodes.pop(name)
        self.meshes.stop(name)
        self.engines.stop(name)

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, every_s=0, between=self.run)

    def run(self) -> None:
        self.meshes.run()
        for node in self.nodes.values():
            node.world.end_turns()

    async def confirmed(self, client: Client, seqno: int) -> None:
        """All up to that one are."""
        told: set[int] = set()

        def hear() -> bool:
            for got in client.take():
                assert isinstance(got.method, Basic.Ack)
                last = got.method.delivery_tag
                told.update(range(1 if got.method.multiple else last, last + 1))
            return seqno in told

        await self.until(hear)

    async def home(self, name: str) -> None:
        """That node is, and all know it."""
        await self.until(lambda: all(n.where.home_of(0) == name for n in self.nodes.values()))


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    await made.engines["a"].create(log_of(0), replicas=3)
    made.nodes = {name: Node(made, name) for name in NODES}
    everyone = list(made.nodes.values())
    try:
        await made.home("a")
        yield made
    finally:
        for node in everyone:
            node.shards.abandon()


async def test_the_leader_of_the_log_has_the_queue_and_the_others_know() -> None:
    async with cluster() as three:
        assert isinstance(three["a"].queue, ShardedQuorum)
        assert isinstance(three["b"].queue, RemoteQueue)
        client = three["a"].world.connect()
        client.call(Confirm.Select())
        client.publish("q", "1")
        assert client.said() == []
        await three.confirmed(client, 1)
        assert three["a"].queue.ready_count == 1


async def test_after_a_crash_another_has_it_what_was_delivered_comes_back() -> None:
    async with cluster() as three:
        client = three["a"].world.connect()
        client.prefetch(2)
        client.consume("q")
        for body in "123":
            client.publish("q", body)
        bodies: list[str] = []
        await three.until(lambda: bodies.extend(client.bodies()) or bodies == ["1", "2"])
        client.ack(1)
        await three.until(lambda: bodies.extend(client.bodies()) or bodies == ["1", "2", "3"])
        await three.until(lambda: not three["a"].shards.own[0].shard.queues[9].settled)
        three.crash("a")
        await three.home("b")
        assert three["b"].queue.ready_count == 2
        other = three["b"].world.connect()
        got = [await get(three, other), await get(three, other)]
        assert [(g.body, g.method.redelivered) for g in got if g] == [(b"2", True), (b"3", True)]


async def test_what_was_published_elsewhere_meanwhile_gets_there_once() -> None:
    async with cluster() as three:
        client = three["b"].world.connect()
        client.call(Confirm.Select())
        client.publish("q", "1")
        client.publish("q", "2")
        three.crash("a")
        await three.home("b")
        await three.confirmed(client, 2)
        assert three["b"].queue.ready_count == 2


async def test_what_had_not_landed_goes_with_the_queue() -> None:
    async with cluster() as three:
        client = three["a"].world.connect()
        client.call(Confirm.Select())
        client.publish("q", "1")
        await three.confirmed(client, 1)
        three.engines.fail("a", stored=True)
        client.publish("q", "2")
        client.publish("q", "3")
        three.engines.elect(log_of(0), "b")
        await three.home("b")
        queue = three["a"].queue
        assert isinstance(queue, RemoteQueue)
        three.engines.elect(log_of(0), "a")
        await three.home("a")
        await three.confirmed(client, 3)
        assert three["a"].queue.ready_count == 3


async def test_a_node_that_stops_hands_over_first() -> None:
    async with cluster() as three:
        client = three["a"].world.connect()
        client.call(Confirm.Select())
        for at in range(100):
            client.publish("q", str(at))
        stopping = asyncio.get_running_loop().create_task(three["a"].shards.stop())
        await three.home("b")
        await three.until(stopping.done)
        assert three["b"].queue.ready_count == 100
        assert isinstance(three["a"].queue, RemoteQueue)


async def test_a_queue_that_is_deleted_leaves_nothing() -> None:
    async with cluster() as three:
        client = three["a"].world.connect()
        client.publish("q", "1")
        await three.until(lambda: three["a"].queue.ready_count == 1)
        for node in three.nodes.values():
            node.broker.apply_delete_queue("/", "q")
        entries = three.engines.logs[log_of(0)].entries
        await three.until(lambda: all(e.subject.endswith("epoch") for e in entries.values()))


async def test_a_member_that_is_cut_off_serves_nobody_when_it_is_back() -> None:
    async with cluster() as three:
        three.meshes.isolate("a")
        three.engines.elect(log_of(0), "b")
        await three.until(lambda: three["c"].where.home_of(0) == "b")
        assert three["a"].where.home_of(0) == "a"  # it cannot know
        client = three["a"].world.connect()
        client.call(Confirm.Select())
        client.publish("q", "1")
        await three.until(lambda: isinstance(three["a"].queue, RemoteQueue))
        assert client.said() == []
        three.meshes.heal()
        await three.home("b")


async def test_logs_are_made_spread_and_told_of() -> None:
    async with cluster() as three:
        await three.engines["a"].create("META", replicas=3)
        await three["b"].reconciler.look()  # it leads no metadata: it leaves that to a
        assert set(three.engines.logs) == {"Q0", "META"}
        await three["a"].reconciler.look()
        await three["a"].reconciler.look()
        leads = [three.engines.logs[log_of(n)].leader for n in range(3)]
        assert sorted(map(str, leads)) == list(NODES)
        await three.until(lambda: all(len(n.where.homes) == 3 for n in three.nodes.values()))
        for node in three.nodes.values():
            await node.reconciler.look()
        await three.until(lambda: len(three["c"].where.copies_of(0)) == 3)
        found = three["c"].facts.copies(DEFINITION)
        home = three["c"].where.home_of(0)
        assert found.leader == home == found.members[0]
        assert sorted(found.members) == sorted(found.online) == list(NODES)


async def test_there_are_as_many_copies_as_members_to_have_them() -> None:
    """One that is down is not waited for, nor is its copy given up."""
    async with cluster() as three:
        await three.engines["a"].create("META", replicas=3)
        three.crash("c")
        await three["a"].reconciler.look()
        assert [three.engines.logs[log_of(n)].replicas for n in range(3)] == [3, 2, 2]
        three.engines.start("c")
        three.meshes.start("c")
        three.meshes.run()
        await three["a"].reconciler.look()
        assert [three.engines.logs[log_of(n)].replicas for n in range(3)] == [3, 3, 3]


async def test_a_survivor_without_a_log_of_the_metadata_makes_those_that_are_lost() -> None:
    async with cluster() as three:
        state = State()
        state.members.update(MEMBERS)
        state.clusters[""] = ClusterRecord("c", authority="a")
        for name in NODES:
            metadata = cast("MetadataStore", SimpleNamespace(state=state))
            three[name].reconciler._metadata = metadata
        three.crash("b")
        await three["c"].reconciler.look()
        assert set(three.engines.logs) == {"Q0"}
        await three["a"].reconciler.look()
        assert {name: log.replicas for name, log in three.engines.logs.items()} == {
            "Q0": 3,
            "Q1": 2,
            "Q2": 2,
        }


async def test_a_copy_that_is_being_made_is_not_told_to_be_as_far_as_the_others() -> None:
    async with cluster() as three:
        await three["a"].reconciler.look()

        async def info(log: str) -> LogInfo:
            return LogInfo(1, 65, "a", 3, ("a", "b"), {"c": 60})

        three.engines["a"].info = info  # type: ignore[method-assign]
        found = await three["a"].facts.look(DEFINITION)
        assert [(row.node, row.log_index) for row in found] == [("a", 65), ("b", 65), ("c", 5)]


async def test_how_far_copies_are_and_who_is_to_lead_is_asked_over_links() -> None:
    async with cluster() as three:
        await three["a"].reconciler.look()
        asked = asyncio.get_running_loop().create_task(three["b"].facts.look(DEFINITION))
        await three.until(asked.done)
        rows = asked.result()
        assert [(row.node, row.state) for row in rows] == [
            ("a", "leader"),
            ("b", "follower"),
            ("c", "follower"),
        ]
        assert {(row.log_index, row.term) for row in rows} == {(65, 1)}
        moved = asyncio.get_running_loop().create_task(three["c"].facts.lead(DEFINITION, "b"))
        await three.until(moved.done)
        await three.home("b")
        three.crash("c")
        assert three["a"].facts.copies(DEFINITION).online == ["b", "a"]
        asked = asyncio.get_running_loop().create_task(three["a"].facts.look(DEFINITION))
        await three.until(asked.done)
        assert [row.state for row in asked.result()] == ["leader", "follower", "noproc"]


async def test_a_member_that_rests_leads_nothing_until_it_is_asked_to() -> None:
    async with cluster() as three:
        resting = asyncio.get_running_loop().create_task(three["a"].facts.hand_over())
        await three.home("b")
        await three.until(resting.done)
        await three.until(lambda: three["b"].where.rests("a"))
        three.engines.elect(log_of(0), "a")
        await three.until(lambda: three.engines.logs["Q0"].leader == "b")
        three["a"].facts.take_back()
        three.engines.elect(log_of(0), "a")
        await three.home("a")


async def test_as_few_logs_as_need_be_are_moved() -> None:
    assert moves({0: "a", 1: "a", 2: "a", 3: "b"}, ["a", "b", "c"]) == [(0, "c")]
    assert moves({0: "a", 1: "a", 2: "b", 3: "c"}, ["a", "b", "c"]) == []
    assert moves({0: "a", 1: None, 2: "x"}, ["a"]) == [(1, "a"), (2, "a")]
    assert moves({0: "a"}, []) == []


async def test_queues_are_spread_and_stay_when_shards_are_added() -> None:
    four = [shard_of("/", f"q{n}", 4) for n in range(400)]
    five = [shard_of("/", f"q{n}", 5) for n in range(400)]
    assert all(60 < four.count(shard) < 140 for shard in range(4))
    assert all(one == other or other == 4 for one, other in zip(four, five, strict=True))
