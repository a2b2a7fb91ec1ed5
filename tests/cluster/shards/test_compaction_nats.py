"""A shard on real nats-servers through which much flows stays short.

Nothing is lost of what stays: a message that nobody acknowledges, and the newest ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from mqd.cluster.engine.engine import NatsEngine
from mqd.cluster.ports import Entry
from mqd.cluster.shards.records import number_of
from tests.cluster.engine.nodes import nodes
from tests.cluster.shards.messages import message
from tests.cluster.shards.test_nats import LOG, Home, Q
from tests.waiting import PATIENCE_S, until

MESSAGES = 30_000
BEHIND = 500  # that are not settled


def test_what_flows_through_does_not_stay(tmp_path: Path) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with nodes(tmp_path, 3) as three:
            a, b, _ = await three.found()
            await a.create(LOG, replicas=3)
            home = Home(a, "a~1")
            await asyncio.wait_for(home.began.wait(), PATIENCE_S)
            upkeep = loop.create_task(home.upkeep.run())
            for at in range(MESSAGES):
                home.store.enqueue(Q, message(b"%d" % at * 200))
                if at % 64 == 0:
                    home.upkeep.stir()
                    await asyncio.sleep(0)
                    while len(home.arrived) > BEHIND:
                        one = home.arrived.pop(1)  # the first one stays
                        home.store.settle(Q, one)

            async def is_told() -> bool:
                home.upkeep.stir()
                log = home.shard.queues[Q]
                told = not (home.log.writer.pending or log.new or log.settled)
                return told and log.state.index.garbage_bytes < 2 * home.shard.fat_bytes

            await until(is_told)
            upkeep.cancel()
            home.log.close()
            entries = [e async for e in _entries(a)]
            size = sum(len(entry.data) for entry in entries)
            print(f"\n{len(entries)} entries, {size >> 20} MiB of {MESSAGES * 1000 >> 20} written")
            assert size < 14 << 20
            other = Home(b, "b~1")
            await asyncio.wait_for(other.began.wait(), PATIENCE_S)
            assert list(map(number_of, other.arrived)) == list(map(number_of, home.arrived))
            assert [one.body for one in other.arrived] == [one.body for one in home.arrived]
            other.log.close()

    asyncio.run(run())


async def _entries(engine: NatsEngine) -> AsyncIterator[Entry]:
    last = (await engine.info(LOG)).last_seq
    seq = 0
    while seq < last:
        for entry in await engine.read(LOG, seq + 1, 256):
            seq = entry.seq
            yield entry
