"""Drawn histories of a cluster's metadata: cuts, crashes, laggards, lost answers, changes of order.

Decides what must hold whatever happens: all nodes end with one state under one number, an entry is
the same on all of them, nothing that was answered is lost, nothing happens twice, and what clients
saw can have happened on one machine (`tests.cluster.linearizability`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mqd.cluster.ledger.engine_orderer import META
from mqd.cluster.ports import NoMajority
from mqd.errors import ErrorCode, MqdError
from mqd.limits import PROPOSAL_TIMEOUT_S
from mqd.metadata.commands import (
    Command,
    DeleteVhost,
    Must,
    PutGlobalParameter,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.log import Proposed
from tests.cluster.ledger.stand import Node, Stand
from tests.cluster.linearizability import Op, check

KINDS = {"a": "disc", "b": "disc", "c": "disc", "r": "ram"}
NODES = tuple(KINDS)
REFUSED = {ErrorCode.ALREADY_EXISTS, ErrorCode.NO_SUCH_VHOST}

Step = tuple[Any, ...]
DISC = ("a", "b", "c")
LENGTH = 120


def drawn(seed: int, by_engine: bool) -> list[Step]:
    """Mostly what is usual; named by the methods of `World`."""
    r = random.Random(seed)
    usual: list[Callable[[], Step]] = [
        lambda: ("ask", r.choice(NODES), r.choice(("add", "remove", "put")), r.randrange(2)),
        lambda: ("ask", r.choice(NODES), r.choice(("add", "remove")), 0),
        lambda: ("look", r.choice(NODES), r.randrange(2)),
        lambda: ("look", r.choice(NODES), 0),
        lambda: ("links", r.randint(1, 3)),
        lambda: ("links", r.randint(1, 8)),
        lambda: ("tasks",),
        lambda: ("disc", r.choice(DISC)),
        lambda: ("settle",),
    ]
    trouble: list[Callable[[], Step]] = [
        lambda: ("timers",),
        lambda: ("time", r.choice((0.5, 1.0, 3.0))),
        lambda: ("cut", r.choice(NODES), r.choice(NODES), r.random() < 0.5),
        lambda: ("heal",),
        lambda: ("crash", r.choice(NODES)),
        lambda: ("restart",),
        lambda: ("fold", r.choice(DISC)),
    ]
    if by_engine:
        trouble += [
            lambda: ("fail", r.choice(DISC), r.random() < 0.7),
            lambda: ("deaf", r.choice(DISC)),
            lambda: ("hears", r.choice(DISC), r.random() < 0.5),
            lambda: ("purge", r.choice(DISC)),
        ]
    kinds = usual * 4 + trouble
    return [r.choice(kinds)() for _ in range(LENGTH)]


class World:
    """A stand, what is asked of it, and what came of that. Time is the count of steps."""

    def __init__(self, folder: Path, authority: str, seed: int) -> None:
        self.stand = Stand(folder, seed)
        self.authority = authority
        self.now = 0
        self.forgetful = bool(seed % 2)  # the engine never knows an id again
        self.history: list[Op] = []
        self.asked: dict[int, tuple[str, Command, Op]] = {}
        self.entries: dict[int, str] = {}
        self.numbers = itertools.count()
        self.stale: set[str] = set()  # nodes that need not know all that was answered

    async def begin(self) -> None:
        await self.stand.form(KINDS, self.authority)
        for node in self.stand.running:
            self._watch(node)

    def _watch(self, node: Node) -> None:
        assert node.ledger is not None
        settled = node.ledger.feed.settled

        def hear(lines: Sequence[Proposed]) -> None:
            for line in lines:
                assert self.entries.setdefault(line.number, line.line) == line.line
            settled(lines)

        node.store.on_settled = hear

    def up(self, name: str) -> Node | None:
        node = self.stand[name]
        return node if node.ledger is not None else None

    async def do(self, step: Step) -> None:
        self.now += 1
        await getattr(self, step[0])(*step[1:])
        if self.forgetful:
            await self.forgets()

    async def ask(self, name: str, what: str, key: int) -> None:
        node = self.up(name)
        if node is None:
            return
        number = next(self.numbers)
        value = f"{number}"
        command: Command
        match what:
            case "add":
                command = PutVhost(VhostRecord(f"v{key}", value), Must.BE_NEW)
            case "remove":
                command = DeleteVhost(f"v{key}")
            case _:
                command = PutGlobalParameter(f"g{key}", value)
        place = ("g" if what == "put" else "v") + str(key)
        op = Op(name, place, what, None if what == "remove" else value, called=self.now)
        self.asked[number] = (name, command, op)

        def done(error: Exception | None) -> None:
            self.now += 1
            _, _, asked = self.asked.pop(number)
            result: object = True
            if error is not None:
                assert isinstance(error, MqdError)
                if error.code is ErrorCode.UNAVAILABLE:
                    assert "nothing was changed" in error.detail
                    return
                if error.code is ErrorCode.TIMEOUT:
                    assert "not known" in error.detail
                    self.history.append(asked)
                    return
                assert error.code in REFUSED
                result = False
            self.history.append(Op(name, place, what, asked.value, result, asked.called, self.now))

        node.store.propose(command, done)

    async def look(self, name: str, key: int) -> None:
        node = self.up(name)
        if node is None or name in self.stale or self._is_apart(name):
            return
        if name == self.authority and node.store.written_number < node.store.last_number:
            return  # it has what a crash may take away again
        vhost = node.store.state.vhosts.get(f"v{key}")
        seen = {
            f"v{key}": vhost.description if vhost is not None else None,
            f"g{key}": node.store.state.global_parameters.get(f"g{key}"),
        }
        for place, value in seen.items():
            now = self.now
            self.history.append(Op(name, place, "read", None, value, now, now + 0.5))

    def _is_apart(self, name: str) -> bool:
        """Somebody answers without it."""
        for other in self.stand.running:
            if other.name == name:
                continue
            assert other.ledger is not None
            mesh = self.stand.meshes[other.name]
            if name not in mesh.up or name in other.ledger.barrier.suspected:
                self.stale.add(name)
        return name in self.stale

    async def links(self, count: int) -> None:
        self.stand.meshes.run(count)

    async def disc(self, name: str) -> None:
        node = self.up(name)
        if node is not None:
            node.writer.run()

    async def timers(self) -> None:
        self.stand.timers.run()

    async def tasks(self) -> None:
        await asyncio.sleep(0)

    async def settle(self) -> None:
        await self.stand.settle()
        if not self.stand.meshes._cut and not self.stand.engines._held:
            numbers = {node.store.last_number for node in self.stand.running}
            if len(numbers) == 1:
                self.stale.clear()

    async def time(self, seconds: float) -> None:
        for node in self.stand.running:
            assert node.ledger is not None
            self.stale |= node.ledger.barrier.suspected
        await self.stand.pass_time(seconds)
        for node in self.stand.running:
            assert node.ledger is not None
            self.stale |= node.ledger.barrier.suspected
        # a member that was late for a second or more is not waited for
        self.stale |= {node.name for node in self.stand.running}

    async def cut(self, one: str, other: str, heals: bool) -> None:
        if one != other and self.up(one) and self.up(other):
            self.stand.meshes.cut(one, other, heals=heals)
            self.stale |= {one, other}

    async def heal(self) -> None:
        self.stand.meshes.heal()

    async def crash(self, name: str) -> None:
        node = self.up(name)
        if node is None or len(self.stand.running) < 3:
            return
        node.crash()
        if node.kind == "disc":
            self.stand.engines.stop(name)
        for number, (whose, _, op) in list(self.asked.items()):
            if whose == name:
                del self.asked[number]
                self.history.append(op)

    async def restart(self) -> None:
        for name in NODES:
            if self.up(name) is None:
                if KINDS[name] == "disc":
                    self.stand.engines.start(name)
                self.stand.restart(name, self.authority, seeds=["a", "b", "c"])
                self._watch(self.stand[name])
                self.stale.add(name)

    async def fold(self, name: str) -> None:
        """Its file holds a snapshot alone."""
        node = self.up(name)
        if node is not None:
            node.writer.run()
            number, lines = node.store.snapshot()
            assert node.store._log is not None
            node.store._log.fold(number, "\n".join(lines).encode())

    async def fail(self, name: str, stored: bool) -> None:
        self.stand.engines.fail(name, stored=stored)

    async def deaf(self, name: str) -> None:
        self.stand.engines.hold(name)

    async def hears(self, name: str, all_of_it: bool) -> None:
        self.stand.engines.release(name, lose=() if all_of_it else range(10_000))

    async def forgets(self) -> None:
        for log in self.stand.engines.logs.values():
            log.ids.clear()

    async def purge(self, name: str) -> None:
        """All but the last few, whoever may lack them: a snapshot helps."""
        with contextlib.suppress(NoMajority):
            engine = self.stand.engines[name]
            last = (await engine.info(META)).last_seq
            written = [
                node.store.written_number for node in self.stand.running if node.kind == "disc"
            ]
            await engine.purge(META, before=min(last, max(written)) + 1)

    async def end(self) -> None:
        """Everything is well again."""
        await self.heal()
        await self.restart()
        for name in NODES:
            self.stand.engines.release(name)
        self.stand.engines._failing.clear()
        await self.stand.pass_time(2.5 * PROPOSAL_TIMEOUT_S)
        assert not self.asked, "somebody was never answered"
        self.stand.check_equal()
        self.stale.clear()
        for node in self.stand.running:
            assert node.ledger is not None
            assert node.ledger.barrier.suspected == frozenset()
            for key in (0, 1):
                self.now += 1
                await self.look(node.name, key)
        check(self.history, reads_apart=True)
        # on disc too
        numbers = {node.store.last_number for node in self.stand.running}
        for node in self.stand.running:
            state = node.store.snapshot()
            node.crash()
            if node.kind == "disc":
                node.start()
                again = node.store.snapshot()
                assert (again[0], set(again[1])) == (state[0], set(state[1]))
                assert node.store.last_number in numbers
                node.store._log.close()  # type: ignore[union-attr]


async def play(authority: str, seed: int, played: Sequence[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), authority, seed)
        await world.begin()
        for step in played:
            await world.do(step)
        await world.end()
        await asyncio.sleep(0)


def fault(authority: str, seed: int, played: Sequence[Step]) -> AssertionError | None:
    try:
        asyncio.run(play(authority, seed, played))
    except AssertionError as error:
        return error
    return None


def shortest(authority: str, seed: int, played: list[Step]) -> list[Step]:
    """A fault found, told in few steps."""
    size = len(played) // 2
    while size:
        start = 0
        while start < len(played):
            fewer = played[:start] + played[start + size :]
            if fault(authority, seed, fewer) is not None:
                played = fewer
            else:
                start += size
        size //= 2
    return played


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("authority", ["a", ""], ids=["one node orders", "the engine orders"])
@pytest.mark.parametrize("seeds", [range(start, start + 15) for start in (0, 1000)], ids=str)
def test_whatever_happens(authority: str, seeds: range) -> None:
    for seed in seeds:
        played = drawn(seed, by_engine=not authority)
        if fault(authority, seed, played) is not None:
            few = shortest(authority, seed, played)
            raise AssertionError(f"seed {seed}: {few}") from fault(authority, seed, few)
