"""Keeps as many logs, each with as many copies, as the members call for.

Decides how many shards and copies there are and which member leads which log when that is asked
for. Never decides which queues go into them (`arrivals`), never writes a shard. One member acts:
the one that leads the metadata's log, so that nobody works against it; what it cannot do now it
tries again. All it does can be done twice.

Leaders are spread when the logs are new and when an operator asks for it: a move makes consumers'
deliveries come again, so nothing is moved for the sake of order alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from mqd.broker.broker import Broker
from mqd.cluster.ports import Engine, LogInfo, Mesh, NoMajority
from mqd.cluster.shards.arrivals import Arrivals
from mqd.cluster.shards.shards import Shards, log_of
from mqd.cluster.shards.whereabouts import Whereabouts, Written
from mqd.errors import MqdError
from mqd.limits import SHARD_COPIES_MAX
from mqd.metadata.store import MetadataStore

log = logging.getLogger(__name__)

_LOOK_S = 2.0
_META = "META"


class Reconciler:
    """Of one disc member, while there is an engine. count: of shards, at least."""

    def __init__(
        self,
        engine: Engine,
        mesh: Mesh,
        shards: Shards,
        whereabouts: Whereabouts,
        broker: Broker,
        metadata: MetadataStore,
        count: int,
    ) -> None:
        self._engine = engine
        self._mesh = mesh
        self._shards = shards
        self._whereabouts = whereabouts
        self._broker = broker
        self._metadata = metadata
        self._count = count
        self._stirred = asyncio.Event()
        self._fresh: set[int] = set()  # made by this process, to be spread
        self._arrivals = Arrivals(engine, mesh, whereabouts, broker, metadata, count, self.stir)

    def stir(self) -> None:
        """Members came or went: look at once."""
        self._stirred.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.look()
            except (NoMajority, MqdError) as error:
                log.debug("shards: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):  # `wait_for` may not let itself be cancelled
                    await self._stirred.wait()
            self._stirred.clear()

    async def look(self) -> None:
        """Do what there is to do, and tell of the copies of what is written here. Raises
        NoMajority, MqdError."""
        if self._acts:
            await self._put_right()
            if not self._fresh:  # else leaders are about to move
                await self._arrivals.step()
        for number, own in list(self._shards.own.items()):
            if own.began:
                info = await self._engine.info(log_of(number))
                self._tell(number, own.shard.log.writer.epoch, info)

    @property
    def _acts(self) -> bool:
        """A survivor that was forced may have no log of the metadata: then the authority
        does."""
        leads = self._engine.leads
        if _META in leads:
            return leads[_META] == self._mesh.node
        cluster = self._metadata.state.cluster
        return cluster is not None and cluster.authority == self._mesh.node

    def _tell(self, number: int, epoch: int, info: LogInfo) -> None:
        """Whom nothing was heard of may have a copy all the same, that lags or is off."""
        discs = self.discs
        if info.replicas >= len(discs):
            copies = set(discs)
        elif len(info.current) >= info.replicas:
            copies = set(info.current)
        else:
            copies = {*info.current, *self._whereabouts.copies_of(number)} & set(discs)
        written = Written(epoch, tuple(sorted(copies)))
        if self._whereabouts.copies_of(number) != written.copies and number in self._shards.own:
            self._whereabouts.tell(number, written)

    @property
    def discs(self) -> Sequence[str]:
        """The members that can have copies."""
        return sorted(
            name for name, one in self._metadata.state.members.items() if one.kind == "disc"
        )

    async def _put_right(self) -> None:
        discs, up = self.discs, {self._mesh.node, *self._mesh.up}
        copies = min(len(discs), SHARD_COPIES_MAX)
        possible = min(copies, sum(name in up for name in discs))
        wanted = range(self._wanted())
        for number in wanted:
            if log_of(number) not in self._engine.leads:
                await self._engine.create(log_of(number), replicas=possible)
                self._fresh.add(number)
        # At once: what has one copy is lost with a member, and to make another one takes a while.
        looks = [self._copy(log_of(number), copies, possible) for number in wanted]
        problems = await asyncio.gather(*looks, return_exceptions=True)
        for problem in filter(None, problems):
            raise problem
        if self._fresh and all(self._engine.leads.get(log_of(n)) for n in self._fresh):
            await self.spread()
            self._fresh.clear()
            self.stir()

    async def _copy(self, name: str, most: int, possible: int) -> None:
        """As many as there can be now; none is given up because its member is down."""
        if self._engine.leads.get(name) is None:
            return
        info = await self._engine.info(name)
        copies = min(most, max(info.replicas, possible))
        if info.replicas != copies and len(info.current) > info.replicas // 2:
            log.info("%s: %d copies instead of %d", name, copies, info.replicas)
            await self._engine.set_replicas(name, copies)

    def _wanted(self) -> int:
        """Another member may be told of more, and has declared queues in those."""
        queues = self._metadata.state.queues.values()
        used = max((queue.shard for queue in queues if queue.shard is not None), default=0)
        return max(self._count, used + 1)

    async def spread(self) -> None:
        """As many logs led by each member that runs, or one more; none by one that rests."""
        running = {self._mesh.node, *self._mesh.up}
        able = [one for one in self.discs if one in running and not self._whereabouts.rests(one)]
        leads = {n: self._engine.leads.get(log_of(n)) for n in range(self._wanted())}
        for number, member in moves(leads, able):
            info = await self._engine.info(log_of(number))
            if member in info.current:
                await self._engine.lead(log_of(number), member)


def moves(leads: Mapping[int, str | None], able: Sequence[str]) -> list[tuple[int, str]]:
    """(shard, member that is to lead it): as few as make the members lead as many, or one more."""
    if not able:
        return []
    counts = Counter(dict.fromkeys(able, 0))
    counts.update(one for one in leads.values() if one is not None and one in counts)
    wanted: list[tuple[int, str]] = []
    for number, leader in sorted(leads.items()):
        to, fewest = min(sorted(counts.items()), key=lambda one: one[1])
        if leader not in counts:
            wanted.append((number, to))
            counts[to] += 1
        elif leader is not None and counts[leader] > fewest + 1:
            wanted.append((number, to))
            counts[to] += 1
            counts[leader] -= 1
    return wanted
