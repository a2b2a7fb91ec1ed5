"""Nodes with ledgers in one process: links, engine, time and discs go on when the test says so.

Decides nothing by chance: what happens next is always a call of the test, or `settle`, which lets
everything happen that needs no time to pass.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mqd.cluster.ledger.engine_orderer import META
from mqd.cluster.ledger.ledger import Ledger
from mqd.cluster.ledger.timers import Cancel
from mqd.metadata.commands import (
    ClusterRecord,
    Command,
    Member,
    PutCluster,
    PutMember,
    encode,
)
from mqd.metadata.machine import State, apply, commands_of
from mqd.metadata.store import MetadataStore
from mqd.storage.writer import Job, Outcome, Writer
from tests.cluster.fake_engine import FakeEngines
from tests.cluster.fake_mesh import FakeMeshes

_QUIET_TURNS = 5


class Timers:
    """`Later` of all nodes. What is due at once is called in `run`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._counts = itertools.count()

    def later(self, seconds: float, call: Callable[[], None]) -> Cancel:
        count = next(self._counts)
        heapq.heappush(self._waiting, (self.now + seconds, count, call))
        return lambda: self._cancelled.add(count)

    def run(self) -> int:
        """Call what is due; returns how many."""
        called = 0
        while self._waiting and self._waiting[0][0] <= self.now:
            _, count, call = heapq.heappop(self._waiting)
            if count not in self._cancelled:
                called += 1
                call()
        return called


class SlowWriter(Writer):
    """Jobs are done in `run`; those that are not are lost with the process."""

    def __init__(self) -> None:  # no thread
        self.loop = asyncio.get_running_loop()
        self.jobs: deque[tuple[Job, Outcome]] = deque()
        self.at_once = False

    def submit(self, job: Job, done: Outcome) -> None:
        self.jobs.append((job, done))
        if self.at_once:
            self.run()

    def run(self) -> int:
        done_count = 0
        while self.jobs:
            job, done = self.jobs.popleft()
            done(job(), None)
            done_count += 1
        return done_count

    def stop(self) -> None:
        pass


class Node:
    """One member: a process when `ledger` is there."""

    def __init__(self, stand: Stand, name: str, kind: str) -> None:
        self.stand = stand
        self.name = name
        self.kind = kind
        self.boots = 0
        self.heard = State()  # what a listener made of what it was told
        self.store: MetadataStore = None  # type: ignore[assignment]
        self.ledger: Ledger | None = None
        self.writer: SlowWriter = None  # type: ignore[assignment]
        self.disc = True  # it writes

    def start(self) -> None:
        """With what is on its disc."""
        stand = self.stand
        self.boots += 1
        self.writer = SlowWriter()
        if self.kind == "ram":
            self.store = MetadataStore.in_memory(self.writer, self.boots)
        else:
            self.store = MetadataStore.open(stand.folder / f"{self.name}.db", self.writer)
        self.heard = State()
        for command in commands_of(self.store.state):
            apply(self.heard, command)
        self.store.subscribe(self._hear)
        self.store.proposals._origin = f"{self.name}-{self.boots}"

    def _hear(self, command: Command) -> None:
        apply(self.heard, command)

    def join(self, seeds: Sequence[str] = ()) -> Ledger:
        """Be on the mesh, with a ledger."""
        stand = self.stand
        mesh = stand.meshes[self.name]
        self.ledger = Ledger(mesh, self.store, self.kind, stand.timers.later, lambda: None, seeds)
        return self.ledger

    def crash(self) -> None:
        """What is not on disc is lost. Who waits is told nothing."""
        if self.ledger is not None:
            self.ledger.barrier._waits.clear()  # first: links that end answer those who wait
        self.stand.meshes.stop(self.name)
        if self.store._orderer is not None:
            self.store._orderer.close()
        if self.store._log is not None:
            self.store._log.close()
        self.store._scribe.closed = True
        for hook in ("on_applied", "on_settled", "on_written", "on_replaced", "barrier"):
            setattr(self.store, hook, None)
        self.writer.jobs.clear()
        self.ledger = None


