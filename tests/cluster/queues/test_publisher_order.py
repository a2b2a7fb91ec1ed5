"""What one client publishes to a quorum queue keeps its order, wherever the queue goes meanwhile.

Drawn programs: clients on three nodes publish to one queue in a shard, links deliver when the
program says so, the shard is led by one node after the other, also by one that had it before while
messages for it are still under way, and appends end with an unknown outcome. At the end the queue
has each message once, those of each client in the order in which they were published.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mqd.cluster.shards import shards
from mqd.cluster.shards.replay import Replay
from mqd.cluster.shards.shards import log_of
from mqd.metadata.commands import (
    ClusterRecord,
    Member,
    PutCluster,
    PutMember,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.machine import apply
from tests.cluster.fake_mesh import FakeMeshes
from tests.cluster.shards.test_service import NODES, Cluster, Node, Witness, begin, declare

nodes = st.integers(0, 2)
steps = st.one_of(
    st.tuples(st.just("publish"), nodes),
    st.tuples(st.just("publish"), nodes),
    st.tuples(st.just("publish"), nodes),
    st.tuples(st.just("turn"), nodes),
    st.tuples(st.just("turn"), nodes),
    st.tuples(st.just("run"), st.integers(1, 6)),
    st.tuples(st.just("run"), st.integers(1, 6)),
    st.tuples(st.just("breathe"), st.integers(1, 8)),
    st.tuples(st.just("lead"), nodes),
    st.tuples(st.just("lead"), nodes),
    st.tuples(st.just("hold"), st.tuples(nodes, nodes)),
    st.tuples(st.just("release"), st.tuples(nodes, nodes)),
    st.tuples(st.just("cut"), st.tuples(nodes, nodes)),
    st.tuples(st.just("fail"), st.tuples(nodes, st.booleans())),
)


class Play:
    def __init__(self, three: Cluster) -> None:
        self.three = three
        self.witnesses = [Witness(three[name]) for name in NODES]
        self.log = log_of(three.state.queues["/", "q"].shard or 0)

    def publish(self, node: int) -> None:
        witness = self.witnesses[node]
        witness.publish(f"{node}.{witness.published}")

    async def do(self, what: str, value: Any) -> None:
        three = self.three
        match what:
            case "publish":
                self.publish(value)
            case "turn":
                three[NODES[value]].world.end_turns()
            case "run":
                three.meshes.run(value)
            case "breathe":
                for _ in range(value):
                    await asyncio.sleep(0)
            case "lead":
                three.engines.elect(self.log, NODES[value])
            case "fail":
                three.engines.fail(NODES[value[0]], stored=value[1])
            case _ if value[0] != value[1]:
                one, other = (NODES[at] for at in value)
                if what == "cut":
                    three.meshes.cut(one, other, heals=True)
                elif what == "release":
                    three.meshes.release(one, other)
                elif three.meshes[one].wire_to(other) is not None:
                    three.meshes.hold(one, other)

    async def end(self) -> None:
        three = self.three
        for one in NODES:
            for other in NODES:
                if one != other:
                    three.meshes.release(one, other)

        def all_confirmed() -> bool:
            for witness in self.witnesses:
                witness.hear()
            return all(len(one.confirmed) == one.published for one in self.witnesses)

        await three.until(all_confirmed)
        assert not any(witness.nacked for witness in self.witnesses)
        end = Replay(self.log)
        for entry in three.engines.logs[self.log].entries.values():
            end.take(entry)
        bodies = [one.body.decode() for queue in end.queues.values() for one in queue.in_order()]
        for node, witness in enumerate(self.witnesses):
            mine = [int(body[2:]) for body in bodies if body.startswith(f"{node}.")]
            assert mine == list(range(witness.published)), f"{NODES[node]}: {mine}"


async def played(seed: int, program: list[tuple[str, Any]]) -> None:
    three = Cluster()
    three.meshes = FakeMeshes(*NODES, seed=seed)
    await three.engines["a"].create("META", replicas=3)
    three.nodes = {name: Node(three, name) for name in NODES}
    apply(three.state, PutVhost(VhostRecord("/")))
    for number, name in enumerate(NODES):
        three.propose(PutMember(Member(name, f"0000000{number}", number + 1)))
    three.propose(PutCluster(ClusterRecord("id")))
    try:
        await begin(three)
        await declare(three, "a")
        play = Play(three)
        for what, value in program:
            await play.do(what, value)
        await play.end()
    finally:
        three.end()


# What was under way to a home that lost the shard and has it again came before what it had lost.
OVERTAKEN: list[tuple[str, Any]] = [
    ("lead", 2),
    ("publish", 1),
    ("lead", 0),
    ("run", 4),
    ("breathe", 8),
    ("publish", 1),
]
UNKNOWN: list[tuple[str, Any]] = [
    ("publish", 2),
    ("fail", (2, True)),
    ("lead", 2),
    ("lead", 0),
    ("run", 4),
    ("breathe", 8),
    ("publish", 2),
]


@pytest.fixture(autouse=True, scope="module")
def _at_once() -> Any:
    """A node takes a shard over again as soon as it leads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_AGAIN_S", 0.0)
        yield


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.integers(0, 10_000), st.lists(steps, min_size=20, max_size=60))
@example(0, OVERTAKEN)
@example(0, UNKNOWN)
def test_publishers_keep_their_order(seed: int, program: list[tuple[str, Any]]) -> None:
    asyncio.run(played(seed, program))
