"""What a member has beside the broker of a node alone: links, the cluster's metadata, its view.

Decides how these parts are made, joined and ended, and in which of the ledger's ways this node
takes part: it orders commands when the metadata names it as the authority, else it follows the one
that is named. Never decides who that is, except at an orderly stop, when this node hands over.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mqd.admin import reports
from mqd.admin.context import NodeControl
from mqd.admin.serving import carrier
from mqd.broker.broker import Broker
from mqd.cluster.fanout.view import View
from mqd.cluster.gate import Gate
from mqd.cluster.identity import Identity, issue
from mqd.cluster.ledger.ledger import Ledger
from mqd.cluster.ledger.timers import loop_timers
from mqd.cluster.links.greeting import Hello
from mqd.cluster.links.mesh import LinkMesh, Passport
from mqd.cluster.membership.record import DISC
from mqd.cluster.ports import NoMajority, PeerDown
from mqd.cluster.queues.remote_queues import RemoteQueues
from mqd.cluster.shards.service import ShardService
from mqd.config.settings import ClusterSettings
from mqd.daemon.copying import copied, met
from mqd.daemon.electorate import Electorate
from mqd.daemon.generations import GenerationWatch
from mqd.daemon.membership import ENGINE_FOLDER, Membership
from mqd.daemon.partitions import PartitionWatch
from mqd.daemon.ports import Reserved, candidates
from mqd.daemon.station import Station
from mqd.daemon.wholeness import Wholeness
from mqd.errors import ErrorCode, MqdError
from mqd.limits import HAND_OVER_S, JOINED_S, OVERTAKEN_LOOK_S
from mqd.metadata.commands import (
    ClusterRecord,
    Command,
    DeleteMember,
    Member,
    PutCluster,
    PutMember,
)
from mqd.metadata.generations import Relation, fork_of, relation
from mqd.metadata.store import MetadataStore

IDENTITY_FOLDER: Final = "cluster"
SHUTDOWN: Final = "broker forced connection closure with reason 'shutdown'"  # as 3.10.8 pauses
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - who shows no certificate of the cluster gets nothing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """Where it stands. host: the address to listen on; None: all of them. overtaken(): the cluster
    has gone on without this node, whose app must start anew."""

    node: NodeControl
    membership: Membership
    host: str | None
    overtaken: Callable[[], None]
    settings: ClusterSettings


class Side:
    """Of one node, from before its metadata is current until after its clients are gone.

    Use `link`, `order` or `follow`; `house` when there is a broker, `attach` when its clients can
    be served, then `open`; at the end `leave_off` and `close`.
    """

    def __init__(
        self,
        site: Site,
        store: MetadataStore,
        mesh: LinkMesh,
        identity: Identity,
        me: Member,
        route: Reserved,
    ) -> None:
        self.mesh = mesh
        self.view: View | None = None
        self._site = site
        self._store = store
        self._broker: Broker | None = None
        loop = asyncio.get_running_loop()
        self._stopping = self._closed = False
        self._switching: asyncio.Task[None] | None = None
        self._route = route
        self._watch: GenerationWatch | None = None
        self._me, self._epoch = me, 0
        self._members: Mapping[str, Member] = {}
        self._moved: dict[str, Member] = {}
        self._goes_by: ClusterRecord | None = None  # its certificates are of that generation
        self._renewing: asyncio.Task[None] | None = None
        self._queues: RemoteQueues | None = None
        self._shards: ShardService | None = None
        self._wholeness: Wholeness | None = None
        self.gate = Gate(mesh)
        self.gate.on_change(lambda _node, _is_up: site.membership.keep())
        self.ledger = Ledger(mesh, store, me.kind, loop_timers(loop), self._end_turn)
        self._electorate: Electorate | None = None
        if me.kind == DISC:
            host = site.host or _EVERYWHERE
            data = site.node.data_directory
            membership = site.membership
            station = Station(
                data,
                me,
                identity,
                mesh,
                self.gate,
                host,
                route,
                membership.gone,
                membership.forgive,
                self._moved,
                site.settings.nats_server,
            )
            electorate = self._electorate = Electorate(station, store, self.ledger)
            membership.ails = lambda: electorate.ails
        self._partitions = PartitionWatch(
            site.membership,
            site.settings,
            mesh,
            self.gate,
            self._pause,
            self._resume,
            lambda name, facts: self._watch.hear(name, facts) if self._watch else None,
        )
        self._unsubscribe = store.subscribe(self._hear)
        site.membership.gate = self.gate

    @classmethod
    async def link(
        cls, site: Site, store: MetadataStore, cluster: ClusterRecord, me: Member
    ) -> tuple[Side, Member]:
        """Linked to nobody yet; the second is this node as others reach it now."""
        sides: list[Side] = []
        watch = GenerationWatch(
            site.membership, site.overtaken, lambda cluster: sides[0].go_by(cluster)
        )
        epoch = site.node.clock.wall_ms()
        passport, identity = await _passport(site, cluster, me, epoch)
        mesh = LinkMesh(passport, site.node.clock, watch.refused)
        link = await mesh.listen(site.host, candidates(me))
        route = Reserved(me, site.host, link)
        here = replace(me, link_port=link, route_port=route.port)
        side = cls(site, store, mesh, identity, here, route)
        side._watch, side._goes_by, side._me, side._epoch = watch, cluster, here, epoch
        sides.append(side)
        return side, here

    def go_by(self, cluster: ClusterRecord) -> None:
        """Of this generation from now on, if it is a later one: a member was struck out. Links that
        stand stay; whoever comes anew must be of it."""
        if self._goes_by is None or relation(self._goes_by, cluster) is not Relation.LATER:
            return
        self._goes_by = cluster
        if self._renewing is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._renewing = loop.create_task(self._renew())

    async def _renew(self) -> None:
        done = None
        while done is not (cluster := self._goes_by):
            assert cluster is not None
            try:
                passport, _ = await _passport(
                    self._site, cluster, self._me, self._epoch, renewed=True
                )
            except OSError as error:  # a full disc, for a time
                _log.warning("there are no certificates of the new generation yet: %s", error)
                await asyncio.sleep(OVERTAKEN_LOOK_S)
                continue
            self.mesh.use_passport(passport, keep=True)
            done = cluster
        if self._electorate is not None:
            self._electorate.renewed()
        self._renewing = None
        assert cluster is not None
        _log.info("this node is of generation %d of the cluster now", cluster.generation)

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

    async def vote(self, members: Mapping[str, Member]) -> None:
        """This node is one of those who order together. Raises MqdError, NoMajority."""
        assert self._electorate is not None
        self._use_members(members)
        await self._electorate.take_part()
        self._use_members(self._store.state.members)

    def house(self, broker: Broker) -> None:
        """There is a broker, with nothing in it yet: its queues may live on other members."""
        loop = asyncio.get_running_loop()
        site = self._site
        count = site.settings.shards
        shards = ShardService(self.gate, broker, self._store, site.node.clock, count)
        self._shards = shards
        self._queues = RemoteQueues(
            broker,
            self.gate,
            loop.call_later,
            shards.home_of,
            shards.shard_of,
            shards.members_of,
        )
        self._queues.start()

    def attach(self, broker: Broker) -> None:
        """The broker is there: others may ask for what is in it."""
        node = self._site.node
        self._broker = broker
        own = functools.partial(reports.standing, node, broker)
        assert self._shards is not None
        self.view = View(
            self.gate,
            lambda: self._store.state.members,
            broker,
            own,
            carrier(node),
            self._shards.queues,
        )
        self.view.start()
        if self._queues is not None:
            self._queues.rests = self._rests

    def _rests(self, node: str) -> bool:
        """No new queue is to live there."""
        return self.view is not None and self.view.standing(node).in_maintenance

    async def open(self) -> None:
        """Clients are served. Returns when the others know."""
        self._site.membership.moved = lambda _member: None
        self._moved.clear()  # from now on the metadata tells
        await self.gate.open()
        if self._electorate is not None:
            assert self._shards is not None
            self._electorate.begin(self._shards)
            self._tell_of_copies(self._shards)
        self._partitions.begin(self._store.state.members)

    def _tell_of_copies(self, shards: ShardService) -> None:
        data, name = self._site.node.data_directory, self._me.name
        whole = Wholeness(data / ENGINE_FOLDER, name, self._store, lambda: shards.engine)
        self._wholeness, self._site.membership.lacks = whole, lambda: whole.lacks
        whole.begin()

    async def settle(self, given_up: asyncio.Event) -> None:
        """Returns when what this node promises is kept by others, too, or will not soon be."""
        await met(self.gate, set(self._store.state.members) - {self._me.name})
        if self._electorate is not None:
            assert self._shards is not None
            await copied(self._store, self.gate, self._shards, given_up)

    async def _pause(self) -> None:
        """Clients go elsewhere; links and tools stay."""
        await self._site.node.suspend_listeners()
        assert self._broker is not None
        for entry in list(self._broker.connections.values()):
            entry.close(320, SHUTDOWN)

    async def _resume(self) -> None:
        if not self._site.node.in_maintenance:
            await self._site.node.resume_listeners()

    # -- the end ------------------------------------------------------------------------------

    async def leave_off(self) -> None:
        """This node stops in order: the others go on without it if they can, and know."""
        self._stopping = True
        self._partitions.close()
        if self._switching is not None:
            await asyncio.wait([self._switching], timeout=HAND_OVER_S)
        try:
            async with asyncio.timeout(HAND_OVER_S):
                if self._electorate is not None:
                    await self._electorate.hand_over(self.gate.up)
        except (TimeoutError, MqdError, NoMajority, PeerDown) as error:
            why = str(error) or "no answer in time"
            _log.warning("nobody took over from this node: %s", why)
        await self.gate.shut()

    async def close(self) -> None:
        """Also after a failure half-way, and again."""
        if self._closed:
            return
        self._closed = True
        async with contextlib.AsyncExitStack() as rest:  # all of it, whatever fails; the last first
            rest.push_async_callback(self.mesh.close)
            if self._watch is not None:
                rest.callback(self._watch.close)
            rest.callback(self._route.release)
            rest.callback(setattr, self._site.membership, "gate", None)
            rest.callback(setattr, self._site.membership, "moved", lambda _member: None)
            rest.callback(self.gate.close)
            if self._queues is not None:
                rest.callback(self._queues.stop)
            if self._shards is not None:
                rest.callback(self._shards.close)
            if self._electorate is not None:
                rest.push_async_callback(self._electorate.close)
            else:
                rest.callback(self.ledger.close)
            if self.view is not None:
                rest.callback(self.view.stop)
            rest.callback(self._unsubscribe)
            for task in (self._switching, self._renewing):
                if task is not None:
                    task.cancel()
            if self._wholeness is not None:
                self._wholeness.close()
            self._partitions.close()

    # -- changes ------------------------------------------------------------------------------

    def _hear(self, command: Command) -> None:
        if isinstance(command, PutMember | DeleteMember):
            self._use_members(self._store.state.members)
            self._partitions.use_members(self._store.state.members)
        if self._electorate is not None and isinstance(
            command, PutMember | DeleteMember | PutCluster
        ):
            self._electorate.stir()
        cluster = self._store.state.cluster
        if isinstance(command, DeleteMember | PutCluster) and cluster is not None:
            self.go_by(cluster)
        if isinstance(command, PutCluster):
            self._cluster_changed()
        self._site.membership.hear(command)

    def _cluster_changed(self) -> None:
        cluster = self._store.state.cluster
        if cluster is None or self._stopping or self._switching is not None:
            return
        authority, loop = cluster.authority, asyncio.get_running_loop()
        if self._electorate is not None and authority == self._site.node.name:
            if not self._store.orders_here:
                self._switching = loop.create_task(self._electorate.take_over())
        elif authority and self.ledger.uses_engine:
            self._switching = loop.create_task(self._follow_from_now_on(authority))
        if self._switching is not None:
            self._switching.add_done_callback(self._switched)

    async def _follow_from_now_on(self, authority: str) -> None:
        """The engine orders no more, another member does."""
        with contextlib.suppress(NoMajority):
            await self.ledger.hold()
        self.ledger.follow((authority,))

    def _switched(self, _task: asyncio.Task[None]) -> None:
        self._switching = None
        self._cluster_changed()  # meanwhile it may have changed again

    def _use_members(self, members: Mapping[str, Member]) -> None:
        self._members = members
        moved = {name: each for name, each in self._moved.items() if name in members}
        self.mesh.use_members({**members, **moved})

    def reach(self, member: Member) -> None:
        """While this node starts: another one that starts is elsewhere than the metadata says."""
        self._moved[member.name] = member
        self._use_members(self._members)

    def _end_turn(self) -> None:
        if self._broker is not None:
            self._broker.turn.end()


async def _passport(
    site: Site, cluster: ClusterRecord, me: Member, epoch: int, *, renewed: bool = False
) -> tuple[Passport, Identity]:
    """Of a member of this generation; its files are written. epoch: of this process. renewed: its
    nats-server may be reading what is there."""
    node = site.node
    identity = await asyncio.to_thread(
        issue,
        node.data_directory / IDENTITY_FOLDER,
        node.cookie,
        cluster.id,
        cluster.generation,
        str(node.name),
        [me.host],
        fork_of(cluster),
        keeps_key=renewed,
    )
    hello = Hello(str(node.name), me.incarnation, epoch, cluster.id, cluster.generation)
    passport = Passport(hello, identity.server_context(), identity.client_context())
    return passport, identity
