"""Members come, go, stop in order and are lost for ever; real nats-servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from mqd.cluster.engine import api
from mqd.cluster.engine.api import NoLog
from mqd.cluster.engine.engine import NatsEngine, Start
from mqd.cluster.ports import NoMajority
from tests.cluster.engine.nodes import FULL, Nodes, full, nodes
from tests.waiting import PATIENCE_S, until

A, B, C, D = (f"rabbit@{letter}" for letter in "abcd")


async def filled(engine: NatsEngine, replicas: int, count: int = 20) -> None:
    """META and a shard, both led by whoever."""
    for log in ("META", "Q0"):
        await engine.create(log, replicas=replicas, tells=log == "META")
        for index in range(count):
            await engine.append(log, f"{log}.x", b"%d" % index)


async def data(engine: NatsEngine, log: str) -> list[bytes]:
    return [entry.data for entry in await engine.read(log, 1, 1000)]


def numbers(count: int) -> list[bytes]:
    return [b"%d" % index for index in range(count)]


async def has(engine: NatsEngine, log: str, count: int) -> bool:
    """A copy may lag, and one that is still read from disc answers nothing."""
    with contextlib.suppress(NoMajority):
        return await data(engine, log) == numbers(count)
    return False


async def grow(cluster: Nodes, letter: str, incarnation: str = "00000001") -> NatsEngine:
    """A member that joins; those that are up learn of it."""
    member = cluster.member(letter, incarnation)
    cluster.members = [each for each in cluster.members if each.name != member.name] + [member]
    joined = await cluster.start(member.name, Start.JOIN)
    for name, engine in cluster.up.items():
        if name != member.name:
            me = next(each for each in cluster.members if each.name == name)
            await engine.use(cluster.members, cluster.identity(me))
    assert await joined.ready(PATIENCE_S)
    return joined


def test_a_third_joins_and_one_is_removed(tmp_path: Path) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, b = await cluster.found()
            await filled(a, 2)
            before = (a.pid, b.pid)
            c = await grow(cluster, "c")
            assert (a.pid, b.pid) == before  # new routes need no new server
            for log in ("META", "Q0"):
                await b.set_replicas(log, 3)
                assert sorted((await c.info(log)).current) == [A, B, C]
            await cluster.stop(A)
            gone, cluster.members = cluster.members[0], cluster.members[1:]
            await b.remove_member(gone.name, gone.incarnation)
            await b.remove_member(gone.name, gone.incarnation)
            for member, engine in zip(cluster.members, (b, c), strict=True):
                await engine.use(cluster.members, cluster.identity(member, generation=2))
            for log in ("META", "Q0"):
                await c.set_replicas(log, 2)
                assert await data(c, log) == numbers(20)
            # Under a new incarnation it comes in again.
            again = cluster.member("a", "00000002")
            cluster.members.append(again)
            for member, engine in zip(cluster.members, (b, c), strict=False):
                await engine.use(cluster.members, cluster.identity(member, generation=2))
            a = await cluster.start(A, Start.JOIN, generation=2)
            assert await a.ready(PATIENCE_S)
            await a.set_replicas("META", 3)
            await a.lead("META", A)
            assert await data(a, "META") == numbers(20)

    asyncio.run(run())


def test_a_server_without_the_certificates_is_never_a_member(tmp_path: Path) -> None:
    """Another cookie; the generation before."""

    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, b = await cluster.found(generation=2)
            await filled(a, 2)
            cluster.members += [cluster.member("c"), cluster.member("d")]
            c = await cluster.start(C, Start.JOIN, cookie="OTHER", generation=2)
            d = await cluster.start(D, Start.JOIN, generation=1)
            assert await asyncio.gather(c.ready(3.0), d.ready(3.0)) == [False, False]
            assert not c.has_group
            assert not d.has_group
            for engine in (a, b):
                assert sorted(engine.voters) == [A, B]
            assert await data(a, "META") == numbers(20)

    asyncio.run(run())


def test_empty_joiners_never_found_a_second_group(tmp_path: Path) -> None:
    """Both others are down; a majority of three by number, but with nothing on their discs."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            joiners = [await cluster.start(name, Start.JOIN) for name in (B, C)]
            assert await asyncio.gather(
                *(each.ready(10.0 if FULL else 6.0) for each in joiners)
            ) == [False, False]
            assert not any(each.has_group for each in joiners)

    asyncio.run(run())


