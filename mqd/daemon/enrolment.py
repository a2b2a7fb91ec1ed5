"""How the metadata of a member is opened, and its part in the cluster begun.

Decides the order: metadata as this node left it, links, then whatever the cluster has meanwhile;
nothing else of the app is opened before. Never decides whether the node may start (`admission`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from mqd.admin import membership_words as words
from mqd.cluster.membership.record import DISC, Record
from mqd.cluster.ports import NoMajority
from mqd.daemon.admission import Admitted
from mqd.daemon.compose import InVain
from mqd.daemon.membership import Membership
from mqd.daemon.roll import new_fork
from mqd.daemon.side import Side, Site
from mqd.metadata.commands import Batch, ClusterRecord, Member, PutCluster, PutMember
from mqd.metadata.generations import Relation, begun, relation
from mqd.metadata.store import MetadataStore
from mqd.storage.writer import Writer

_log = logging.getLogger(__name__)

Closed = Callable[[str, Callable[[], Awaitable[bool]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Of one start of a member's app. waits(whether): for other members."""

    site: Site
    admitted: Admitted
    waits: Callable[[bool], None]

    async def begin(
        self, path: str, writer: Writer, opened: contextlib.AsyncExitStack, closed: Closed
    ) -> tuple[MetadataStore, Side]:
        """Returns when the metadata here is what the cluster's is. Raises MqdError; InVain as
        `Lifecycle` has it."""
        membership, admitted = self.site.membership, self.admitted
        record = membership.record
        assert record is not None
        store = self._open(path, writer, record)
        opened.push_async_callback(closed, "metadata", store.close)
        if record.kind == DISC:  # who has none left may be the one whose vote this start wants
            membership.lent = store
            opened.callback(setattr, membership, "lent", None)
        me = store.state.members.get(record.node) or record.members[record.node]
        store.member_number = me.number
        if admitted.forced:
            await _begin_generation(store, record)
            membership.remember(replace(record, yields_to=()))
        cluster = admitted.cluster
        if admitted.via is None and store.state.cluster is not None:
            cluster = _later(store.state.cluster, admitted.cluster)
        if admitted.authority == record.node and cluster.authority != record.node:
            # what made it the authority was not on its disc yet: the same again
            cluster = replace(cluster, authority=record.node)
            await store.propose_async(PutCluster(cluster))
        side, here = await Side.link(self.site, store, cluster, _moved(me, membership.address))
        opened.push_async_callback(side.close)
        membership.moved = side.reach
        membership.stand_at(here)
        if cluster.authority == record.node:
            side.order()
            if here != me:
                await store.propose_async(PutMember(here))
        else:
            via = admitted.via
            if here != me and via is not None:
                await membership.peers.tell_address(via, record.members.get(via), here)
            if cluster.authority == "" and record.kind == DISC:
                if via is not None:  # most of it comes faster that way, and for a joiner all
                    await side.follow(record.members, (via,))
                elif here != me:
                    await self._tell_those_that_start(membership)
                await self._vote(side, membership.record or record)
                if via is None and here != store.state.members.get(record.node):
                    await store.propose_async(PutMember(here))
            else:
                await side.follow(record.members, (via or cluster.authority,))
        membership.use(store)
        return store, side

    async def _tell_those_that_start(self, membership: Membership) -> None:
        """Nobody runs whom the metadata would tell; who starts after this asks where this is."""
        record = membership.record
        assert record is not None
        others = [record.members[name] for name in record.others]
        await membership.tell_where(await membership.peers.ask_all(others))

    async def _vote(self, side: Side, record: Record) -> None:
        self.waits(True)
        try:
            await side.vote(record.members)
        except NoMajority as error:
            _log.warning("%s", error)
            failure = words.start_failed(words.no_tables(list(record.members)))
            raise InVain(failure.code, failure.detail) from error
        self.waits(False)

    def _open(self, path: str, writer: Writer, record: Record) -> MetadataStore:
        if record.kind == DISC:
            return MetadataStore.open(path, writer)
        MetadataStore.wipe(path)  # of a disc member that it was, and that ended as it changed
        boots = record.boots + 1
        self.site.membership.remember(replace(record, boots=boots))
        return MetadataStore.in_memory(writer, boots)


def _moved(me: Member, address: Member) -> Member:
    return replace(me, host=address.host, control_port=address.control_port)


async def _begin_generation(store: MetadataStore, record: Record) -> None:
    """The others' incarnations are over: they join again when they come back."""
    cluster, node = store.state.cluster, record.node
    if cluster is None:  # of a file that was lost
        reason = words.nothing_to_go_on_with(node, record.others)
        raise words.start_failed(f"{{:no_metadata, '{reason}'}}")
    forced = replace(begun(cluster, new_fork()), authority=node)
    others = [
        PutMember(replace(member, incarnation=""))
        for member in store.state.members.values()
        if member.name != node and member.kind == DISC
    ]
    await store.propose_async(Batch((PutCluster(forced), *others)))


def _later(mine: ClusterRecord, told: ClusterRecord) -> ClusterRecord:
    """Another one that starts, too, may have heard of a generation that this node missed."""
    if mine.id == told.id and relation(mine, told) is Relation.LATER:
        return replace(told, authority=mine.authority)
    return mine
