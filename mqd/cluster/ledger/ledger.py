"""The metadata of a cluster on one node: its store, kept equal to everybody's.

Decides how the parts are joined and nothing else; which of the three ways holds, and when it
changes, is `mqd.cluster.membership`'s to say:

- `order_here()`: this disc node orders, its file is the log. The others follow it.
- `follow()`: another node orders, or this is a ram node: entries come over a link, proposals go the
  same way. To the authority that the state names; if it names none, to any linked disc member;
  before there is any state, to `seeds`.
- `use_engine(engine)`: a disc node among others; the log META must exist, with a first sequence of
  one more than the last number of whoever made it.

How to change from one to the other: `await hold()` (proposals wait, all that was ordered is applied
and on disc; returns the last number), do what must be done (create or delete the log, propose
nothing), then call one of the three: what waits is proposed again, under the ids it had, so what
was ordered already is not ordered twice. A command that must be the last of the old order is
proposed before `hold`. After a change of generation or of the whole history, followers get a
snapshot by themselves: they tell which history their number belongs to.

    composing: store = MetadataStore.open(path, writer)  # or .in_memory(writer, boots)
               store.member_number = number of this member, before queues are declared
               ledger = Ledger(mesh, store, kind, loop_timers(loop), broker.turn.end, seeds)
               ledger.follow(); await ledger.joined()  # a joiner, or a ram node that starts
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mqd.cluster.ledger.barrier import Barrier
from mqd.cluster.ledger.engine_orderer import EngineOrderer
from mqd.cluster.ledger.feed import Feed
from mqd.cluster.ledger.follower import Follower
from mqd.cluster.ledger.intake import Intake
from mqd.cluster.ledger.members import sources_of
from mqd.cluster.ledger.timers import Later
from mqd.cluster.ports import Engine, Mesh
from mqd.metadata.commands import Command, DeleteMember, PutCluster, PutMember
from mqd.metadata.store import MetadataStore


class Ledger:
    """One node's, while it is a member. kind: "disc" | "ram". end_turn: called after entries of
    others were applied to the broker."""

    def __init__(
        self,
        mesh: Mesh,
        store: MetadataStore,
        kind: str,
        later: Later,
        end_turn: Callable[[], None],
        seeds: Sequence[str] = (),
    ) -> None:
        self.store = store
        self.barrier = Barrier(mesh, store, later, end_turn)
        self.feed = Feed(mesh, store, later)
        self.intake = Intake(mesh, store, later, self._sources)
        self._mesh = mesh
        self._kind = kind
        self._later = later
        self._seeds = seeds
        self._engine_orderer: EngineOrderer | None = None
        self._joined: list[asyncio.Future[None]] = []
        store.barrier = self.barrier.wait
        store.on_applied = self.barrier.applied
        store.on_settled = self.feed.settled
        store.on_written = self.barrier.wrote
        store.on_replaced = self.feed.replaced
        self.intake.on_current = self._current
        self._unsubscribe = store.subscribe(self._hear)

    def order_here(self) -> None:
        """This node is the authority."""
        self._engine_orderer = None
        self.feed.accepts_proposals = True
        self.store.use_orderer(None)

    def follow(self, seeds: Sequence[str] | None = None) -> None:
        """Another node orders."""
        if seeds is not None:
            self._seeds = seeds
        self._engine_orderer = None
        self.feed.accepts_proposals = False
        follower = Follower(self._mesh, self.store, self._later, self.intake, self._kind)
        self.store.use_orderer(follower)

    def use_engine(self, engine: Engine) -> None:
        """The log META orders."""
        orderer = EngineOrderer(
            engine, self._mesh, self.store, self._later, self.intake, self.barrier
        )
        self._engine_orderer = orderer
        self.feed.accepts_proposals = True
        self.store.use_orderer(orderer)

    @property
    def uses_engine(self) -> bool:
        """The log META orders."""
        return self._engine_orderer is not None

    async def hold(self) -> int:
        """Nothing is ordered through this node until another way is chosen. Raises NoMajority when
        the log cannot be read to its end; then too proposals wait."""
        held = self.store.hold()
        if self._engine_orderer is not None:
            await held
            await self._engine_orderer.finish()
            return await self.store.hold()
        return await held

    async def joined(self) -> None:
        """Wait until this node has all that the node it follows had when it was asked. Bounded by
        the caller."""
        if self.intake.is_current:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._joined.append(future)
        await future

    def close(self) -> None:
        """Before the store and the mesh are: the store orders nothing any more by itself."""
        self._unsubscribe()
        store = self.store
        store.on_applied = store.on_settled = store.on_written = store.on_replaced = None
        self.intake.close()
        self.feed.close()
        self.barrier.close()
        store.barrier = None

    def _sources(self) -> Sequence[str]:
        known = sources_of(self.store.state, self._mesh.node)
        return known or [node for node in self._seeds if node != self._mesh.node]

    def _hear(self, command: Command) -> None:
        if isinstance(command, PutMember | DeleteMember | PutCluster):
            self._later(0.0, self.intake.look)

    def _current(self) -> None:
        joined, self._joined = self._joined, []
        for each in joined:
            if not each.done():
                each.set_result(None)
