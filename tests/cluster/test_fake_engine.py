"""The engine that others are tested with keeps the promises of `mqd.cluster.ports.Engine`."""

from __future__ import annotations

import asyncio

import pytest

from mqd.cluster.ports import Entry, NoMajority, Stale
from tests.cluster.fake_engine import FakeEngines


def test_appends_are_numbered_compared_and_told() -> None:
    async def run() -> None:
        engines = FakeEngines("a", "b", "c")
        a, b = engines["a"], engines["b"]
        await a.create("META", replicas=3, first_seq=5, tells=True)
        assert (await a.info("META")).last_seq == 4
        told: list[Entry] = []
        end = b.follow("META", told.append)
        assert await a.append("META", "META.c", b"one", unique="1") == 5
        assert await b.append("META", "META.c", b"two", after=5) == 6
        assert await b.append("META", "META.c", b"one", unique="1") == 5
        with pytest.raises(Stale):
            await a.append("META", "META.c", b"three", after=5)
        assert await a.append_all("META", "META.c", [b"3", b"4"], 6) == 8
        assert [entry.seq for entry in told] == [5, 6, 7, 8]
        end()
        assert [e.data for e in await a.read("META", 6, 2)] == [b"two", b"3"]
        await a.remove("META", 6)
        await a.purge("META", before=6)
        assert (await a.info("META")).first_seq == 7
        assert len(told) == 4

    asyncio.run(run())


def test_a_majority_is_needed_and_leaders_are_told() -> None:
    async def run() -> None:
        engines = FakeEngines("a", "b", "c")
        heard: list[tuple[str, str | None]] = []
        engines["c"].on_leader(lambda log, leader: heard.append((log, leader)))
        await engines["a"].create("Q0", replicas=3)
        await engines["a"].lead("Q0", "b")
        engines.stop("b")
        assert await engines["c"].append("Q0", "Q0.x", b"") == 1
        engines.stop("a")
        with pytest.raises(NoMajority):
            await engines["c"].append("Q0", "Q0.x", b"")
        engines.start("b")
        assert await engines["c"].append("Q0", "Q0.x", b"") == 2
        assert heard == [("Q0", leader) for leader in ("a", "b", "a", None, "b")]

    asyncio.run(run())


def test_a_pinned_log_works_alone_and_grows_again() -> None:
    async def run() -> None:
        engines = FakeEngines("a", "b")
        await engines["a"].create("META", replicas=2)
        await engines["a"].set_replicas("META", 1, on="b")
        engines.stop("a")
        assert await engines["b"].append("META", "META.c", b"") == 1
        with pytest.raises(NoMajority):
            await engines["b"].set_replicas("META", 2)
        engines.start("a")
        await engines["a"].set_replicas("META", 2)
        assert (await engines["a"].info("META")).current == ("b", "a")

    asyncio.run(run())


def test_losses_and_unknown_outcomes_happen_when_asked() -> None:
    async def run() -> None:
        engines = FakeEngines("a", "b", "c")
        told: list[int] = []
        engines["c"].follow("META", lambda entry: told.append(entry.seq))
        await engines["a"].create("META", replicas=3, tells=True)
        engines.hold("c")
        for stored in (True, False):
            engines.fail("a", stored=stored)
            with pytest.raises(NoMajority):
                await engines["a"].append("META", "META.c", b"")
        assert await engines["a"].append("META", "META.c", b"") == 2
        engines.release("c", lose={1})
        assert told == [2]
        await engines["b"].rescue([("a", "1"), ("c", "1")])
        assert await engines["b"].append("META", "META.c", b"") == 3
        assert (await engines["b"].info("META")).replicas == 1

    asyncio.run(run())
