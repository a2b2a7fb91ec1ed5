"""Who stops, or takes over, does not wait for what can be begun again."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from mqd.cluster.ledger.engine_orderer import META
from mqd.cluster.ledger.ledger import Ledger
from mqd.cluster.ports import NoMajority
from mqd.daemon.electorate import Electorate
from mqd.daemon.ports import Reserved
from mqd.daemon.station import Station
from mqd.metadata.commands import ClusterRecord, Member, PutCluster, PutMember
from mqd.metadata.store import MetadataStore
from mqd.storage.writer import Writer
from tests.waiting import PATIENCE_S

A, B = Member("a@h", "ia", 1), Member("b@h", "ib", 2)


class Mesh:
    """Links to nobody who answers."""

    node = A.name
    up = (B.name,)

    def answer(self, *_: Any) -> Any:
        return lambda: None

    async def request(self, *_: Any) -> bytes:
        return b""


class StuckEngine:
    """It serves, has an old log, and never gets to what is asked at one point."""

    voters: tuple[str, ...] = (A.name, B.name)
    has_group = True
    leads: ClassVar[dict[str, str]] = {}

    def __init__(self, stuck_at: str) -> None:
        self.reached, self._going_on = asyncio.Event(), asyncio.Event()
        self.asked: list[int] = []  # copies
        self.copies_max = 5
        self._stuck_at = stuck_at

    def goes_on(self) -> None:
        self._stuck_at = ""
        self._going_on.set()

    async def _step(self, name: str) -> None:
        if name == self._stuck_at:
            self.reached.set()
            await self._going_on.wait()

    async def ready(self, _within_s: float) -> bool:
        await self._step("ready")
        return True

    async def use(self, *_: Any) -> None:
        await self._step("use")

    async def info(self, _log: str) -> Any:
        await self._step("info")
        return SimpleNamespace(current=(), replicas=1)

    async def delete(self, _log: str) -> None:
        await self._step("delete")

    async def create(self, _log: str, *, replicas: int, **_: Any) -> None:
        self.asked.append(replicas)
        await self._step("create")
        if replicas > self.copies_max:
            raise NoMajority("no suitable peers")


async def electorate(engine: StuckEngine, tmp_path: Any) -> tuple[Electorate, MetadataStore]:
    store = MetadataStore.in_memory(Writer(), 1)
    for command in (PutCluster(ClusterRecord("c", authority=A.name)), PutMember(A), PutMember(B)):
        await store.propose_async(command)
    mesh = cast("Any", Mesh())
    identity, route = cast("Any", None), cast("Reserved", SimpleNamespace(release=lambda: None))
    station = Station(tmp_path, A, identity, mesh, mesh, "", route, lambda: (), lambda _: None, {})
    barrier = SimpleNamespace(written={})
    held: dict[str, Any] = {"uses_engine": False, "barrier": barrier, "use_engine": lambda _: None}
    ledger = cast("Ledger", SimpleNamespace(**held, hold=store.hold))
    made = Electorate(station, store, ledger)
    made._engine = cast("Any", engine)
    return made, store


@pytest.mark.parametrize("step", ["ready", "use", "delete"])
def test_a_member_that_stops_while_it_converts(step: str, tmp_path: Any) -> None:
    async def run() -> None:
        engine = StuckEngine(step)
        made, store = await electorate(engine, tmp_path)

        async def look() -> None:
            async with made._busy:
                await made._look()

        looking = asyncio.get_running_loop().create_task(look())
        await asyncio.wait_for(engine.reached.wait(), PATIENCE_S)
        engine._stuck_at = ""
        await asyncio.wait_for(made.hand_over(()), PATIENCE_S)  # nobody is left to hand over to
        await asyncio.wait_for(looking, PATIENCE_S)
        cluster = store.state.cluster
        assert cluster is not None
        assert cluster.authority == A.name  # nothing was begun that cannot be left
        await store.close()

    asyncio.run(run())


@pytest.mark.parametrize("is_left_alone", [True, False])
def test_a_member_that_stops_before_there_is_a_log(is_left_alone: bool, tmp_path: Any) -> None:
    """Nobody else may make it: it is waited for, unless that is in vain."""

    async def run() -> None:
        engine = StuckEngine("create")
        made, store = await electorate(engine, tmp_path)

        async def look() -> None:
            async with made._busy:
                await made._look()

        loop = asyncio.get_running_loop()
        looking = loop.create_task(look())
        await asyncio.wait_for(engine.reached.wait(), PATIENCE_S)
        stopping = loop.create_task(made.hand_over(()))
        await asyncio.wait([stopping], timeout=0.5)
        assert not stopping.done()  # the other one is there, and will have it
        if is_left_alone:
            made._station.mesh.up = ()  # type: ignore[misc]
        else:
            engine.goes_on()
        await asyncio.wait_for(stopping, PATIENCE_S)
        await asyncio.wait_for(looking, PATIENCE_S)
        assert made._founding.is_given_up is is_left_alone
        assert store.state.cluster is not None
        assert store.state.cluster.authority == ""
        await store.close()

    asyncio.run(run())


def test_copies_are_made_where_servers_are(tmp_path: Any) -> None:
    """Not where they were, nor where a member is linked whose server is down."""

    async def run() -> None:
        engine = StuckEngine("")
        engine.voters = (A.name, B.name, "c@h")
        made, store = await electorate(engine, tmp_path)
        assert await made._founding.found(cast("Any", engine), 8)
        assert engine.asked == [2]
        made._station.mesh.up = (B.name, "c@h")  # type: ignore[misc]
        engine.asked, engine.copies_max = [], 2
        assert await made._founding.found(cast("Any", engine), 8)
        assert engine.asked == [3, 2]
        await store.close()

    asyncio.run(run())


def test_members_that_change_meanwhile_are_looked_at_at_once(tmp_path: Any) -> None:
    async def run() -> None:
        engine = StuckEngine("delete")
        made, store = await electorate(engine, tmp_path)
        looking = asyncio.get_running_loop().create_task(made._look())
        await asyncio.wait_for(engine.reached.wait(), PATIENCE_S)
        made.stir()
        await asyncio.wait_for(looking, PATIENCE_S)
        assert made._stirred.is_set()
        await store.close()

    asyncio.run(run())


class GrowingLog(StuckEngine):
    """Its log gets the copies that are wanted, one more up to date each time it is asked."""

    leads: ClassVar[dict[str, str]] = {META: A.name}
    voters: tuple[str, ...] = (A.name, B.name)

    def __init__(self) -> None:
        super().__init__("set_replicas")
        self._replicas, self._current = 1, 0

    async def info(self, _log: str) -> Any:
        self._current = min(self._current + 1, self._replicas)
        return SimpleNamespace(current=(A.name, B.name)[: self._current], replicas=self._replicas)

    async def set_replicas(self, _log: str, replicas: int) -> None:
        self._replicas = replicas
        await self._step("set_replicas")


def test_copies_are_told_of_though_the_change_was_put_off(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def grow() -> None:
        engine = GrowingLog()
        made, _store = await electorate(engine, tmp_path)
        change = asyncio.get_running_loop().create_task(
            made._put_off.run(made._put_right(cast("Any", engine)))
        )
        await engine.reached.wait()
        made.stir()  # it was asked for, and is not there
        await change
        assert "copies" not in caplog.text
        for _ in range(3):
            await made._put_right(cast("Any", engine))

    caplog.set_level(logging.INFO)
    asyncio.run(grow())
    assert [record.getMessage() for record in caplog.records] == ["2 copies of the log of changes"]
