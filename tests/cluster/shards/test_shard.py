"""A shard from the queue's side: tickets, what a next writer finds, compaction, lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import pytest

from mqd.broker.message import Message
from mqd.broker.tickets import Tickets
from mqd.cluster.ports import Stale
from mqd.cluster.shards.log import ShardLog
from mqd.cluster.shards.records import number_of
from mqd.cluster.shards.replay import Replay
from mqd.cluster.shards.shard import Shard
from mqd.cluster.shards.store import ShardStore
from mqd.cluster.shards.upkeep import Upkeep
from mqd.cluster.shards.writer import Phase, Writer
from tests.cluster.fake_engine import FakeEngine, FakeEngines
from tests.cluster.shards.messages import message
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio
LOG = "Q0"
Q = 7


class Home:
    """A node that writes the shard, with one queue in it."""

    def __init__(self, engines: FakeEngines, node: str, window: int = 4) -> None:
        self.engine = engines[node]
        self.replay = Replay(LOG)
        self.began = asyncio.Event()
        self.is_lost = False
        self.shard = Shard(LOG, lambda: 0)
        self.writer = Writer(LOG, f"{node}~{id(self)}", window)
        self.tickets = Tickets(lambda batch, call: call())
        self.upkeep = Upkeep(self.engine, self.shard)
        self.store = ShardStore(self.shard, self.tickets, node.encode(), lambda: None, self.upkeep)
        self.confirmed: list[bytes] = []
        self.arrived: list[Message] = []
        self.log = ShardLog(
            self.engine,
            LOG,
            self.writer,
            self.replay.take,
            self._began,
            self.shard.flush,
            self._lost,
        )
        self.shard.log = self.log

    def _began(self) -> None:
        self.shard.states = self.replay.queues
        self.arrived += self.store.attach(Q, self.arrived.append)
        self.began.set()

    def _lost(self) -> None:
        self.is_lost = True

    def publish(self, body: bytes) -> int:
        ticket = self.store.enqueue(Q, message(body))
        self.tickets.wait(ticket, lambda _: self.confirmed.append(body))
        return ticket

    def settle(self, one: Message) -> None:
        self.arrived.remove(one)
        self.store.settle(Q, one)

    def bodies(self) -> list[bytes]:
        return [one.body for one in self.arrived]

    async def told(self) -> None:
        """All that there is to tell is in the log."""
        self.shard._end_lull()
        await until(lambda: not (self.shard._dirty or self.writer.pending))


@asynccontextmanager
async def home(engines: FakeEngines, node: str = "a", window: int = 4) -> AsyncIterator[Home]:
    one = Home(engines, node, window)
    try:
        await asyncio.wait_for(one.began.wait(), PATIENCE_S)
        yield one
    finally:
        one.log.close()


async def new_engines() -> FakeEngines:
    engines = FakeEngines("a", "b", "c")
    await engines["a"].create(LOG, replicas=3)
    return engines


def entries(engines: FakeEngines, queue: int = Q) -> int:
    return sum(e.subject == f"{LOG}.{queue}" for e in engines.logs[LOG].entries.values())


async def test_a_turn_is_one_frame_and_a_message_arrives_when_it_landed() -> None:
    engines = await new_engines()
    async with home(engines) as one:
        for at in range(10):
            one.publish(b"%d" % at)
        assert one.arrived == []
        await until(lambda: len(one.confirmed) == 10)
        assert one.bodies() == one.confirmed == [b"%d" % at for at in range(10)]
        assert entries(engines) == 1


async def test_the_next_writer_has_what_is_not_settled_in_order() -> None:
    engines = await new_engines()
    async with home(engines) as one:
        for at in range(200):
            one.publish(b"%d" % at)
        await until(lambda: len(one.confirmed) == 200)
        one.arrived[3].delivery_count = 2
        one.store.returned(Q, one.arrived[3])
        for each in [*one.arrived[:3], *one.arrived[5:190]]:
            one.settle(each)
        await one.told()
        left = one.bodies()
    async with home(engines, "b") as other:
        assert other.bodies() == left
        assert [m.delivery_count for m in other.arrived[:2]] == [2, 0]
        other.publish(b"later")
        await until(lambda: other.confirmed == [b"later"])
        assert other.bodies() == [*left, b"later"]


async def test_a_log_that_refuses_every_fence_is_not_asked_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of a leader which is cut off: it has taken what its followers will never have."""
    engines = await new_engines()
    asked: list[float] = []

    async def refuse(self: FakeEngine, *_: object) -> int:
        asked.append(asyncio.get_running_loop().time())
        raise Stale("wrong last sequence")

    with monkeypatch.context() as patch:
        patch.setattr(FakeEngine, "append_all", refuse)
        one = Home(engines, "a")
        await until(lambda: len(asked) == 4)
    assert all(later - earlier > 0.01 for earlier, later in pairwise(asked))
    await asyncio.wait_for(one.began.wait(), PATIENCE_S)
    one.log.close()


