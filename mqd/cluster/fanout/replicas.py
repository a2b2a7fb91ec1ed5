"""Copies of queues as the engine and the writers of the shards tell of them: a `ClusterQueues`.

Theory. A queue's log is led by one disc member's server and written by that member; who writes it
is known on every member (`Homes`), who has copies on disc members alone, which have an engine. A
ram member asks one of those, over the links. With no more disc members than a log has copies, each
has one; where there are more, what the engine last said of the log is remembered.

Decides which members that makes, and who should lead what after a rebalancing. Never moves a
message and never writes a log.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from mqd.broker.definitions import QueueDefinition
from mqd.cluster.fanout.copies import Copies, Copy
from mqd.cluster.ports import Engine, Mesh, NoMajority, PeerDown
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Member

SERVICE: Final = "copies"
COPIES_MAX: Final = 3  # of a log, however many disc members there are
_LED_S: Final = 5.0


class Homes(Protocol):
    """Who writes each shard, as every member knows it."""

    def home_of(self, shard: int) -> str | None:
        """None while nobody does."""

    def epoch_of(self, shard: int) -> int:
        """Of its writer; 0 while there is none."""


class Writers(Protocol):
    """The shards that this member writes."""

    async def hand_over(self) -> None: ...

    def take_back(self) -> None: ...


class Replicas:
    """Of one member. engine, writers: None on a ram member. running: members whose app runs; rests:
    those that should lead nothing, as they are in maintenance. log_of: the name of a shard's log.
    """

    def __init__(
        self,
        mesh: Mesh,
        homes: Homes,
        members: Callable[[], Mapping[str, Member]],
        running: Callable[[], Sequence[str]],
        rests: Callable[[str], bool],
        engine: Engine | None = None,
        writers: Writers | None = None,
        log_of: Callable[[int], str] = "Q{}".format,
    ) -> None:
        self._mesh = mesh
        self._homes = homes
        self._members = members
        self._running = running
        self._rests = rests
        self._engine = engine
        self._writers = writers
        self._log_of = log_of
        self._seen: dict[int, list[str]] = {}  # by shard: who had copies when last heard of
        self._end = mesh.answer(SERVICE, self._answer) if engine is not None else None

    def close(self) -> None:
        """Answer no more."""
        if self._end is not None:
            self._end()

    # -- ClusterQueues ------------------------------------------------------------------------

    def copies(self, queue: QueueDefinition) -> Copies:
        assert queue.shard is not None
        leader = self._homes.home_of(queue.shard)
        members = self._holders(queue.shard)
        if leader in members:
            members.sort(key=lambda node: (node != leader, node))
        running = set(self._running())
        return Copies(leader, members, [node for node in members if node in running])

    async def look(self, queue: QueueDefinition) -> Sequence[Copy]:
        assert queue.shard is not None
        try:
            said = await self._ask("info", queue.shard)
        except (NoMajority, MqdError):
            said = {"last": 0, "current": []}
        self._remember(queue.shard, said["current"])
        found, epoch = self.copies(queue), self._homes.epoch_of(queue.shard)
        return [self._copy(node, found, said, epoch) for node in sorted(found.members)]

    @staticmethod
    def _copy(node: str, found: Copies, said: Mapping[str, Any], epoch: int) -> Copy:
        """How far one that lags is, its server does not say."""
        if node not in found.online:
            return Copy(node, "noproc")
        state = "leader" if node == found.leader else "follower"
        index = said["last"] if node in said["current"] else 0
        return Copy(node, state, index, index, epoch)

    def may_hold(self, node: str) -> bool:
        return node in self._discs()

    async def lead(self, queue: QueueDefinition, node: str) -> None:
        assert queue.shard is not None
        try:
            await self._ask("lead", queue.shard, node)
        except NoMajority as error:
            raise MqdError(ErrorCode.UNAVAILABLE, f"no majority to decide: {error}") from error

    async def rebalance(self) -> None:
        running = self._running()
        able = [node for node in self._discs() if node in running and not self._rests(node)]
        shards = {
            shard: self._homes.home_of(shard) for shard in self._shards() if self._holders(shard)
        }
        wanted = spread(shards, {shard: self._holders(shard) for shard in shards}, able)
        for shard, node in wanted.items():
            if node != shards[shard]:
                try:
                    await self._ask("lead", shard, node)
                except (NoMajority, MqdError):
                    continue  # it stays where it is

    async def hand_over(self) -> None:
        if self._writers is not None:
            await self._writers.hand_over()

    def take_back(self) -> None:
        if self._writers is not None:
            self._writers.take_back()

    # -- who has copies -----------------------------------------------------------------------

    def _discs(self) -> list[str]:
        return sorted(name for name, member in self._members().items() if member.kind == "disc")

    def _holders(self, shard: int) -> list[str]:
        discs = self._discs()
        if len(discs) <= COPIES_MAX:
            return discs
        return [node for node in self._seen.get(shard, ()) if node in discs]

    def _remember(self, shard: int, current: Iterable[str]) -> None:
        """What had a copy and is down has it still, until as many others have one."""
        now = list(dict.fromkeys(current))
        before = [node for node in self._seen.get(shard, ()) if node not in now]
        self._seen[shard] = [*now, *before][:COPIES_MAX]

    def _shards(self) -> list[int]:
        """Those that somebody writes: they are numbered from 0 without a gap."""
        count = 0
        while self._homes.home_of(count) is not None:
            count += 1
        return list(range(count))

    # -- the engine, here or elsewhere --------------------------------------------------------

    async def _ask(self, what: str, shard: int, node: str = "") -> dict[str, Any]:
        if self._engine is not None:
            return await self._do(self._engine, what, shard, node)
        payload = json.dumps({"do": what, "shard": shard, "node": node}).encode()
        for disc in self._discs():
            if disc in self._mesh.up:
                try:
                    answer = await self._mesh.request(disc, SERVICE, payload, _LED_S)
                except (PeerDown, TimeoutError):
                    continue
                said: dict[str, Any] = json.loads(answer)
                return said
        raise MqdError(ErrorCode.UNAVAILABLE, "no disc member answers")

    async def _do(self, engine: Engine, what: str, shard: int, node: str) -> dict[str, Any]:
        log = self._log_of(shard)
        if what == "lead":
            await engine.lead(log, node)
            return {}
        info = await engine.info(log)
        return {"last": info.last_seq, "current": list(info.current)}

    async def _answer(self, _node: str, payload: bytes) -> bytes:
        asked = json.loads(payload)
        assert self._engine is not None
        try:
            said = await self._do(self._engine, asked["do"], int(asked["shard"]), asked["node"])
        except NoMajority as error:
            raise MqdError(ErrorCode.UNAVAILABLE, f"no majority to decide: {error}") from error
        return json.dumps(said).encode()


def spread(
    leaders: Mapping[int, str | None],
    holders: Mapping[int, Collection[str]],
    able: Sequence[str],
) -> dict[int, str]:
    """Who should lead each shard so that nobody leads two more than another, and few move.

    leaders: now. holders: who has a copy. able: who may lead. A shard that nobody of them can lead
    has no entry.
    """
    wanted: dict[int, str] = {}
    for shard, leader in leaders.items():
        choice = [node for node in able if node in holders[shard]]
        if choice:
            wanted[shard] = leader if leader in choice else ""  # "": still to be given
    counts = Counter(node for node in wanted.values() if node)
    for shard in sorted(wanted):
        if not wanted[shard]:
            wanted[shard] = _least(counts, able, holders[shard])
            counts[wanted[shard]] += 1
    while (move := _move(wanted, holders, counts, able)) is not None:
        shard, node = move
        counts[wanted[shard]] -= 1
        counts[node] += 1
        wanted[shard] = node
    return wanted


def _least(counts: Counter[str], able: Sequence[str], holders: Collection[str]) -> str:
    return min((node for node in able if node in holders), key=lambda node: (counts[node], node))


def _move(
    wanted: Mapping[int, str],
    holders: Mapping[int, Collection[str]],
    counts: Counter[str],
    able: Sequence[str],
) -> tuple[int, str] | None:
    """A shard of one who leads two more than somebody that could lead it."""
    for shard in sorted(wanted, key=lambda shard: (-counts[wanted[shard]], shard)):
        node = _least(counts, able, holders[shard])
        if counts[wanted[shard]] - counts[node] > 1:
            return shard, node
    return None
