"""The same with three real nats-servers: the home of a queue is killed with its server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from mqd.cluster.shards.shards import log_of
from mqd.metadata.commands import ClusterRecord, PutCluster, PutMember, PutVhost, VhostRecord
from mqd.metadata.machine import apply
from tests.cluster.engine.nodes import Nodes, nodes
from tests.cluster.shards.test_service import Cluster, Node, Witness, declare

MESSAGES = int(os.environ.get("MQD_SHARD_MESSAGES", "3000"))


def test_the_home_of_a_queue_is_killed_and_another_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 3) as servers:
            three = await started(servers)
            try:
                await story(servers, three)
            finally:
                for node in three.nodes.values():
                    node.service.close()

    asyncio.run(run())


async def started(servers: Nodes) -> Cluster:
    engines = await servers.found()
    names = [member.name for member in servers.members]
    await engines[0].create("META", replicas=3)
    three = Cluster(names)
    three.nodes = {name: Node(three, name) for name in names}
    apply(three.state, PutVhost(VhostRecord("/")))
    for member in servers.members:
        three.propose(PutMember(member))
    three.propose(PutCluster(ClusterRecord("id")))
    for name, engine in zip(names, engines, strict=True):
        three[name].service.begin(engine)
    await three.until(three.homes)
    return three


async def story(servers: Nodes, three: Cluster) -> None:
    loop = asyncio.get_running_loop()
    first = servers.members[0].name
    await declare(three, first)
    definition = three.state.queues["/", "q"]
    assert definition.shard is not None
    home = str(three[first].service.whereabouts.home_of(definition.shard))
    others = [node for name, node in three.nodes.items() if name != home]
    publisher, consumer = Witness(others[0]), Witness(others[1])
    consumer.consume()

    def heard() -> bool:
        publisher.hear()
        consumer.hear()
        return len(publisher.confirmed) == publisher.published

    async def publish(count: int) -> None:
        for at in range(count):
            publisher.publish(str(publisher.published))
            if at % 50 == 0:
                three.run()
                heard()
                await asyncio.sleep(0)

    await publish(MESSAGES)
    await three.until(heard)

    look = loop.create_task(others[0].service.queues.look(definition))
    await three.until(look.done)
    assert sorted(copy.state for copy in look.result()) == ["follower", "follower", "leader"]

    await publish(MESSAGES // 2)
    gone = three.nodes.pop(home)
    three.meshes.stop(home)
    crashed = loop.create_task(servers.crash(home))
    gone.service.abandon()
    started_at = loop.time()
    confirmed = len(publisher.confirmed)
    await publish(MESSAGES // 2)
    await three.until(lambda: heard() or len(publisher.confirmed) > confirmed + MESSAGES // 2)
    print(f"\nconfirms go on after {loop.time() - started_at:.2f} s")
    await three.until(heard)
    await three.until(
        lambda: bool(heard() and len({b for b, _ in consumer.got}) >= publisher.published)
    )
    await crashed
    assert not publisher.nacked
    fresh = [body for body, again in consumer.got if not again]
    assert len(fresh) == len(set(fresh))
    assert {body for body, _ in consumer.got} == set(map(str, range(publisher.published)))

    now = str(others[0].service.whereabouts.home_of(definition.shard))
    stopping = loop.create_task(three[now].service.stop())
    await three.until(lambda: servers.up[others[0].name].leads[log_of(0)] != now)
    await three.until(stopping.done)