async def test_a_large_message_takes_several_frames() -> None:
    engines = await new_engines()
    large = bytes(range(256)) * 6000
    async with home(engines) as one:
        one.publish(b"small")
        one.publish(large)
        one.publish(b"behind")
        await until(lambda: len(one.confirmed) == 3)
        assert max(len(e.data) for e in engines.logs[LOG].entries.values()) < 1 << 20
        assert await one.upkeep.compact(one.shard.queues[Q], 0) is False
        one.settle(one.arrived[0])
        one.settle(one.arrived[-1])
        await one.told()
    async with home(engines, "b") as other:
        assert other.bodies() == [large]
        for at in range(40):
            other.publish(b"%d" % at * 50_000)
        await until(lambda: len(other.confirmed) == 40)
        for each in other.arrived[1:]:
            other.settle(each)
        await other.told()
        assert await other.upkeep.compact(other.shard.queues[Q], 0)
    async with home(engines, "c") as third:
        assert third.bodies() == [large]


async def test_a_message_that_comes_again_is_known() -> None:
    engines = await new_engines()
    async with home(engines) as one:
        assert one.store.known(Q, b"x", 5) is None
        one.store.enqueue_from(Q, message(b"1"), b"x", 5)
        again = one.store.known(Q, b"x", 5)
        assert again
        ended: list[bool] = []
        one.tickets.wait(again, ended.append)
        await until(lambda: ended == [True])
        assert one.store.known(Q, b"x", 4) is None
        assert one.store.known(Q, b"y", 4) is None
        for each in list(one.arrived):
            one.settle(each)
        await one.told()
        assert await one.upkeep.compact(one.shard.queues[Q], 0)
        assert entries(engines) == 1  # the checkpoint
    async with home(engines, "b") as other:
        assert other.store.known(Q, b"x", 5) == 0
        assert other.store.known(Q, b"x", 6) is None


async def test_a_purge_keeps_what_is_delivered() -> None:
    engines = await new_engines()
    async with home(engines) as one:
        for at in range(5):
            one.publish(b"%d" % at)
        await until(lambda: len(one.confirmed) == 5)
        one.store.settle_all(Q, [one.arrived[1]])
        one.publish(b"later")
        await one.told()
    async with home(engines, "b") as other:
        assert other.bodies() == [b"1", b"later"]


async def test_an_old_message_is_repeated_so_that_the_log_stays_short() -> None:
    engines = await new_engines()
    async with home(engines) as one:
        one.publish(b"stays")
        await until(lambda: len(one.confirmed) == 1)
        stays = one.arrived[0]
        for round_ in range(20):
            for at in range(50):
                one.publish(b"%d" % (1000 * round_ + at))
            await until(lambda: len(one.arrived) == 51)
            for each in one.arrived[1:]:
                one.settle(each)
            stays.delivery_count = round_
            one.store.returned(Q, stays)
            await one.told()
            assert await one.upkeep.compact(one.shard.queues[Q], 0)
            assert entries(engines) <= 4
        one.publish(b"behind")
        await one.told()
    async with home(engines, "b") as other:
        assert other.bodies() == [b"stays", b"behind"]
        assert other.arrived[0].delivery_count == 19


