"""The shards of one member: what whoever composes a node starts and stops.

To compose: make one as soon as there are a broker and a mesh, before metadata is applied to the
broker; give `home_of`, `shard_of`, `members_of` to `RemoteQueues`, `queues` to the `View`. While
there is an engine (disc members): `begin(engine)` once it is ready, `stop` before it stops in
order, `abandon` when it is lost. On members without one there is nothing to begin. When one disc
member is left: `bring_out` there, then `abandon`, then the engine may go.

Queues go into shards by themselves once their homes are known (`arrivals`): new ones when they
are declared, those of a node that was alone before when it has an engine, classic ones when a
policy mirrors them.

Decides nothing of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mqd.broker.broker import Broker
from mqd.broker.definitions import QueueDefinition
from mqd.clock import Clock
from mqd.cluster.ports import Engine, Mesh
from mqd.cluster.shards.arrivals import belongs_in_shard, chosen
from mqd.cluster.shards.facts import ShardQueues
from mqd.cluster.shards.reconciler import Reconciler
from mqd.cluster.shards.shards import Shards, log_of
from mqd.cluster.shards.watch import Watch
from mqd.cluster.shards.whereabouts import Whereabouts
from mqd.limits import SHARD_COPIES_MAX, SHARDS
from mqd.metadata.commands import Must, PutQueue
from mqd.metadata.store import MetadataStore

_LOOK_S: Final = 0.05


class ShardService:
    """See the file's charter. count: of shards that queues are put in here; there
    are as many as the member with the most has."""

    def __init__(
        self, mesh: Mesh, broker: Broker, metadata: MetadataStore, clock: Clock, count: int = SHARDS
    ) -> None:
        self.whereabouts = Whereabouts(mesh, broker)
        self.queues = ShardQueues(mesh, self.whereabouts, lambda: metadata.state.members)
        self.count = count
        self._mesh = mesh
        self._broker = broker
        self._metadata = metadata
        self._clock = clock
        self._engine: Engine | None = None
        self._shards: Shards | None = None
        self._reconciling: asyncio.Task[None] | None = None
        self._watch: Watch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._deaf: Callable[[], None] | None = None  # ends that a reconciler hears of moves
        self._stops = [mesh.on_change(self._changed)]

    # -- for others ---------------------------------------------------------------------------

    @property
    def engine(self) -> Engine | None:
        """While this member takes part in shards."""
        return self._engine

    def home_of(self, definition: QueueDefinition) -> str:
        """The member that serves a quorum queue, or any queue in a shard; "" while nobody knows."""
        if definition.shard is not None:
            return self.whereabouts.home_of(definition.shard) or ""
        cluster = self._metadata.state.cluster
        authority = cluster.authority if cluster is not None else ""
        return definition.node or authority or self._mesh.node

    def shard_of(self, definition: QueueDefinition) -> int | None:
        """Where a queue that is to be belongs: in a log that its node writes, if it can be. None:
        it is its node's alone."""
        cluster = self._metadata.state.cluster
        is_alone = cluster is None or cluster.authority != ""
        if is_alone or definition.type != "quorum" or not belongs_in_shard(definition, None):
            return None
        homes = self.whereabouts.homes
        written = sorted(shard for shard, home in homes.items() if home == definition.node)
        return chosen(definition, written or range(self.count), self.count)

    def members_of(self, definition: QueueDefinition) -> tuple[str, ...]:
        """Who a quorum queue is declared on: as many disc members as x-quorum-initial-group-size
        says, else three, whoever serves it first. (): all that its log has, which are some of them
        where there are more than that."""
        if definition.type != "quorum" or not definition.durable:
            return ()
        members = self._metadata.state.members.values()
        discs = sorted(member.name for member in members if member.kind == "disc")
        if not 0 < len(discs) <= SHARD_COPIES_MAX:
            return ()
        given = definition.arguments.get("x-quorum-initial-group-size")
        size = given[1] if given is not None and isinstance(given[1], int) else SHARD_COPIES_MAX
        home, running = self.home_of(definition), {self._mesh.node, *self._mesh.up}
        discs.sort(key=lambda name: (name != home, name not in running))
        return tuple(discs[: max(size, 1)])

    # -- life ---------------------------------------------------------------------------------

    def begin(self, engine: Engine) -> None:
        """There is an engine: write the shards that this member leads, and keep them in order."""
        self._engine = engine
        node = self._mesh.node
        shards = Shards(engine, self._broker, self.whereabouts, node, self._clock)
        reconciler = Reconciler(
            engine,
            self._mesh,
            shards,
            self.whereabouts,
            self._broker,
            self._metadata,
            self.count,
        )
        self._shards = shards
        self.queues.use(engine, shards, reconciler)
        self._deaf = self.whereabouts.on_move(lambda shard: reconciler.stir())
        shards.start()
        loop = asyncio.get_running_loop()
        self._reconciling = loop.create_task(reconciler.run(), name="reconciler of shards")
        self._watch = Watch(engine, self._mesh, lambda: reconciler.discs)
        self._watching = loop.create_task(self._watch.run(), name="watch on leaders")

    async def brought_in(self) -> None:
        """Wait until all that belongs in a shard is there, and safe."""
        await _until(lambda: not self._outside() and self._are_safe())

    def _are_safe(self) -> bool:
        return not any(vhost.moves for vhost in self._broker.vhosts.values())

    def _outside(self) -> bool:
        return any(
            queue.shard is None and queue.type == "quorum" and belongs_in_shard(queue, None)
            for queue in self._metadata.state.queues.values()
        )

    def _inside(self) -> QueueDefinition | None:
        queues = self._metadata.state.queues.values()
        return next((queue for queue in queues if queue.shard is not None), None)

    async def bring_out(self) -> None:
        """Put every queue that is in a shard into this node's own store. Returns when their
        messages are safe there. For the only disc member that is left."""
        assert self._engine is not None
        if self._reconciling is not None:
            self._reconciling.cancel()
            await asyncio.wait([self._reconciling])  # else it may bring them in again
        node = self._mesh.node
        while (queue := self._inside()) is not None:
            assert queue.shard is not None
            while self.whereabouts.home_of(queue.shard) != node:
                if self._engine.leads.get(log_of(queue.shard)) not in (node, None):
                    await self._engine.lead(log_of(queue.shard), node)
                await asyncio.sleep(_LOOK_S)
            out = replace(queue, shard=None, node=node, members=())
            await self._metadata.propose_async(PutQueue(out, Must.EXIST))
        await _until(self._are_safe)

    async def stop(self) -> None:
        """Others write what this member wrote, if there are any. Before the engine stops."""
        if self._shards is not None:
            await self._shards.stop()
        self.abandon()

    def abandon(self) -> None:
        """The same at once; also when there is nothing to end."""
        for task in (self._reconciling, self._watching):
            if task is not None:
                task.cancel()
        self._reconciling = self._watching = self._watch = None
        if self._deaf is not None:
            self._deaf()
            self._deaf = None
        if self._shards is not None:
            self._shards.abandon()
            self._shards = None
        self._engine = None
        self.queues.use(None, None, None)

    def close(self) -> None:
        """The member is none any more, or its mesh ends."""
        self.abandon()
        for stop in self._stops:
            stop()
        self.queues.close()
        self.whereabouts.close()

    def _changed(self, node: str, is_up: bool) -> None:
        self.queues.stir()
        if self._watch is not None:
            self._watch.stir()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - rare, and what changes it is many things
        await asyncio.sleep(_LOOK_S)
