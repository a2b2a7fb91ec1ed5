"""Members with clients everywhere: remote queues over links, shards on an engine, one metadata."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest

from mqd.broker.definitions import QueueDefinition
from mqd.cluster.queues.remote_queues import RemoteQueues
from mqd.cluster.shards.service import ShardService
from mqd.cluster.shards.shards import log_of
from mqd.errors import MqdError
from mqd.metadata.bridge import apply_to
from mqd.metadata.commands import (
    ClusterRecord,
    Command,
    DeleteQueue,
    Member,
    Must,
    PutCluster,
    PutMember,
    PutParameter,
    PutQueue,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.machine import State, apply
from mqd.metadata.store import MetadataStore
from mqd.names import NodeName, PidSource
from tests.cluster.fake_engine import FakeEngines
from tests.cluster.fake_mesh import FakeMeshes
from tests.harness import Basic, Confirm, Queue, World
from tests.waiting import until

pytestmark = pytest.mark.asyncio
NODES = ("a", "b", "c")


class Node:
    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.cluster = cluster
        self.world = World()
        self.broker = self.world.broker
        self.broker.node = NodeName(name)
        self.broker.pids = PidSource(name, 1)
        self.world.topology = self.broker.topology = cast("Any", cluster)
        mesh = cluster.meshes[name]
        metadata = cast("MetadataStore", cluster)
        self.service = ShardService(mesh, self.broker, metadata, self.world.clock, 2)
        self.queues = RemoteQueues(
            self.broker,
            mesh,
            asyncio.get_running_loop().call_later,
            self.service.home_of,
            self.service.shard_of,
            self.service.members_of,
        )
        self.queues.start()


class Cluster:
    """Also their metadata: what is proposed is applied everywhere at once."""

    def __init__(self, names: Sequence[str] = NODES) -> None:
        self.engines = FakeEngines(*names)
        self.meshes = FakeMeshes(*names)
        self.nodes: dict[str, Node] = {}
        self.state = State()
        self.ids = 100

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    # MetadataStore and Topology

    def propose(self, command: Command) -> None:
        for heard in apply(self.state, command):
            for node in self.nodes.values():
                apply_to(node.broker, heard)

    async def propose_async(self, command: Command) -> None:
        self.propose(command)

    def new_queue_id(self) -> int:
        self.ids += 1
        return self.ids

    def put_queue(self, definition: QueueDefinition, done: Callable[..., None]) -> None:
        try:
            self.propose(PutQueue(definition))
        except MqdError as error:
            done(error)
        else:
            done(None)

    def delete_queue(self, definition: QueueDefinition, done: Callable[..., None]) -> None:
        self.propose(DeleteQueue(definition.vhost, definition.name))
        done(None)

    # what happens

    def crash(self, name: str) -> None:
        gone = self.nodes.pop(name)
        self.meshes.stop(name)
        self.engines.stop(name)
        gone.service.abandon()

    def run(self) -> None:
        for _ in range(3):
            self.meshes.run()
            for node in self.nodes.values():
                node.world.end_turns()

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, every_s=0, between=self.run)

    def homes(self, count: int = 2) -> bool:
        """All know who writes which."""
        found = [dict(node.service.whereabouts.homes) for node in self.nodes.values()]
        return len(found[0]) == count and all(one == found[0] for one in found)

    def end(self) -> None:
        for node in self.nodes.values():
            node.service.close()


@asynccontextmanager
async def cluster(*, begins: bool = True) -> AsyncIterator[Cluster]:
    made = Cluster()
    await made.engines["a"].create("META", replicas=3)
    made.nodes = {name: Node(made, name) for name in NODES}
    apply(made.state, PutVhost(VhostRecord("/")))
    for number, name in enumerate(NODES):
        made.propose(PutMember(Member(name, f"0000000{number}", number + 1)))
    made.propose(PutCluster(ClusterRecord("id", authority="" if begins else "a")))
    everyone = list(made.nodes.values())
    try:
        if begins:
            await begin(made)
        yield made
    finally:
        for node in everyone:
            node.service.close()


async def begin(three: Cluster) -> None:
    for name, node in three.nodes.items():
        node.service.begin(three.engines[name])
    await three.until(three.homes)


async def declare(three: Cluster, node: str, size: int = 3) -> None:
    """A quorum queue q."""
    client = three[node].world.connect()
    arguments = {"x-queue-type": "quorum", "x-quorum-initial-group-size": size}
    client.send(Queue.Declare(0, "q", durable=True, arguments=arguments))
    await three.until(lambda: any(isinstance(got.method, Queue.DeclareOk) for got in client.take()))


class Witness:
    """A publisher with confirms and a consumer with acks, perhaps on different nodes."""

    def __init__(self, node: Node, queue: str = "q") -> None:
        self.client = node.world.connect()
        self.queue = queue
        self.published = 0
        self.confirmed: set[int] = set()
        self.nacked: set[int] = set()
        self.got: list[tuple[str, bool]] = []

    def publish(self, body: str) -> None:
        if not self.published:
            self.client.call(Confirm.Select())
        self.published += 1
        self.client.publish(self.queue, body, mode=2)

    def consume(self) -> None:
        self.client.prefetch(10)
        self.client.send(Basic.Consume(0, self.queue, "c"))

    def hear(self, *, ack: bool = True) -> None:
        for got in self.client.take():
            match got.method:
                case Basic.Ack(delivery_tag=last, multiple=multiple):
                    told = set(range(1, last + 1)) if multiple else {last}
                    self.confirmed |= told - self.nacked
                case Basic.Nack(delivery_tag=last):
                    self.nacked.add(last)
                case Basic.Deliver(delivery_tag=tag, redelivered=again):
                    self.got.append((got.body.decode(), again))
                    if ack:
                        self.client.ack(tag)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_queue_is_led_where_its_client_is_and_has_as_many_members_as_asked(
    size: int,
) -> None:
    async with cluster() as three:
        leaders = sorted(set(three["a"].service.whereabouts.homes.values()))
        at = leaders[-1]
        await declare(three, at, size)
        made = three.state.queues["/", "q"]
        assert three["a"].service.home_of(made) == at == made.members[0]
        assert len(made.members) == min(size, 3)


async def test_a_queue_declared_anywhere_is_in_a_shard_and_used_from_everywhere() -> None:
    async with cluster() as three:
        await declare(three, "c")
        definition = three.state.queues["/", "q"]
        assert definition.shard is not None
        publisher, consumer = Witness(three["b"]), Witness(three["a"])
        consumer.consume()
        for body in "123":
            publisher.publish(body)
        await three.until(lambda: publisher.hear() or publisher.confirmed == {1, 2, 3})
        await three.until(lambda: consumer.hear() or len(consumer.got) == 3)
        assert consumer.got == [("1", False), ("2", False), ("3", False)]


@pytest.mark.parametrize("seed", [*range(8), 157, 777, 833, 921, 2441])  # the last ones failed once
async def test_homes_crash_under_load_and_nothing_is_lost_or_comes_twice(seed: int) -> None:
    """The home of the queue crashes while others publish and consume; leaders are moved about."""
    random = Random(seed)
    async with cluster() as three:
        await declare(three, "a")
        shard = three.state.queues["/", "q"].shard
        assert shard is not None
        home = three["a"].service.whereabouts.home_of(shard)
        assert home is not None
        others = [three[name] for name in NODES if name != home]
        publisher, consumer = Witness(others[0]), Witness(others[1])
        consumer.consume()
        for at in range(200):
            publisher.publish(str(at))
            if random.random() < 0.3:
                three.run()
                publisher.hear()
                consumer.hear()
            if random.random() < 0.3:
                await asyncio.sleep(0)
            if at == 100:
                three.crash(home)
            elif random.random() < 0.03:
                member = random.choice(list(three.nodes))
                three.engines.elect(log_of(shard), member)
            elif random.random() < 0.03 and len(three.nodes) == 3:
                three.engines.fail(home, stored=random.random() < 0.5)

        def is_done() -> bool:
            publisher.hear()
            consumer.hear()
            return len(publisher.confirmed) == 200 and len({b for b, _ in consumer.got}) == 200

        await three.until(is_done)
        assert not publisher.nacked
        first = [body for body, again in consumer.got if not again]
        assert len(first) == len(set(first)), "twice, and not said to be redelivered"


@pytest.mark.parametrize("seed", range(12))
async def test_a_queue_is_brought_in_under_load_and_nothing_comes_twice(seed: int) -> None:
    """What was delivered before says so when it comes again, wherever the queue goes; what its home
    was sent and had not answered yet is no second message."""
    random = Random(seed)
    async with cluster() as three:
        queue = QueueDefinition(7, "/", "q", type="quorum", node=random.choice(NODES))
        three.propose(PutQueue(queue))
        everyone = [Witness(three[name]) for name in (random.choice(NODES), *NODES)]
        publisher, *consumers = everyone
        for consumer in consumers:
            consumer.consume()
        three.run()
        for at in range(100):
            publisher.publish(str(at))
            for node in random.sample(NODES, 2):
                three[node].world.end_turns()
            if random.random() < 0.3:
                three.run()
                for one in everyone:
                    one.hear(ack=random.random() < 0.5)
            if at == 50 and three.state.queues["/", "q"].shard is None:
                three.propose(PutQueue(replace(queue, shard=random.randrange(2)), Must.EXIST))
        got: list[tuple[str, bool]] = []

        def is_done() -> bool:
            for one in everyone:
                one.hear()
            got[:] = [each for one in consumers for each in one.got]
            return len(publisher.confirmed) == 100 and len({body for body, _ in got}) == 100

        await three.until(is_done)
        assert not publisher.nacked
        first = [body for body, again in got if not again]
        assert len(first) == len(set(first)), "twice, and not said to be redelivered"


async def put_into_a_shard(
    three: Cluster, random: Random, queue: QueueDefinition, publisher: Witness, *others: Witness
) -> None:
    """While a hundred messages are published and leaders move."""
    shard = random.randrange(2)
    for at in range(100):
        publisher.publish(str(at))
        for node in random.sample(NODES, 2):
            three[node].world.end_turns()
        if random.random() < 0.3:
            three.run()
            for one in (publisher, *others):
                one.hear()
        if random.random() < 0.3:
            await asyncio.sleep(0)
        now = three.state.queues["/", "q"].shard
        if at == 50 and now is None:
            three.propose(PutQueue(replace(queue, shard=shard), Must.EXIST))
        elif random.random() < 0.06:
            member = random.choice(NODES)
            three.engines.elect(log_of(shard if now is None else now), member)


@pytest.mark.parametrize("seed", [*range(4), 26, 77, 88, 115])  # the last ones lost messages once
async def test_a_queue_is_brought_in_while_leaders_move_and_keeps_its_order(seed: int) -> None:
    """Also when two choose a shard for it at the same time. What another message overtook says that
    it was delivered before (`mqd.broker.moving`); nothing else changes places."""
    random = Random(seed)
    async with cluster() as three:
        queue = QueueDefinition(7, "/", "q", type="quorum", node=random.choice(NODES))
        three.propose(PutQueue(queue))
        publisher = Witness(three[random.choice(NODES)])
        three.run()
        await put_into_a_shard(three, random, queue, publisher)
        await three.until(lambda: publisher.hear() or len(publisher.confirmed) == 100)
        assert not publisher.nacked
        consumer = Witness(three["a"])
        consumer.consume()
        await three.until(lambda: consumer.hear() or len({b for b, _ in consumer.got}) == 100)
        first = [int(body) for body, again in consumer.got if not again]
        assert first == sorted(first)


@pytest.mark.parametrize("seed", [*range(4), 32, 95])  # the last ones failed once
async def test_a_consumer_hears_in_order_whatever_a_former_home_still_sends(seed: int) -> None:
    """What was under way from a home that the queue has left does not come behind what the next
    one has sent since, as if nobody had had it."""
    random = Random(seed)
    async with cluster() as three:
        queue = QueueDefinition(7, "/", "q", type="quorum", node=random.choice(NODES))
        three.propose(PutQueue(queue))
        publisher = Witness(three[random.choice(NODES)])
        consumer = Witness(three[random.choice(NODES)])
        consumer.consume()
        three.run()
        await put_into_a_shard(three, random, queue, publisher, consumer)

        def is_done() -> bool:
            publisher.hear()
            consumer.hear()
            return len({body for body, _ in consumer.got}) == 100

        await three.until(is_done)
        first = [int(body) for body, again in consumer.got if not again]
        assert first == sorted(first)


async def test_queues_of_before_are_brought_in_and_out_again() -> None:
    async with cluster(begins=False) as three:
        await declare(three, "b")
        publisher = Witness(three["b"])
        for at in range(50):
            publisher.publish(str(at))
        await three.until(lambda: publisher.hear() or len(publisher.confirmed) == 50)
        assert three.state.queues["/", "q"].shard is None
        assert three["a"].world.vhost.queues["q"].ready_count == 50
        three.propose(PutCluster(ClusterRecord("id")))
        await begin(three)
        brought = asyncio.get_running_loop().create_task(three["a"].service.brought_in())
        await three.until(brought.done)
        shard = three.state.queues["/", "q"].shard
        assert shard is not None
        home = three[str(three["a"].service.whereabouts.home_of(shard))]
        assert home.world.vhost.queues["q"].ready_count == 50
        assert not three["a"].world.store.kept
        for name in "bc":
            await three.engines["a"].lead(log_of(shard), "a")
            three.crash(name) if name == "b" else None
        out = asyncio.get_running_loop().create_task(three["a"].service.bring_out())
        await three.until(out.done)
        out.result()
        queue = three["a"].world.vhost.queues["q"]
        assert queue.ready_count == 50
        assert three.state.queues["/", "q"].shard is None
        assert len(three["a"].world.store.kept[queue.definition.id]) == 50


async def test_a_classic_queue_that_a_policy_mirrors_survives_its_node() -> None:
    async with cluster() as three:
        client = three["b"].world.connect()
        client.declare("q", durable=True)
        witness = Witness(three["b"])
        witness.publish("1")
        await three.until(lambda: witness.hear() or witness.confirmed == {1})
        policy = {"pattern": "^q$", "definition": {"ha-mode": "all"}, "apply-to": "queues"}
        three.propose(PutParameter("/", "policy", "ha", policy | {"priority": 0}))
        for node in three.nodes.values():
            node.service.queues.stir()
        await three.until(lambda: three.state.queues["/", "q"].shard is not None)
        await three.until(lambda: not three["b"].world.vhost.moves)
        witness.publish("2")
        await three.until(lambda: witness.hear() or witness.confirmed == {1, 2})
        shard = three.state.queues["/", "q"].shard
        assert shard is not None
        three.crash(str(three["b"].service.whereabouts.home_of(shard)))
        await three.until(three.homes)
        other = Witness(next(iter(three.nodes.values())))
        other.consume()
        await three.until(lambda: other.hear() or [body for body, _ in other.got] == ["1", "2"])


async def test_who_publishes_more_than_the_log_takes_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mqd.cluster.shards.shard.SHARD_GATHERED_BYTES_MAX", 20_000)
    async with cluster() as three:
        await declare(three, "a")
        shard = three.state.queues["/", "q"].shard
        assert shard is not None
        home = three[str(three["a"].service.whereabouts.home_of(shard))]
        witness = Witness(home)
        for _ in range(30):
            witness.publish("x" * 1000)
        assert not witness.client.transport.reading

        def all_went() -> bool:
            witness.client.feed(b"")  # what it could not send yet
            witness.hear()
            return len(witness.confirmed) == 30

        await three.until(all_went)
        assert witness.client.transport.reading


async def test_a_member_that_is_told_of_more_shards_gets_them() -> None:
    async with cluster() as three:
        service = three["c"].service
        service.count = 8
        plain = [QueueDefinition(900 + n, "/", f"more{n}", type="quorum") for n in range(30)]
        highest = max(service.shard_of(queue) or 0 for queue in plain)
        assert highest >= 4
        for queue in plain:
            three.propose(PutQueue(replace(queue, shard=service.shard_of(queue))))
        assert log_of(highest) not in three.engines["a"].leads
        for node in three.nodes.values():
            node.service.queues.stir()
        await three.until(lambda: service.whereabouts.home_of(highest) is not None)
