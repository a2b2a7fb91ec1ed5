"""How fast records get into a log: `python -m tests.cluster.engine.bench`.

Three servers and the producer share this machine and its disc, so figures are for comparison.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from pathlib import Path

from tests.cluster.engine.nodes import nodes

COUNT = 20_000


async def pipelined(folder: Path) -> None:
    async with nodes(folder, 3) as cluster:
        a, *_ = await cluster.found()
        await a.create("Q0", replicas=3)
        await a.lead("Q0", "rabbit@a")
        last = 0
        for width in (1, 16, 64, 256):
            under_way: deque[asyncio.Future[int]] = deque()
            count = COUNT if width > 1 else 500
            started, cpu = time.perf_counter(), time.process_time()
            for _ in range(count):
                if len(under_way) == width:
                    await under_way.popleft()
                under_way.append(a.submit("Q0.x", bytes(1024), after=last))
                last += 1
            while under_way:
                await under_way.popleft()
            took = time.perf_counter() - started
            cost = (time.process_time() - cpu) / count * 1e6
            print(f"1 KiB, {width} under way: {count / took:.0f}/s, {cost:.0f} us of CPU each")
        started = time.perf_counter()
        for _ in range(50):
            last = await a.append_all("Q0", "Q0.x", [bytes(1024)] * 200, last)
        print(f"batches of 200: {50 * 200 / (time.perf_counter() - started):.0f}/s")
        started, found = time.perf_counter(), 0
        while entries := await a.read("Q0", found + 1, 1000):
            found += len(entries)
        print(f"read: {found / (time.perf_counter() - started):.0f}/s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(pipelined(Path(made)))
