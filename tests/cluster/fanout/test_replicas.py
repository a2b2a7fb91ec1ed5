"""What the engine and the shards' writers tell of copies, on disc members and on ram members."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.broker.definitions import QueueDefinition
from mqd.cluster.fanout.copies import Copies, Copy
from mqd.cluster.fanout.replicas import Replicas, spread
from mqd.metadata.commands import Member
from tests.cluster.fake_engine import FakeEngines
from tests.cluster.fake_mesh import FakeMeshes

QUEUE = QueueDefinition(1, "/", "q", type="quorum", shard=0)


class Homes:
    """The leader of a log writes it."""

    def __init__(self, engines: FakeEngines) -> None:
        self._engines = engines

    def home_of(self, shard: int) -> str | None:
        log = self._engines.logs.get(f"Q{shard}")
        return log.leader if log is not None else None

    def epoch_of(self, shard: int) -> int:
        return 7


class Cluster:
    """Disc members a, b and c, a ram member d."""

    def __init__(self) -> None:
        self.engines = FakeEngines("a", "b", "c")
        self.meshes = FakeMeshes("a", "b", "c", "d")
        self.resting: set[str] = set()
        self.of = {name: self._replicas(name) for name in "abcd"}

    async def logs(self, count: int) -> None:
        for shard in range(count):
            await self.engines["a"].create(f"Q{shard}", replicas=3)

    def _replicas(self, name: str) -> Replicas:
        members = {
            each: Member(each, each, number, "ram" if each == "d" else "disc")
            for number, each in enumerate("abcd")
        }
        return Replicas(
            self.meshes[name],
            Homes(self.engines),
            lambda: members,
            lambda: [*self.engines.running, "d"],
            self.resting.__contains__,
            engine=self.engines[name] if name != "d" else None,
        )


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", ["a", "d"])
async def test_each_copy_is_told_of(asked: str) -> None:
    cluster = Cluster()
    await cluster.logs(1)
    await cluster.engines["a"].append("Q0", "Q0.x", b"1")
    cluster.engines.stop("a")
    leader = cluster.engines.logs["Q0"].leader
    assert leader is not None
    other = ({"b", "c"} - {leader}).pop()
    replicas = cluster.of["b" if asked == "a" else asked]
    found = replicas.copies(QUEUE)
    assert found == Copies(leader, [leader, *sorted({"a", "b", "c"} - {leader})], found.online)
    assert set(found.online) == {"b", "c"}
    if asked == "d":
        cluster.meshes.stop("a")

    task = asyncio.ensure_future(replicas.look(QUEUE))
    await cluster.meshes.settle()
    rows = {copy.node: copy for copy in await task}
    assert rows["a"] == Copy("a", "noproc")
    assert rows[leader] == Copy(leader, "leader", 1, 1, 7)
    assert rows[other] == Copy(other, "follower", 1, 1, 7)


@pytest.mark.asyncio
async def test_leaders_are_spread_but_not_over_those_that_rest() -> None:
    cluster = Cluster()
    await cluster.logs(4)
    for shard in range(4):
        cluster.engines.elect(f"Q{shard}", "a")
    await cluster.of["b"].rebalance()
    leaders = [cluster.engines.logs[f"Q{shard}"].leader for shard in range(4)]
    assert sorted(leaders.count(node) for node in "abc") == [1, 1, 2]
    cluster.resting.add("a")
    await cluster.of["b"].rebalance()
    leaders = [cluster.engines.logs[f"Q{shard}"].leader for shard in range(4)]
    assert [leaders.count(node) for node in "abc"] == [0, 2, 2]


@pytest.mark.asyncio
async def test_only_disc_members_hold_copies() -> None:
    replicas = Cluster().of["a"]
    assert [node for node in "abcd" if replicas.may_hold(node)] == ["a", "b", "c"]


NODES = st.sampled_from("abcde")


@given(
    leaders=st.lists(st.none() | NODES, max_size=8),
    able=st.lists(NODES, unique=True),
    data=st.data(),
)
def test_nobody_leads_two_more_than_one_that_could(
    leaders: list[str | None], able: list[str], data: st.DataObject
) -> None:
    now = dict(enumerate(leaders))
    holders = {shard: data.draw(st.sets(NODES, min_size=1)) for shard in now}
    wanted = spread(now, holders, able)
    counts = {node: list(wanted.values()).count(node) for node in able}
    for shard in now:
        choice = holders[shard] & set(able)
        assert (shard in wanted) == bool(choice)
        if choice:
            assert wanted[shard] in choice
            assert counts[wanted[shard]] - min(counts[node] for node in choice) <= 1
    assert spread(wanted, {s: holders[s] for s in wanted}, able) == wanted