def test_the_last_of_two_to_stop_is_able_to_go_on_alone(tmp_path: Path) -> None:
    """a pins META to b and stops; b stops, starts alone; a comes back, META grows again."""

    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, b = await cluster.found()
            await filled(a, 2)
            await a.set_replicas("META", 1, on=B)
            await cluster.stop(A)
            assert await b.append("META", "META.x", b"20") == 21
            assert await b.append_all("META", "META.x", [b"21", b"22"], 21) == 23
            await cluster.stop(B)

            b = await cluster.start(B)
            assert await b.ready(PATIENCE_S)
            heard: list[int] = []
            b.follow("META", lambda entry: heard.append(entry.seq))
            assert not b.has_group
            assert await data(b, "META") == numbers(23)
            assert await b.append("META", "META.x", b"23", unique="u") == 24
            assert (await b.info("META")).leader == B

            async def told() -> bool:
                return heard == [24]

            await until(told)
            with pytest.raises(NoMajority):
                await b.info("Q0")

            a = await cluster.start(A)
            assert await a.ready(PATIENCE_S)
            await a.set_replicas("META", 2)
            await a.lead("META", A)
            assert await data(a, "META") == numbers(24)
            await until(lambda: has(a, "Q0", 20))
            # And the other way round: the roles are free.
            await b.set_replicas("META", 1, on=A)
            await cluster.crash(B)
            assert await a.append("META", "META.x", b"24") == 25

    asyncio.run(run())


def test_one_survivor_is_rescued(tmp_path: Path) -> None:
    """The others' discs are gone, and the survivor was down, too."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            a, _, _ = await cluster.found()
            await filled(a, 3)
            for name in (A, B, C):
                await cluster.crash(name)
            a = await cluster.start(A)
            assert not await a.ready(2.0)
            lost = [(member.name, member.incarnation) for member in cluster.members[1:]]
            await a.rescue(lost)
            for log in ("META", "Q0"):
                assert await data(a, log) == numbers(20)
                assert await a.append(log, f"{log}.x", b"20") == 21
                assert (await a.info(log)).replicas == 1
            assert list(a.voters) == [A]
            cluster.members = cluster.members[:1]
            d = await grow(cluster, "d")
            await d.set_replicas("META", 2)
            await d.lead("META", D)
            assert await data(d, "META") == numbers(21)

    asyncio.run(run())


@full
def test_the_one_that_handed_on_is_rescued_without_what_it_handed_on(tmp_path: Path) -> None:
    """META was pinned to b, whose disc is gone: on a it is no log at all, rather than empty."""

    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, _ = await cluster.found()
            await filled(a, 2)
            await a.set_replicas("META", 1, on=B)
            await cluster.stop(A)
            await cluster.stop(B)
            a = await cluster.start(A)
            assert not await a.ready(2.0)
            await a.rescue([(B, "00000001")])
            with pytest.raises(NoLog):
                await a.info("META")
            assert await data(a, "Q0") == numbers(20)
            await a.create("META", replicas=1, first_seq=101, tells=True)
            assert await a.append("META", "META.x", b"") == 101

    asyncio.run(run())


def test_all_but_one_leave_while_they_run(tmp_path: Path) -> None:
    """The way back to a node that needs no engine. Who has the only copy cannot leave."""

    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, b = await cluster.found()
            await filled(a, 2)
            await a.set_replicas("META", 1, on=B)
            with pytest.raises(NoMajority, match="only copy of META"):
                await a.remove_member(B, "00000001")
            await a.set_replicas("META", 1, on=A)
            await a.set_replicas("Q0", 1, on=A)
            await b.remove_member(B, "00000001")
            await cluster.stop(B)
            for log in ("META", "Q0"):
                assert await a.append(log, f"{log}.x", b"20") == 21
            await cluster.stop(A)
            a = await cluster.start(A)
            assert await a.ready(PATIENCE_S)
            assert await data(a, "META") == numbers(21)

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_survivor_goes_on_with_a_copy_that_was_being_made(tmp_path: Path) -> None:
    """The rest of it was promised by members that are no more: it is not waited for for ever."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            a, b, c = await cluster.found()
            await a.create("META", replicas=3)
            await a.create("Q0", replicas=1)
            leader = (await a.info("Q0")).leader
            assert leader is not None
            holder = cluster.up[leader]
            for _ in range(100):
                await asyncio.gather(*[holder.submit("Q0.x", b"0" * 1000) for _ in range(200)])
            survivor = next(each for each in (a, b, c) if each is not holder)
            growing = asyncio.ensure_future(holder.set_replicas("Q0", 3))
            await until(lambda: has_some(survivor))
            pids = [engine.pid for engine in (a, b, c)]
            for pid in pids:
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            growing.cancel()
            name = next(each for each, engine in cluster.up.items() if engine is survivor)
            for each in (A, B, C):
                await cluster.stop(each)
            survivor = await cluster.start(name)
            lost = [(each.name, each.incarnation) for each in cluster.members if each.name != name]
            await survivor.rescue(lost)
            info = await survivor.info("Q0")
            assert (info.leader, info.replicas) == (name, 1)
            assert 0 < info.last_seq < 20_000  # else it was whole, and this proves nothing
            assert len(await survivor.read("Q0", 1, 20_000)) == info.last_seq
            after = info.last_seq
            assert await survivor.append("Q0", "Q0.x", b"new", after=after) == after + 1
            await survivor.rescue(lost)  # left half-way, it is done again
            assert (await survivor.info("Q0")).last_seq == after + 1

    async def has_some(engine: NatsEngine) -> bool:
        copies = api.local_logs(await engine._session.state())
        return "Q0" in copies and int(copies["Q0"]["state"]["last_seq"]) > 3000

    asyncio.run(run())
