"""Engines without servers: the members of a cluster share logs in memory.

Decides nothing by chance or by time: calls finish in the turn they are made in, a leader is who
the test says, or the first member that can. What the real engine may do at any moment (lose a
told entry, leave an outcome unknown, move a leader) happens here when the test asks.

    engines = FakeEngines("a", "b", "c")
    await engines["a"].create("META", replicas=3, tells=True)
    engines.stop("a")  # a crash; b leads now
    engines.hold("c")  # c is told nothing ...
    engines.release("c", lose={7})  # ... until now, and of entry 7 never
    engines.fail("b", stored=True)  # the next append of b: NoMajority, yet it is in the log
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mqd.cluster.ports import Engine, Entry, LogInfo, NoMajority, Stale

Hear = Callable[[Entry], None]
HearLeader = Callable[[str, str | None], None]
T = TypeVar("T")


@dataclass(slots=True)
class _Log:
    """homes: members that have a copy."""

    name: str
    replicas: int
    first: int
    last: int
    tells: bool
    homes: list[str]
    entries: dict[int, Entry] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    leader: str | None = None


class FakeEngines:
    """The cluster. Members run from the start; all of them are disc members."""

    def __init__(self, *members: str) -> None:
        self.members = list(members)
        self.running = set(members)
        self.logs: dict[str, _Log] = {}
        self._engines: dict[str, FakeEngine] = {}
        self._held: dict[str, list[tuple[str, Entry]]] = {}
        self._failing: dict[str, list[bool]] = {}
        self._elects = True
        self.hung: set[str] = set()  # members whose daemon does nothing

    def __getitem__(self, member: str) -> FakeEngine:
        """The engine of a member; the same one also after stop and start."""
        if member not in self._engines:
            self._engines[member] = FakeEngine(self, member)
        return self._engines[member]

    def join(self, member: str) -> None:
        """A new disc member; logs that have too few copies get one there."""
        self.members.append(member)
        self.running.add(member)
        self._refill()

    def stop(self, member: str) -> None:
        """As a crash: what it leads goes to another, if a majority is there."""
        self.running.discard(member)
        self._held.pop(member, None)
        self._elect()

    def start(self, member: str) -> None:
        """With the logs it had; listeners at its engine hear again."""
        self.running.add(member)
        self._elect()

    def elect(self, log: str, member: str | None) -> None:
        """That member leads it from now on; None: nobody, until `elect` or `elects(True)`."""
        self._lead(self.logs[log], member)

    def elects(self, by_itself: bool) -> None:
        """Whether a log without a leader gets one at once."""
        self._elects = by_itself
        self._elect()

    def hold(self, member: str) -> None:
        """What its listeners would be told waits for `release`."""
        self._held.setdefault(member, [])

    def release(self, member: str, lose: Collection[int] = ()) -> None:
        """Tell what was held, except the entries of these sequences."""
        for log, entry in self._held.pop(member, []):
            if entry.seq not in lose:
                self[member].hear(log, entry)

    def fail(self, member: str, *, stored: bool) -> None:
        """The next append of that member raises NoMajority, whether stored or not."""
        self._failing.setdefault(member, []).append(stored)

    # For FakeEngine

    def failing(self, member: str) -> bool | None:
        waiting = self._failing.get(member)
        return waiting.pop(0) if waiting else None

    def need_majority(self, asker: str) -> None:
        if asker not in self.running or 2 * len(self._up(self.members)) <= len(self.members):
            raise NoMajority("no majority of the members")

    def log(self, name: str, asker: str) -> _Log:
        """One that has a leader."""
        if asker not in self.running:
            raise NoMajority("this member does not run")
        log = self.logs.get(name)
        if log is None or log.leader is None:
            raise NoMajority(f"{name} has no leader")
        return log

    def put(self, log: _Log, subject: str, data: bytes, unique: str) -> int:
        log.last += 1
        entry = Entry(log.last, subject, data)
        log.entries[log.last] = entry
        if unique:
            log.ids[unique] = log.last
        if log.tells:
            for member in self.members:
                if member in self._held:
                    self._held[member].append((log.name, entry))
                elif member in self.running:
                    self[member].hear(log.name, entry)
        return log.last

    def create(self, name: str, replicas: int, first_seq: int, tells: bool) -> None:
        if name in self.logs:
            return
        homes = [member for member in self.members if member in self.running][:replicas]
        if len(homes) < replicas:
            raise NoMajority("no suitable peers")
        self.logs[name] = _Log(name, replicas, first_seq, first_seq - 1, tells, homes)
        self._elect()

    def move(self, log: _Log, homes: Sequence[str], replicas: int) -> None:
        log.homes, log.replicas = list(homes), replicas
        if log.leader not in log.homes:
            log.leader = None
        self._refill()

    def drop(self, names: Collection[str], alone: str | None = None) -> None:
        """Members are gone for good. alone: the one that goes on by itself, with its own copies."""
        self.members = [member for member in self.members if member not in names]
        self.running.difference_update(names)
        for log in list(self.logs.values()):
            log.homes = [home for home in log.homes if home not in names]
            if alone is not None:
                log.replicas = 1
                if alone not in log.homes:
                    del self.logs[log.name]
            log.replicas = min(log.replicas, len(self.members))
        self._refill()

    def _up(self, members: Sequence[str]) -> list[str]:
        return [member for member in members if member in self.running]

    def _refill(self) -> None:
        for log in self.logs.values():
            spare = [m for m in self.members if m in self.running and m not in log.homes]
            log.homes += spare[: log.replicas - len(log.homes)] if log.homes else []
        self._elect()

    def _elect(self) -> None:
        for log in list(self.logs.values()):
            up = self._up(log.homes)
            can_decide = 2 * len(up) > len(log.homes)
            if not can_decide:
                self._lead(log, None)
            elif log.leader not in up:
                self._lead(log, up[0] if self._elects else None)

    def _lead(self, log: _Log, member: str | None) -> None:
        if log.leader == member:
            return
        log.leader = member
        for name in sorted(self.running):
            self[name].hear_leader(log.name, member)


class FakeEngine:
    """One member's access to the logs: `mqd.cluster.ports.Engine`."""

    def __init__(self, engines: FakeEngines, member: str) -> None:
        self._engines = engines
        self.member = member
        self._followers: list[tuple[str, Hear]] = []
        self._watchers: list[HearLeader] = []

    async def create(
        self, log: str, *, replicas: int, first_seq: int = 1, tells: bool = False
    ) -> None:
        self._engines.need_majority(self.member)
        self._engines.create(log, replicas, first_seq, tells)

    async def delete(self, log: str) -> None:
        self._engines.need_majority(self.member)
        self._engines.logs.pop(log, None)

    async def append(
        self, log: str, subject: str, data: bytes, *, after: int | None = None, unique: str = ""
    ) -> int:
        return self._append(log, subject, [data], after, unique)

    def submit(
        self, subject: str, data: bytes, *, after: int | None = None, unique: str = ""
    ) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(
                self._append(subject.partition(".")[0], subject, [data], after, unique)
            )
        except (Stale, NoMajority) as error:
            future.set_exception(error)
        return future

    async def append_all(self, log: str, subject: str, data: Sequence[bytes], after: int) -> int:
        return self._append(log, subject, data, after, "")

    def _append(
        self, log: str, subject: str, data: Sequence[bytes], after: int | None, unique: str
    ) -> int:
        found = self._engines.log(log, self.member)
        stored = self._engines.failing(self.member)
        if stored is False:
            raise NoMajority("no answer")
        if unique in found.ids:
            last = found.ids[unique]
        else:
            if after is not None and after != found.last:
                raise Stale(f"{log} is at {found.last}, not {after}")
            last = found.last
            for one in data:
                last = self._engines.put(found, subject, one, unique)
        if stored:
            raise NoMajority("no answer")
        return last

    async def read(self, log: str, from_seq: int, count: int) -> Sequence[Entry]:
        entries = self._engines.log(log, self.member).entries
        return [entries[seq] for seq in sorted(entries) if seq >= from_seq][:count]

    async def info(self, log: str) -> LogInfo:
        found = self._engines.log(log, self.member)
        first = min(found.entries, default=max(found.first, found.last + 1))
        current = tuple(home for home in found.homes if home in self._engines.running)
        return LogInfo(first, found.last, found.leader, found.replicas, current)

    async def purge(self, log: str, *, before: int, subject: str | None = None) -> None:
        found = self._engines.log(log, self.member)
        for entry in list(found.entries.values()):
            if entry.seq < before and subject in (None, entry.subject):
                del found.entries[entry.seq]

    async def remove(self, log: str, seq: int) -> None:
        self._engines.log(log, self.member).entries.pop(seq, None)

    def follow(self, log: str, hear: Hear) -> Callable[[], None]:
        following = (log, hear)
        self._followers.append(following)
        return lambda: _leave(self._followers, following)

    def on_leader(self, hear: HearLeader) -> Callable[[], None]:
        self._watchers.append(hear)
        return lambda: _leave(self._watchers, hear)

    async def lead(self, log: str, member: str) -> None:
        found = self._engines.log(log, self.member)
        if member not in found.homes or member not in self._engines.running:
            raise NoMajority(f"{member} cannot lead {log}")
        self._engines.elect(log, member)

    async def attended(self, member: str) -> bool:
        self._engines.need_majority(self.member)
        return member in self._engines.running and member not in self._engines.hung

    async def set_replicas(self, log: str, replicas: int, on: str | None = None) -> None:
        self._engines.need_majority(self.member)
        found = self._engines.log(log, self.member)
        first = [on] if on is not None else [found.leader] if found.leader else []
        homes = first + [home for home in found.homes if home not in first]
        self._engines.move(found, homes[:replicas], replicas)

    async def remove_member(self, name: str, incarnation: str) -> None:
        self._engines.need_majority(self.member)
        self._engines.drop([name])

    async def rescue(self, lost: Sequence[tuple[str, str]]) -> None:
        self._engines.drop([name for name, _ in lost], alone=self.member)

    @property
    def leads(self) -> Mapping[str, str | None]:
        return {log.name: log.leader for log in self._engines.logs.values()}

    # From FakeEngines

    def hear(self, log: str, entry: Entry) -> None:
        for name, tell in list(self._followers):
            if name == log:
                tell(entry)

    def hear_leader(self, log: str, member: str | None) -> None:
        for tell in list(self._watchers):
            tell(log, member)


def _leave(people: list[T], one: T) -> None:
    if one in people:
        people.remove(one)


def _is_engine(engine: FakeEngine) -> Engine:
    return engine
