"""What a link between two nodes carries: messages a second one way, and the time of a round trip.

Decides what is measured and how: two processes on one machine, TLS, medians of several runs.

    python -m tests.perf.links [--size 100] [--runs 5]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

from mqd.cluster.links.mesh import LinkMesh
from mqd.daemon.clock import SystemClock
from mqd.metadata.commands import Member
from tests.cluster.links.nodes import HOST, incarnation, passport
from tests.ports import free_ports
from tests.waiting import until

_MESSAGES = 400_000
_A_TURN = 200  # sent in one turn of the loop
_TRIPS = 3000


def members(port: int) -> dict[str, Member]:
    table = {node: Member(node, incarnation(node), 1, "disc", HOST) for node in "ab"}
    return {**table, "b": Member("b", incarnation("b"), 2, "disc", HOST, link_port=port)}


async def answering(folder: Path, port: int) -> None:
    """Node b: counts, and says so when asked."""
    mesh = LinkMesh(passport(folder, "b"), SystemClock())
    await mesh.listen(HOST, [port])
    count = 0

    def take(_peer: str, _data: bytes) -> None:
        nonlocal count
        count += 1

    async def counted(_peer: str, _data: bytes) -> bytes:
        return b"%d" % count

    mesh.take("bench", take)
    mesh.answer("count", counted)
    mesh.use_members(members(port))
    await asyncio.Event().wait()


async def measure(folder: Path, port: int, size: int, runs: int) -> None:
    mesh = LinkMesh(passport(folder, "a"), SystemClock())
    mesh.use_members(members(port))
    await until(lambda: mesh.up)
    rates, payload = [], bytes(size)
    for run in range(runs):
        began = time.perf_counter()
        for number in range(_MESSAGES):
            mesh.send("b", "bench", payload)
            if number % _A_TURN == 0:
                await asyncio.sleep(0)
                if mesh.congested("b"):
                    relieved = asyncio.Event()
                    mesh.on_relief("b", relieved.set)
                    await relieved.wait()
        counted = await mesh.request("b", "count", b"", 60)
        assert int(counted) == (run + 1) * _MESSAGES
        rates.append(_MESSAGES / (time.perf_counter() - began))
    trips = []
    for _ in range(_TRIPS):
        began = time.perf_counter()
        await mesh.request("b", "count", b"", 5)
        trips.append((time.perf_counter() - began) * 1000)
    trips.sort()
    shown = ", ".join(f"{rate:,.0f}" for rate in rates)
    print(f"{size} B one way: median {statistics.median(rates):,.0f} msg/s ({shown})")
    print(f"round trip: median {trips[_TRIPS // 2]:.3f} ms, p99 {trips[_TRIPS * 99 // 100]:.3f} ms")
    await mesh.close()


def _answer(folder: Path, port: int) -> None:
    asyncio.run(answering(folder, port))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        (port,) = free_ports(1)
        other = multiprocessing.get_context("spawn").Process(
            target=_answer, args=(Path(name), port)
        )
        other.start()
        try:
            asyncio.run(measure(Path(name), port, chosen.size, chosen.runs))
        finally:
            other.terminate()
            other.join()


if __name__ == "__main__":
    main()
