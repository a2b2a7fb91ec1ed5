"""The ledger on real links, real discs and real nats-servers, which are killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqd.cluster.engine.engine import Start
from mqd.cluster.ledger.engine_orderer import META
from mqd.cluster.ledger.ledger import Ledger
from mqd.cluster.ledger.timers import loop_timers
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import (
    ClusterRecord,
    Command,
    DeleteVhost,
    Member,
    Must,
    PutCluster,
    PutMember,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.store import MetadataStore
from mqd.storage.writer import Writer
from tests.cluster.engine.nodes import Nodes, nodes
from tests.cluster.ledger.stand import contents
from tests.cluster.linearizability import Op, check
from tests.cluster.links.nodes import Cluster
from tests.waiting import PATIENCE_S, until

DISC = ("rabbit@a", "rabbit@b", "rabbit@c")
RAM = "rabbit@r"
REFUSED = {ErrorCode.ALREADY_EXISTS, ErrorCode.NO_SUCH_VHOST}


class Real:
    """Three disc members and a ram member."""

    def __init__(self, folder: Path, links: Cluster, engines: Nodes) -> None:
        self.folder = folder
        self.links = links
        self.engines = engines
        self.stores: dict[str, MetadataStore] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.writers: list[Writer] = []
        self.history: list[Op] = []
        self.numbers = itertools.count(1)

    async def form(self) -> None:
        await self.links.form(*DISC, RAM)
        engines = await self.engines.found()
        first = self.open(DISC[0])
        await first.propose_async(PutCluster(ClusterRecord("id")))
        for number, name in enumerate((*DISC, RAM), 1):
            kind = "ram" if name == RAM else "disc"
            await first.propose_async(PutMember(Member(name, "i", number, kind)))
        await engines[0].create(META, replicas=3, first_seq=first.last_number + 1, tells=True)
        for name in DISC:
            self.begin(name)
        writer = Writer()
        self.writers.append(writer)
        self.stores[RAM] = MetadataStore.in_memory(writer, 1)
        self.ledger(RAM, "ram").follow((DISC[0],))
        await self.equal()

    def open(self, name: str) -> MetadataStore:
        store = self.stores[name] = MetadataStore.open(self.folder / f"{name}.db")
        return store

    def ledger(self, name: str, kind: str) -> Ledger:
        later = loop_timers(asyncio.get_running_loop())
        ledger = Ledger(self.links[name], self.stores[name], kind, later, lambda: None, DISC)
        self.ledgers[name] = ledger
        return ledger

    def begin(self, name: str) -> None:
        if name not in self.stores:
            self.open(name)
        self.ledger(name, "disc").use_engine(self.engines.up[name])

    async def equal(self, within_s: float = 30.0) -> None:
        def are() -> bool:
            one = next(iter(self.stores.values()))
            return all(
                store.last_number == one.last_number
                and contents(store.state) == contents(one.state)
                for store in self.stores.values()
            )

        await until(are, within_s)

    async def ask(self, name: str, what: str, key: str) -> bool:
        """Returns whether anything could be decided."""
        value = str(next(self.numbers))
        command: Command = DeleteVhost(key)
        if what == "add":
            command = PutVhost(VhostRecord(key, value), Must.BE_NEW)
        clock = asyncio.get_running_loop().time
        called = clock()
        op = Op(name, key, what, value if what == "add" else None, called=called)
        result = True
        try:
            await self.stores[name].propose_async(command)
        except MqdError as error:
            if error.code is ErrorCode.UNAVAILABLE:
                return False
            if error.code is ErrorCode.TIMEOUT:
                self.history.append(op)
                return False
            if error.code not in REFUSED:
                raise
            result = False
        self.history.append(Op(name, key, what, op.value, result, called, clock()))
        return True

    def look(self, name: str, key: str) -> None:
        clock = asyncio.get_running_loop().time
        found = self.stores[name].state.vhosts.get(key)
        value = found.description if found is not None else None
        now = clock()
        self.history.append(Op(name, key, "read", None, value, now, now))

    async def close(self) -> None:
        for ledger in self.ledgers.values():
            ledger.close()
        for store in self.stores.values():
            await store.close()
        for writer in self.writers:
            writer.stop()


@contextlib.asynccontextmanager
async def real(folder: Path) -> AsyncIterator[Real]:
    async with Cluster(folder / "links") as links, nodes(folder / "engines", 3) as engines:
        made = Real(folder, links, engines)
        try:
            await made.form()
            yield made
        finally:
            await made.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.asyncio
async def test_changes_while_the_leader_is_killed(tmp_path: Path) -> None:
    async with real(tmp_path) as cluster:
        stop = asyncio.Event()

        async def client(name: str, number: int) -> int:
            decided = 0
            for turn in itertools.count(number):
                if stop.is_set():
                    return decided
                key = f"v{turn % 3}"
                decided += await cluster.ask(name, "add" if turn % 2 else "remove", key)
                cluster.look(name, key)
            raise AssertionError

        names = (*DISC, RAM)
        clients = [
            asyncio.ensure_future(client(name, number)) for number, name in enumerate(names * 2)
        ]
        await until(lambda: len(cluster.history) > 400)
        leader = cluster.engines.up[DISC[0]].leads[META]
        assert leader is not None
        # the links of the node stay, by which it learns of changes: only its server ends
        await cluster.engines.crash(leader)
        before = len(cluster.history)
        others = {name for name in names if name != leader}
        await until(
            lambda: (
                others <= {op.process for op in cluster.history[before:] if not op.is_read}
                and len(cluster.history) > before + 100
            ),
            40,
        )
        for key in ("v0", "v1", "v2"):
            cluster.look(leader, key)
        engine = await cluster.engines.start(leader, Start.AGAIN)
        assert await engine.ready(PATIENCE_S)
        cluster.ledgers[leader].use_engine(engine)
        await until(lambda: bool(cluster.engines.up[leader].leads.get(META)))
        stop.set()
        assert all([await each for each in clients])
        await cluster.equal()
        for name in names:
            for key in ("v0", "v1", "v2"):
                cluster.look(name, key)
        check(cluster.history, reads_apart=True)