class Stand:
    """A cluster. authority "": the engine's log orders."""

    def __init__(self, folder: Path, seed: int | None = None) -> None:
        self.folder = folder
        self.meshes = FakeMeshes(seed=seed)
        self.engines = FakeEngines()
        self.timers = Timers()
        self.nodes: dict[str, Node] = {}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def ledger(self, name: str) -> Ledger:
        ledger = self.nodes[name].ledger
        assert ledger is not None
        return ledger

    def add(self, name: str, kind: str = "disc") -> Node:
        node = self.nodes[name] = Node(self, name, kind)
        node.start()
        self.meshes.start(name)
        return node

    async def form(self, kinds: dict[str, str], authority: str) -> None:
        """The first is a disc node that knew all others from the beginning."""
        first = next(iter(kinds))
        for name, kind in kinds.items():
            self.add(name, kind)
            if kind == "disc":
                self.engines.join(name)
        record = ClusterRecord("c", 1, authority)
        for command in (
            PutCluster(record),
            *(PutMember(Member(n, "i", i, k)) for i, (n, k) in enumerate(kinds.items(), 1)),
        ):
            self[first].store.propose(command, lambda _error: None)
        self[first].writer.run()
        if not authority:
            disc = [name for name, kind in kinds.items() if kind == "disc"]
            await self.engines[first].create(
                META,
                replicas=min(3, len(disc)),
                first_seq=self[first].store.last_number + 1,
                tells=True,
            )
        for name in kinds:
            self.begin(name, authority, seeds=[first])
        await self.settle()

    def begin(self, name: str, authority: str, seeds: Sequence[str] = ()) -> None:
        """Its ledger, in the way that is due."""
        node = self[name]
        ledger = node.join(seeds)
        if name == authority:
            ledger.order_here()
        elif authority or node.kind == "ram":
            ledger.follow()
        else:
            ledger.use_engine(self.engines[name])

    def restart(self, name: str, authority: str, seeds: Sequence[str] = ()) -> None:
        """After a crash."""
        self[name].start()
        self.meshes.start(name)
        self.begin(name, authority, seeds)

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.ledger is not None]

    def step(self) -> int:
        """Links, discs and timers that are due; returns how much happened."""
        happened = self.meshes.run()
        for node in self.running:
            if node.disc:
                happened += node.writer.run()
        return happened + self.timers.run()

    async def settle(self) -> None:
        """Until nothing happens any more without time."""
        quiet = 0
        for _ in range(10_000):
            quiet = 0 if self.step() else quiet + 1
            if quiet > _QUIET_TURNS:
                return
            await asyncio.sleep(0)
        raise AssertionError("it never ends")

    async def pass_time(self, seconds: float) -> None:
        """In small steps, each settled."""
        end = self.timers.now + seconds
        while self.timers.now < end:
            await self.settle()
            self.timers.now = min(end, self.timers.now + 0.25)
        await self.settle()

    def check_equal(self) -> None:
        """All that run have the same state under the same number, and so have their listeners."""
        states = {node.name: contents(node.store.state) for node in self.running}
        numbers = {node.name: node.store.last_number for node in self.running}
        assert len(set(numbers.values())) == 1, numbers
        first = next(iter(states.values()))
        for name, state in states.items():
            assert state == first, name
        for node in self.running:
            assert contents(node.heard) == contents(node.store.state), node.name


def contents(state: State) -> set[str]:
    return set(map(encode, commands_of(state)))


class Asked:
    """Proposals and what was answered."""

    def __init__(self) -> None:
        self.answers: dict[int, Exception | None] = {}
        self.commands: list[tuple[str, Command]] = []

    def propose(self, node: Node, command: Command) -> int:
        number = len(self.commands)
        self.commands.append((node.name, command))

        def done(error: Exception | None) -> None:
            assert number not in self.answers, "answered twice"
            self.answers[number] = error

        node.store.propose(command, done)
        return number

    def text(self, number: int) -> Any:
        """None: not answered; "": done."""
        if number not in self.answers:
            return None
        error = self.answers[number]
        return "" if error is None else str(error)
