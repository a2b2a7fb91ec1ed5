"""The engine's promises, on three real nats-servers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mqd.cluster.engine.api import NoLog
from mqd.cluster.ports import Entry, NoMajority, Stale
from tests.cluster.engine.nodes import nodes
from tests.waiting import until


def test_three_nodes_share_logs(tmp_path: Path) -> None:
    """From nothing to a leader, every kind of append, reading, following, leading."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as three:
            a, b, c = await three.found()
            led: list[tuple[str, str | None]] = []
            b.on_leader(lambda log, leader: led.append((log, leader)))
            told: list[Entry] = []
            end = c.follow("META", told.append)
            with pytest.raises(NoLog):
                await a.info("META")
            await a.create("META", replicas=3, first_seq=41, tells=True)
            await b.create("META", replicas=3, first_seq=41, tells=True)
            assert (await b.info("META")).last_seq == 40

            assert await a.append("META", "META.c", b"one", unique="u1") == 41
            assert await b.append("META", "META.c", b"two", after=41) == 42
            assert await c.append("META", "META.c", b"one", unique="u1") == 41
            with pytest.raises(Stale):
                await c.append("META", "META.c", b"three", after=41)
            assert await c.append_all("META", "META.d", [b"3", b"4", b"5"], 42) == 45
            assert await c.append_all("META", "META.d", [b"6"], 45) == 46
            for stale in ([b"x", b"y"], [b"z"]):
                with pytest.raises(Stale):
                    await a.append_all("META", "META.d", stale, 45)
            expected = [
                Entry(seq, f"META.{subject}", data)
                for seq, (subject, data) in enumerate(
                    [("c", b"one"), ("c", b"two"), *[("d", b"%d" % i) for i in range(3, 7)]], 41
                )
            ]

            async def all_told() -> bool:
                return len(told) == 6

            await until(all_told)
            assert told == expected
            end()
            assert list(await a.read("META", 1, 100)) == expected
            assert list(await a.read("META", 43, 2)) == expected[2:4]
            assert list(await a.read("META", 47, 2)) == []
            with pytest.raises(NoMajority):
                await a.read("OTHER", 1, 2)

            await b.remove("META", 44)
            await b.remove("META", 44)
            await b.purge("META", before=42)
            await b.purge("META", before=46, subject="META.c")

            async def only_last() -> bool:
                return [entry.seq for entry in await c.read("META", 1, 100)] == [43, 45, 46]

            await until(only_last)
            assert (await c.info("META")).first_seq == 43

            for member in ("rabbit@b", "rabbit@c"):
                await a.lead("META", member)
                assert (await b.info("META")).leader == member

                async def heard(member: str = member) -> bool:
                    return all(engine.leads["META"] == member for engine in (a, b, c))

                await until(heard)
            assert led[-1] == ("META", "rabbit@c")
            await a.delete("META")
            await a.delete("META")

            async def gone() -> bool:
                return "META" not in b.leads

            await until(gone)
            assert led[-1] == ("META", None)
            assert len(told) == 6

    asyncio.run(run())


def test_a_member_without_a_copy_knows_who_leads(tmp_path: Path) -> None:
    """Four members, three copies; and a log that is on one of them alone."""

    async def run() -> None:
        async with nodes(tmp_path, 4) as four:
            engines = await four.found()
            await engines[0].create("META", replicas=3, tells=True)
            await engines[0].append("META", "META.x", b"1")
            for name in (await engines[0].info("META")).current[1:]:
                await engines[0].lead("META", name)

                async def known(name: str = name) -> bool:
                    return all(engine.leads.get("META") == name for engine in engines)

                await until(known)
            await engines[0].set_replicas("META", 1, on=name)
            await until(known)
            for engine in engines:
                assert (await engine.read("META", 1, 10))[0].data == b"1"

    asyncio.run(run())


def test_many_appends_are_under_way_in_order(tmp_path: Path) -> None:
    """`submit` with a predecessor each; after one refusal all that were sent after it are, too."""

    async def run() -> None:
        async with nodes(tmp_path, 2) as two:
            a, b = await two.found()
            await a.create("Q0", replicas=2)
            await a.lead("Q0", "rabbit@a")
            sent = [a.submit("Q0.x", b"%d" % i, after=i) for i in range(2000)]
            assert await asyncio.gather(*sent) == list(range(1, 2001))
            assert await b.append_all("Q0", "Q0.x", [b"epoch"] * 33, 2000) == 2033
            late = [a.submit("Q0.x", b"late", after=2000 + i) for i in range(32)]
            results = await asyncio.gather(*late, return_exceptions=True)
            assert {type(result) for result in results} == {Stale}
            assert [entry.data for entry in await a.read("Q0", 1, 2000)] == [
                b"%d" % i for i in range(2000)
            ]

    asyncio.run(run())
