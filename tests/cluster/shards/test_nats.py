"""A shard on three real nats-servers: its writer's server is killed at full rate, again and again.

The publisher is a node that resends to the next writer what was not confirmed, by the same numbers,
as a remote queue does. At the end another node reads the log: every confirmed message is there
once, and in order.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from mqd.broker.message import Message
from mqd.broker.tickets import Tickets
from mqd.cluster.engine.engine import NatsEngine
from mqd.cluster.shards.log import ShardLog
from mqd.cluster.shards.replay import Replay
from mqd.cluster.shards.shard import Shard
from mqd.cluster.shards.store import ShardStore
from mqd.cluster.shards.upkeep import Upkeep
from mqd.cluster.shards.writer import Writer
from tests.cluster.engine.nodes import nodes
from tests.cluster.shards.messages import message
from tests.waiting import PATIENCE_S, until

LOG = "Q0"
Q = 1 << 32 | 5
ORIGIN = b"publisher"
OPEN_MAX = 4096  # not confirmed
KILLS = int(os.environ.get("MQD_SHARD_KILLS", "2"))
MESSAGES = int(os.environ.get("MQD_SHARD_MESSAGES", "8000"))  # between two kills


class Home:
    """A writer of the shard."""

    def __init__(self, engine: NatsEngine, name: str) -> None:
        self.replay = Replay(LOG)
        self.began = asyncio.Event()
        self.shard = Shard(LOG, lambda: 0)
        self.tickets = Tickets(lambda batch, call: call())
        self.upkeep = Upkeep(engine, self.shard)
        self.store = ShardStore(self.shard, self.tickets, b"home", lambda: None, self.upkeep)
        self.arrived: list[Message] = []
        self.log = ShardLog(
            engine,
            LOG,
            Writer(LOG, name),
            self.replay.take,
            self._began,
            self.shard.flush,
            lambda: None,
        )
        self.shard.log = self.log

    def _began(self) -> None:
        self.shard.states = self.replay.queues
        self.arrived += self.store.attach(Q, self.arrived.append)
        self.began.set()


class Publisher:
    """Publishes bodies that are numbers, at full rate, to whoever is home."""

    def __init__(self) -> None:
        self.number = 0
        self.open: dict[int, bytes] = {}
        self.confirmed = 0
        self.home: Home | None = None
        self.waits: asyncio.Future[None] | None = None

    def move(self, home: Home | None) -> None:
        self.home = home
        if home is not None:
            for number, body in list(self.open.items()):
                self._send(home, number, body)

    def _send(self, home: Home, number: int, body: bytes) -> None:
        known = home.store.known(Q, ORIGIN, number)
        if known is None:
            known = home.store.enqueue_from(Q, message(body), ORIGIN, number)
        if known == 0:
            self._confirm(number)
        else:
            home.tickets.wait(known, lambda _: self._confirm(number))

    def _confirm(self, number: int) -> None:
        if self.open.pop(number, None) is None:
            return
        self.confirmed += 1
        if self.waits is not None and len(self.open) < OPEN_MAX // 2:
            self.waits.set_result(None)
            self.waits = None

    async def publish(self, count: int) -> None:
        assert self.home is not None
        for _ in range(count // 64):
            for _ in range(64):
                self.number += 1
                body = b"%d" % self.number
                self.open[self.number] = body.ljust(1024)
                self._send(self.home, self.number, self.open[self.number])
            await asyncio.sleep(0)
            if len(self.open) > OPEN_MAX:
                self.waits = asyncio.get_running_loop().create_future()
                await asyncio.wait_for(self.waits, PATIENCE_S)

    async def drained(self) -> None:
        async def is_done() -> bool:
            return not self.open

        await until(is_done)


def test_kills_of_the_leader_lose_and_double_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with nodes(tmp_path, 3) as three:
            engines = {
                member.name: engine
                for member, engine in zip(three.members, await three.found(), strict=True)
            }
            await engines["rabbit@a"].create(LOG, replicas=3)
            publisher = Publisher()
            homes: list[Home] = []
            for round_ in range(KILLS + 1):
                leader = ""

                async def led() -> bool:
                    nonlocal leader
                    now = {engine.leads.get(LOG) for engine in three.up.values()}
                    leader = next(iter(now)) or ""
                    return len(now) == 1 and leader in three.up

                await until(led)
                started = loop.time()
                home = Home(three.up[leader], f"{leader}~{round_}")
                homes.append(home)
                await asyncio.wait_for(home.began.wait(), PATIENCE_S)
                took_over = loop.time() - started
                publisher.move(home)
                started = loop.time()
                before = publisher.confirmed
                await publisher.publish(MESSAGES)
                await publisher.drained()
                rate = (publisher.confirmed - before) / (loop.time() - started)
                print(f"{rate:.0f} confirmed/s, replay of {len(home.arrived)} {took_over:.2f} s")
                if round_ == KILLS:
                    break
                more = loop.create_task(publisher.publish(MESSAGES))
                while publisher.confirmed < before + MESSAGES + MESSAGES // 4:  # noqa: ASYNC110 - many
                    await asyncio.sleep(0)
                await three.crash(leader)
                killed = loop.time()
                more.cancel()
                home.log.close()
                publisher.waits = None

                async def elsewhere(old: str = leader) -> bool:
                    now = {engine.leads.get(LOG) for engine in three.up.values()}
                    return len(now) == 1 and next(iter(now)) not in (None, old)

                await until(elsewhere)
                print(f"another leader after {loop.time() - killed:.2f} s")
                restarted = await three.start(leader)
                assert await restarted.ready(PATIENCE_S, LOG)
            end = Replay(LOG)
            for old in homes:
                old.log.close()
            seq = 0
            engine = three.up["rabbit@c"]
            last = (await engine.info(LOG)).last_seq
            while seq < last:
                for entry in await engine.read(LOG, seq + 1, 256):
                    end.take(entry)
                    seq = entry.seq
            numbers = [int(one.body) for one in end.queues[Q].in_order()]
            assert not end.ignored
            assert publisher.confirmed == publisher.number
            assert numbers == list(range(1, publisher.number + 1))

    asyncio.run(run())
