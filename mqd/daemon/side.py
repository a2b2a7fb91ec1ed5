"""What a member has beside the broker of a node alone: links, the cluster's metadata, its view.

Decides how these parts are made, joined and ended, and in which of the ledger's ways this node
takes part: it orders commands when the metadata names it as the authority, else it follows the one
that is named. Never decides who that is, except at an orderly stop, when this node hands over.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mqd.admin import reports
from mqd.admin.context import NodeControl
from mqd.admin.serving import carrier
from mqd.broker.broker import Broker
from mqd.broker.definitions import QueueDefinition
from mqd.cluster.fanout.view import View
from mqd.cluster.gate import Gate
from mqd.cluster.identity import issue
from mqd.cluster.ledger.ledger import Ledger
from mqd.cluster.ledger.timers import loop_timers
from mqd.cluster.links.greeting import Hello
from mqd.cluster.links.mesh import LinkMesh, Passport
from mqd.cluster.membership.record import DISC
from mqd.cluster.queues.remote_queues import RemoteQueues
from mqd.daemon.membership import Membership
from mqd.daemon.ports import candidates
from mqd.errors import ErrorCode, MqdError
from mqd.limits import HAND_OVER_S, JOINED_S
from mqd.metadata.commands import (
    ClusterRecord,
    Command,
    DeleteMember,
    Member,
    PutCluster,
    PutMember,
)
from mqd.metadata.store import MetadataStore

IDENTITY_FOLDER: Final = "cluster"
_WRITTEN_LOOK_S: Final = 0.02

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """Where it stands. host: the address to listen on; None: all of them."""

    node: NodeControl
    membership: Membership
    host: str | None


class Side:
    """Of one node, from before its metadata is current until after its clients are gone.

    Use `link`, `order` or `follow`; `house` when there is a broker, `attach` when its clients can
    be served, then `open`; at the end `leave_off` and `close`.
    """

    def __init__(self, site: Site, store: MetadataStore, mesh: LinkMesh, kind: str) -> None:
        self.mesh = mesh
        self.view: View | None = None
        self._site = site
        self._store = store
        self._kind = kind
        self._broker: Broker | None = None
        loop = asyncio.get_running_loop()
        self._seeds: tuple[str, ...] = ()
        self._stopping = self._closed = False
        self._switching: asyncio.Task[None] | None = None
        self._queues: RemoteQueues | None = None
        self.gate = Gate(mesh)
        self.gate.on_change(lambda _node, _is_up: site.membership.keep())
        self.ledger = Ledger(mesh, store, kind, loop_timers(loop), self._end_turn)
        self._unsubscribe = store.subscribe(self._hear)
        site.membership.gate = self.gate

    @classmethod
    async def link(
        cls, site: Site, store: MetadataStore, cluster: ClusterRecord, me: Member
    ) -> tuple[Side, Member]:
        """Linked to nobody yet; the second is this node as others reach it now."""
        mesh = await _mesh(site, cluster, me)
        port = await mesh.listen(site.host, candidates(me))
        return cls(site, store, mesh, me.kind), replace(me, link_port=port)

    # -- taking part --------------------------------------------------------------------------

    def order(self) -> None:
        """This node is the authority."""
        self.ledger.order_here()
        self._use_members(self._store.state.members)

    async def follow(self, members: Mapping[str, Member], seeds: tuple[str, ...]) -> None:
        """Another one is. Returns when this node has all that it had. Raises MqdError."""
        self._use_members(members)
        self.ledger.follow(seeds)
        try:
            async with asyncio.timeout(JOINED_S):
                await self.ledger.joined()
        except TimeoutError as error:
            named = ", ".join(seeds)
            text = f"the metadata did not come from {named} within {JOINED_S:.0f} s"
            raise MqdError(ErrorCode.UNAVAILABLE, text) from error
        self._use_members(self._store.state.members)

    def house(self, broker: Broker) -> None:
        """There is a broker, with nothing in it yet: its queues may live on other members."""
        loop = asyncio.get_running_loop()
        self._queues = RemoteQueues(broker, self.gate, loop.call_later, self._quorum_home)
        self._queues.start()

    def _quorum_home(self, definition: QueueDefinition) -> str:
        """Of one that is in no shard: where it was declared."""
        return definition.node or str(self._site.node.name)

    def attach(self, broker: Broker) -> None:
        """The broker is there: others may ask for what is in it."""
        node = self._site.node
        self._broker = broker
        own = functools.partial(reports.standing, node, broker)
        self.view = View(self.gate, lambda: self._store.state.members, broker, own, carrier(node))
        self.view.start()
        if self._queues is not None:
            self._queues.rests = self._rests

    def _rests(self, node: str) -> bool:
        """No new queue is to live there."""
        return self.view is not None and self.view.standing(node).in_maintenance

    async def open(self) -> None:
        """Clients are served. Returns when the others know."""
        await self.gate.open()

    # -- the end ------------------------------------------------------------------------------

    async def leave_off(self) -> None:
        """This node stops in order: the others know, and go on without it if they can."""
        self._stopping = True
        running = self.gate.up
        if self._switching is not None:
            await asyncio.wait([self._switching])
        await self.gate.shut()
        try:
            async with asyncio.timeout(HAND_OVER_S):
                await self._hand_over(running)
        except (TimeoutError, MqdError) as error:
            why = str(error) or "no answer in time"
            _log.warning("nobody took over from this node: %s", why)

    async def _hand_over(self, running: Sequence[str]) -> None:
        cluster = self._store.state.cluster
        if cluster is None or cluster.authority != self._site.node.name:
            return
        members = self._store.state.members
        heirs = [name for name in running if name in members and members[name].kind == DISC]
        if not heirs:
            return
        written = self.ledger.barrier.written
        heir = max(heirs, key=lambda name: (written.get(name, 0), name))
        _log.info("handing over to %s, which orders changes from now on", heir)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()

        def done(error: Exception | None) -> None:
            if not answered.done():
                if error is None:
                    answered.set_result(None)
                else:
                    answered.set_exception(error)

        self._store.propose(PutCluster(replace(cluster, authority=heir)), done)
        number = await self.ledger.hold()
        await answered
        await self._written_by(heir, number)
        self.ledger.follow((heir,))

    async def _written_by(self, node: str, number: int) -> None:
        """Until that node's disc has the entry, too; it tells that now and then by itself."""
        written = self.ledger.barrier.written
        loop = asyncio.get_running_loop()
        while written.get(node, 0) < number and node in self.mesh.up:
            await asyncio.wait([loop.create_future()], timeout=_WRITTEN_LOOK_S)

    async def close(self) -> None:
        """Also after a failure half-way, and again."""
        if self._closed:
            return
        self._closed = True
        if self._switching is not None:
            self._switching.cancel()
        self._unsubscribe()
        if self.view is not None:
            self.view.stop()
        if self._queues is not None:
            self._queues.stop()
        self.gate.close()
        self._site.membership.gate = None
        self.ledger.close()
        await self.mesh.close()

    # -- changes ------------------------------------------------------------------------------

    def _hear(self, command: Command) -> None:
        if isinstance(command, PutMember | DeleteMember):
            self._use_members(self._store.state.members)
        if isinstance(command, PutCluster):
            self._cluster_changed()
        self._site.membership.hear(command)

    def _cluster_changed(self) -> None:
        cluster = self._store.state.cluster
        if cluster is None or self._stopping or self._switching is not None:
            return
        if cluster.authority == self._site.node.name and not self._store.orders_here:
            loop = asyncio.get_running_loop()
            self._switching = loop.create_task(self._take_over())

    async def _take_over(self) -> None:
        """The one that ordered handed over to this node."""
        try:
            await self.ledger.hold()
            self.ledger.order_here()
            _log.info("this node orders changes of the metadata from now on")
        finally:
            self._switching = None

    def _use_members(self, members: Mapping[str, Member]) -> None:
        self.mesh.use_members(members)

    def _end_turn(self) -> None:
        if self._broker is not None:
            self._broker.turn.end()


async def _mesh(site: Site, cluster: ClusterRecord, me: Member) -> LinkMesh:
    node = site.node
    identity = await asyncio.to_thread(
        issue,
        node.data_directory / IDENTITY_FOLDER,
        node.cookie,
        cluster.id,
        cluster.generation,
        str(node.name),
        [me.host],
    )
    epoch = node.clock.wall_ms()
    hello = Hello(str(node.name), me.incarnation, epoch, cluster.id, cluster.generation)
    passport = Passport(hello, identity.server_context(), identity.client_context())
    return LinkMesh(passport, node.clock)
