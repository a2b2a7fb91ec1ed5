"""META on one member alone while the others are off, and how it grows again: three nodes, and
servers killed in the middle (make engine)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from mqd.cluster.engine.engine import NatsEngine
from mqd.cluster.ports import NoMajority
from tests.cluster.engine.nodes import full, nodes
from tests.waiting import PATIENCE_S, until

A, B, C = (f"rabbit@{letter}" for letter in "abc")


async def put(engine: NatsEngine, number: int) -> None:
    """However long it takes."""
    data = b"%d" % number
    while True:
        try:
            await engine.append("META", "META.x", data, unique=f"u{number}")
        except NoMajority:
            continue
        return


async def has(engine: NatsEngine, count: int) -> bool:
    entries = await engine.read("META", 1, 1000)
    return [entry.data for entry in entries] == [b"%d" % index for index in range(count)]


@full
def test_three_stop_one_after_the_other_and_come_back(tmp_path: Path) -> None:
    """c goes on alone; two copies as soon as two are back, three when all are."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            a, b, c = await cluster.found()
            await a.create("META", replicas=3)
            await cluster.stop(A)
            await put(b, 0)
            await b.set_replicas("META", 1, on=C)
            await cluster.stop(B)
            await put(c, 1)
            b = await cluster.start(B)
            await until(lambda: grown(c, b))
            assert set((await c.info("META")).current) == {B, C}
            a = await cluster.start(A)
            assert await a.ready(PATIENCE_S)
            await c.set_replicas("META", 3)
            await cluster.crash(C)
            await put(a, 2)
            for engine in (a, b):
                await until(lambda engine=engine: has(engine, 3))  # type: ignore[misc]

    async def grown(holder: NatsEngine, back: NatsEngine) -> bool:
        if not (holder.has_group and back.has_group):
            return False
        await holder.set_replicas("META", 2)
        return True

    asyncio.run(run())


@full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("victim", [A, B])
@pytest.mark.parametrize("grows", [True, False], ids=["grows", "shrinks"])
def test_a_server_is_killed_while_copies_are_made_or_given_up(
    tmp_path: Path, after_s: float, victim: str, grows: bool
) -> None:
    """Both come to be as wanted in the end, with every entry."""

    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, b = await cluster.found()
            await a.create("META", replicas=2)
            if grows:
                await a.set_replicas("META", 1, on=B)
            for number in range(20):
                await put(b, number)
            wanted = (2, None) if grows else (1, B)
            change = asyncio.ensure_future(b.set_replicas("META", *wanted))
            await asyncio.sleep(after_s)
            pid = cluster.up[victim].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await asyncio.wait([change])
            while (await asyncio.gather(change, return_exceptions=True))[0] is not None:
                change = asyncio.ensure_future(b.set_replicas("META", *wanted))
            await put(b, 20)
            assert (await b.info("META")).replicas == wanted[0]
            await b.set_replicas("META", 2)
            for engine in (a, b):
                await until(lambda engine=engine: has(engine, 21))  # type: ignore[misc]

    asyncio.run(run())
