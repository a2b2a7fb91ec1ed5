"""A node that writes a shard no more and does not know: what it answers, and what it delivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.queues.sharded import Sharded
from mqd.cluster.shards.shards import log_of
from tests.cluster.fake_engine import FakeEngine
from tests.cluster.shards.asking import answer, get, heard
from tests.cluster.shards.test_service import NODES, Cluster, Witness, cluster, declare
from tests.harness import Basic, Channel, Client, Queue

pytestmark = pytest.mark.asyncio


class Deposed:
    """`old` wrote q's shard; `new` does by now; `old` cannot know until `heal`."""

    def __init__(self, three: Cluster) -> None:
        self.three = three
        definition = three.state.queues["/", "q"]
        assert definition.shard is not None
        self.log = log_of(definition.shard)
        self.shard = definition.shard
        self.old = str(three["a"].service.whereabouts.home_of(self.shard))
        self.new, self.third = [name for name in NODES if name != self.old]

    async def fill(self, *bodies: str) -> None:
        witness = Witness(self.three[self.third])
        for body in bodies:
            witness.publish(body)
        await self.three.until(lambda: witness.hear() or len(witness.confirmed) == len(bodies))

    async def depose(self, *, cut: bool = True) -> None:
        three = self.three
        if cut:
            three.meshes.isolate(self.old)
        three.engines.elect(self.log, self.new)
        where = three[self.new].service.whereabouts
        await three.until(lambda: where.home_of(self.shard) == self.new)
        assert isinstance(self.at(self.old), Sharded), "it knows already"

    def at(self, node: str) -> object:
        return self.three[node].world.vhost.queues["q"]

    def heal(self) -> None:
        self.three.meshes.heal()

    def client(self, node: str) -> Client:
        return self.three[node].world.connect()


@asynccontextmanager
async def deposed(*bodies: str) -> AsyncIterator[Deposed]:
    async with cluster() as three:
        reconciler = three["a"].service.queues._reconciler
        assert reconciler is not None
        await three.until(lambda: not reconciler._fresh)  # else leaders are about to move
        await three.until(three.homes)
        await declare(three, "a")
        made = Deposed(three)
        await made.fill(*bodies)
        yield made


async def test_it_does_not_say_that_the_queue_is_empty() -> None:
    async with deposed() as scene:
        await scene.depose()
        await scene.fill("news")
        client = scene.client(scene.old)
        client.send(Basic.Get(0, "q"))
        await scene.three.until(lambda: isinstance(scene.at(scene.old), RemoteQueue))
        assert client.said() == []
        scene.heal()
        assert str(await heard(scene.three, client)) == "got 1 news left 0"


async def test_it_gives_nothing_that_another_has_given() -> None:
    async with deposed("1", "2") as scene:
        await scene.depose()
        got = await get(scene.three, scene.client(scene.new), no_ack=True)
        assert str(got) == "got 1 1* left 1"
        client = scene.client(scene.old)
        client.send(Basic.Get(0, "q", True))
        scene.heal()
        assert str(await heard(scene.three, client)) == "got 1 2* left 0"
        assert await get(scene.three, client, no_ack=True) is None


async def test_it_counts_and_purges_what_is_there() -> None:
    async with deposed("1", "2") as scene:
        await scene.depose()
        await scene.fill("3")
        count, purge = scene.client(scene.old), scene.client(scene.old)
        count.send(Queue.Declare(0, "q", True))
        scene.heal()
        assert str(await heard(scene.three, count)) == "declare-ok q 3 0"
        scene.three.engines.elect(scene.log, scene.old)
        await scene.three.until(lambda: isinstance(scene.at(scene.old), Sharded))
        scene.three.run()
        await scene.depose()
        await scene.fill("4")
        purge.send(Queue.Purge(0, "q"))
        scene.heal()
        assert str(await heard(scene.three, purge)) == "purge-ok 4"
        assert await get(scene.three, scene.client(scene.third)) is None


async def test_a_purge_that_is_answered_stays_when_another_takes_over() -> None:
    async with deposed("1", "2") as scene:
        purged = await answer(scene.three, scene.client(scene.old), Queue.Purge(0, "q"))
        assert str(purged) == "purge-ok 2"
        scene.three.crash(scene.old)
        await scene.three.until(lambda: isinstance(scene.at(scene.new), Sharded))
        assert await get(scene.three, scene.client(scene.new)) is None