async def test_what_is_deleted_leaves_no_frame() -> None:
    engines = await new_engines()
    async with home(engines) as one:
        one.publish(b"1")
        await until(lambda: len(one.confirmed) == 1)
        task = asyncio.get_running_loop().create_task(one.upkeep.run())
        one.shard.forget(one.shard.queues[Q])
        one.upkeep.deleted(Q)
        await until(lambda: entries(engines) == 0)
        task.cancel()
    async with home(engines, "b") as other:
        assert other.arrived == []


async def test_lost_answers_lose_and_double_nothing() -> None:
    engines = await new_engines()
    async with home(engines) as one:
        random = Random(3)
        for at in range(300):
            one.publish(b"%d" % at)
            if at % 20 == 0:
                engines.fail("a", stored=random.random() < 0.5)
            await asyncio.sleep(0)
        await until(lambda: len(one.confirmed) == 300)
        assert one.bodies() == [b"%d" % at for at in range(300)]
    async with home(engines, "b") as other:
        assert other.bodies() == [b"%d" % at for at in range(300)]


async def test_the_old_writer_notices_and_says_what_is_open() -> None:
    engines = await new_engines()
    async with home(engines) as one, home(engines, "b") as other:
        other.publish(b"b")
        await until(lambda: other.confirmed == [b"b"])
        ticket = one.publish(b"a")
        await until(lambda: one.is_lost)
        assert one.writer.phase is Phase.LOST
        assert one.writer.loser_to == other.writer.name
        assert one.confirmed == []
        assert [(t, m.body) for t, m in one.store.pending(Q)] == [(ticket, b"a")]
        origin = b"a"
        assert other.store.known(Q, origin, ticket) is None
        other.store.enqueue_from(Q, message(b"a"), origin, ticket)
        await until(lambda: other.bodies() == [b"b", b"a"])


@pytest.mark.parametrize("seed", range(8))
async def test_takeovers_compaction_and_lost_answers_together(seed: int) -> None:
    """Against a list: whatever is confirmed and not settled is there, in order, exactly once."""
    random = Random(seed)
    engines = await new_engines()
    owed: list[bytes] = []
    bodies = 0
    for _ in range(5):
        async with home(engines, random.choice("abc"), random.choice((1, 4, 64))) as one:
            assert one.bodies() == owed
            await _use(one, engines, random, bodies)
            bodies += 1000
            await one.told()
            owed = one.bodies()
            assert len(set(owed)) == len(owed)


async def _use(one: Home, engines: FakeEngines, random: Random, first: int) -> None:
    body = first
    for _ in range(150):
        act = random.random()
        if act < 0.4:
            for _ in range(random.randrange(1, 30)):
                body += 1
                one.publish(b"%d." % body * random.choice((1, 1, 1, 5000)))
        elif act < 0.8 and one.arrived:
            for _ in range(random.randrange(1, 30)):
                if one.arrived:
                    at = min(int(random.expovariate(0.3)), len(one.arrived) - 1)
                    one.settle(one.arrived[at])
        elif act < 0.83 and one.writer.phase is Phase.WRITING:
            engines.fail(one.engine.member, stored=random.random() < 0.5)
            body += 1
            one.publish(b"%d" % body)
            await one.told()
        elif act < 0.9 and Q in one.shard.queues:
            await one.told()
            await one.upkeep.compact(one.shard.queues[Q], 0)
        elif act < 0.91:
            one.store.settle_all(Q, one.arrived[:2])
            del one.arrived[2:]
            await one.told()
            one.arrived.sort(key=number_of)
        else:
            await asyncio.sleep(0)
