"""Queues that go into a shard, each while its own node writes that shard.

Theory. The messages of a queue that is in no shard are on one node, its home. If that node writes
the shard too, nothing moves for those who publish: they go on sending to the same node over the
same link, and the home puts what is in the queue into the log ahead of what comes. So a queue goes
into a shard that its home writes, once every linked member knows that it does: no message takes a
way on which another one could overtake it. A home that writes none is given one.

Where the home can write none (a ram member, one that is no member any more), or does not for a
while, the queue goes in all the same. Then its messages come when the home has sent them, and say
that they were delivered before (`mqd.broker.moving`).

Decides which queues go into which shard, and when. Never moves a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mqd.broker.broker import Broker
from mqd.broker.definitions import QueueDefinition
from mqd.cluster.ports import Engine, Mesh, NoMajority
from mqd.cluster.shards.shards import log_of, shard_number
from mqd.cluster.shards.whereabouts import Whereabouts, shard_of
from mqd.errors import MqdError
from mqd.metadata.commands import Must, PutQueue
from mqd.metadata.store import MetadataStore
from mqd.policies.applied import Applied

log = logging.getLogger(__name__)

_BROUGHT_MAX: Final = 32  # queues of a home at a time
_PATIENCE_S: Final = 60.0  # with a home that is there no more, or writes no shard


class Arrivals:
    """Of the member that leads the metadata's log. count: of shards, at least. stir(): there is
    more to do at once."""

    def __init__(
        self,
        engine: Engine,
        mesh: Mesh,
        whereabouts: Whereabouts,
        broker: Broker,
        metadata: MetadataStore,
        count: int,
        stir: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._mesh = mesh
        self._whereabouts = whereabouts
        self._broker = broker
        self._metadata = metadata
        self._count = count
        self._stir = stir
        self._loop = asyncio.get_running_loop()
        self._waits: dict[str, float] = {}  # since when, for the homes of queues that cannot go

    async def step(self) -> None:
        """Bring in what can be, and prepare for the rest. Raises NoMajority, MqdError."""
        outside = self._outside()
        for home in self._waits.keys() - outside.keys():
            del self._waits[home]
        waiting = []
        for home, queues in sorted(outside.items()):
            shards = await self._shards_of(home)
            if not shards and self._is_awaited(home):
                waiting.append(home)
                continue
            if shards:
                self._waits.pop(home, None)
            await self._bring(queues[:_BROUGHT_MAX], shards or self._everywhere())
            if len(queues) > _BROUGHT_MAX:
                self._stir()
        if len(waiting) == len(outside):  # no log moves while messages go into it
            for home in waiting:
                await self._give(home, outside[home][0])

    def _outside(self) -> dict[str, list[QueueDefinition]]:
        """Queues that belong in a shard and are in none, by their homes."""
        found: dict[str, list[QueueDefinition]] = {}
        for (vhost, name), queue in self._metadata.state.queues.items():
            if queue.shard is None:
                host = self._broker.vhosts.get(vhost)
                live = host.queues.get(name) if host is not None else None
                if belongs_in_shard(queue, live.policy if live is not None else None):
                    found.setdefault(queue.node, []).append(queue)
        return found

    async def _shards_of(self, home: str) -> Sequence[int]:
        """Those that it writes, as all members know."""
        where = self._whereabouts
        written = [shard for shard, writer in sorted(where.homes.items()) if writer == home]
        return [
            shard
            for shard in written
            if self._engine.leads.get(log_of(shard)) == home and await where.is_agreed(shard)
        ]

    def _everywhere(self) -> Sequence[int]:
        """The shards that are there: a queue may be in any."""
        homes = self._whereabouts.homes
        return [shard for shard in range(self._count) if shard in homes]

    def _is_awaited(self, home: str) -> bool:
        member = self._metadata.state.members.get(home)
        if member is None or member.kind != "disc":
            return False
        began = self._waits.setdefault(home, self._loop.time())
        return self._loop.time() < began + _PATIENCE_S

    async def _give(self, home: str, queue: QueueDefinition) -> None:
        """Have it lead a log, unless it does, or cannot now."""
        is_there = home == self._mesh.node or self._whereabouts.is_up(home)
        if not is_there or self._whereabouts.rests(home) or self._writes(home):
            return
        name = log_of(shard_of(queue.vhost, queue.name, self._count))
        try:
            if home in (await self._engine.info(name)).current:
                log.info("%s: %s is to lead it, to bring queues in", name, home)
                await self._engine.lead(name, home)
        except (NoMajority, MqdError) as error:
            log.debug("%s: %s", name, error)

    def _writes(self, home: str) -> bool:
        """Whether it does, or is about to."""
        leads = self._engine.leads.items()
        return any(leader == home for name, leader in leads if shard_number(name) is not None)

    async def _bring(self, queues: Sequence[QueueDefinition], shards: Sequence[int]) -> None:
        for queue in queues:
            shard = chosen(queue, shards, self._count)
            if shard is not None and self._whereabouts.home_of(shard) is not None:
                members = queue.members
                if queue.type == "quorum" and queue.node and not members:
                    members = (queue.node,)  # until somebody grows it
                with contextlib.suppress(MqdError):  # gone, or another was first
                    command = PutQueue(replace(queue, shard=shard, members=members), Must.EXIST)
                    await self._metadata.propose_async(command)


def chosen(queue: QueueDefinition, shards: Sequence[int], count: int) -> int | None:
    """The one that it would be in had it been declared now, or else any, but always the same."""
    best = shard_of(queue.vhost, queue.name, count)
    if best in shards:
        return best
    return shards[shard_of(queue.vhost, queue.name, len(shards))] if shards else None


def belongs_in_shard(queue: QueueDefinition, policy: Applied | None) -> bool:
    """Every quorum queue, and a classic one that a policy mirrors: 3.10.8's mirrors survive the
    node of the first, and so do these."""
    if not queue.durable or queue.exclusive:
        return False
    if queue.type == "quorum":
        return True
    mirrors = policy is not None and "ha-mode" in dict(policy.definition)
    return queue.type == "classic" and mirrors
