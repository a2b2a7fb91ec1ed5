"""A shard's log is read to its end, also where the end is not where the engine's numbers are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mqd.cluster.ports import Entry
from mqd.cluster.shards.log import ShardLog
from mqd.cluster.shards.writer import WINDOW, Writer
from tests.cluster.fake_engine import FakeEngines
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


async def written(engines: FakeEngines, writer: str) -> list[Entry]:
    """What a new writer reads before it writes. Returns when it does."""
    taken: list[Entry] = []
    began = asyncio.Event()
    log = ShardLog(
        engines["a"],
        "Q0",
        Writer("Q0", writer),
        taken.append,
        began.set,
        on_room=lambda: None,
        on_lost=lambda: None,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            await began.wait()
    finally:
        log.close()
    return taken


async def test_the_only_copy_may_have_less_than_it_had_heard_of() -> None:
    """It was being made when all others were lost."""
    engines = FakeEngines("a", "b")
    await engines["a"].create("Q0", replicas=1)
    await written(engines, "one")
    log = engines.logs["Q0"]
    had = log.last
    log.last += 40  # behind what it has, nothing
    assert [entry.seq for entry in await written(engines, "two")] == list(range(1, had + 1))
    assert log.last == had + 40 + WINDOW + 1
    log.entries.clear()
    log.first = log.last + 1
    assert await written(engines, "three") == []
    assert log.last == had + 40 + 2 * (WINDOW + 1)


async def test_a_copy_that_lags_is_waited_for() -> None:
    """Others have what it has not got yet."""
    engines = FakeEngines("a", "b")
    await engines["a"].create("Q0", replicas=2)
    await written(engines, "one")
    looks = 0
    read = engines["a"].read

    async def lags(log: str, from_seq: int, count: int) -> Sequence[Entry]:
        nonlocal looks
        looks += 1
        return [] if looks < 5 else await read(log, from_seq, count)

    engines["a"].read = lags  # type: ignore[method-assign]
    assert len(await written(engines, "two")) == WINDOW + 1
    assert looks >= 5