async def test_who_asks_it_over_a_link_is_sent_on() -> None:
    async with deposed() as scene:
        scene.three.meshes.cut(scene.old, scene.new)
        await scene.depose(cut=False)
        await scene.fill("news")
        where = scene.three[scene.third].service.whereabouts
        assert where.home_of(scene.shard) == scene.new
        client = scene.client(scene.third)
        queue = scene.at(scene.third)
        assert isinstance(queue, RemoteQueue)
        queues = scene.three[scene.third].queues
        queue.at = queues._peer(scene.old).home  # it had not heard yet
        client.send(Basic.Get(0, "q"))
        client.send(Queue.Declare(0, "q", True))
        await scene.three.until(lambda: isinstance(scene.at(scene.old), RemoteQueue))
        queue.moved(queues._peer(scene.new).home)
        assert str(await heard(scene.three, client)) == "got 1 news left 0"
        assert str(await heard(scene.three, client)) == "declare-ok q 0 0"


async def test_what_it_delivers_comes_again_and_says_so() -> None:
    """Its clients' acknowledgements are in no log."""
    async with deposed("1", "2") as scene:
        await scene.depose()
        consumer = Witness(scene.three[scene.old])
        consumer.consume()
        await scene.three.until(lambda: consumer.hear() or len(consumer.got) == 2)
        assert consumer.got == [("1", False), ("2", False)]
        client = scene.client(scene.new)
        got = [await get(scene.three, client) for _ in "123"]
        assert [one and (one.body, one.method.redelivered) for one in got] == [
            (b"1", True),
            (b"2", True),
            None,
        ]


async def test_a_client_that_goes_while_it_waits_takes_nothing_with_it() -> None:
    async with deposed("1") as scene:
        client = scene.client(scene.old)
        client.send(Basic.Get(0, "q", True))
        queue = scene.at(scene.old)
        assert isinstance(queue, Sharded)
        assert (queue.ready_count, queue.unacked_count) == (0, 1)
        client.drop()
        assert (queue.ready_count, queue.unacked_count) == (1, 0)
        other = scene.client(scene.old)
        assert str(await get(scene.three, other)) == "got 1 1* left 0"
        other.ack(1)
        other.send(Channel.Close(0, "", 0, 0))


async def test_many_who_ask_cost_an_entry_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deposed() as scene:
        held: list[asyncio.Future[int]] = []
        submit = FakeEngine.submit

        def slow(self: FakeEngine, *values: object, **how: object) -> asyncio.Future[int]:
            answered = submit(self, *values, **how)  # type: ignore[arg-type]
            late: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            held.append(late)
            late.add_done_callback(lambda _: None)
            late.answer = answered.result  # type: ignore[attr-defined]
            return late

        monkeypatch.setattr(FakeEngine, "submit", slow)
        last = (await scene.three.engines["a"].info(scene.log)).last_seq
        clients = [scene.client(node) for node in NODES for _ in range(20)]
        empty = 0

        def ask_and_hear() -> bool:
            nonlocal empty
            for client in clients:
                got = client.take()
                empty += len(got)
                assert all(isinstance(one.method, Basic.GetEmpty) for one in got)
                if got:
                    client.send(Basic.Get(0, "q"))
            for late in held:
                if not late.done():
                    late.set_result(late.answer())  # type: ignore[attr-defined]
            return empty >= 600

        for client in clients:
            client.send(Basic.Get(0, "q"))
        await scene.three.until(ask_and_hear)
        entries = (await scene.three.engines["a"].info(scene.log)).last_seq - last
        assert entries < empty / 10


async def test_what_was_asked_before_a_queue_is_deleted_is_answered() -> None:
    async with deposed("1") as scene:
        client = scene.client(scene.old)
        client.send(Basic.Get(0, "q"))
        scene.three.delete_queue(scene.three.state.queues["/", "q"], lambda _: None)
        said = str(await heard(scene.three, client))
        assert said == "channel.close NOT_FOUND - no queue 'q' in vhost '/'"


async def test_the_log_of_a_queue_that_is_asked_for_ever_stays_short() -> None:
    async with deposed() as scene:
        own = scene.three[scene.old].service._shards
        assert own is not None
        own.own[scene.shard].shard.fat_bytes = 2000
        client = scene.client(scene.old)
        entries = scene.three.engines.logs[scene.log].entries
        for _ in range(300):
            assert await get(scene.three, client) is None
        await scene.three.until(lambda: len(entries) < 150)  # 65 of them open the epoch
        scene.three.crash(scene.old)
        await scene.three.until(lambda: isinstance(scene.at(scene.new), Sharded))
        assert await get(scene.three, scene.client(scene.new)) is None
