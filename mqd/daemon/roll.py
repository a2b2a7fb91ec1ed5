"""What a member that runs is asked by others: to admit them, to strike them out.

Decides what stands in the metadata then, and that two nodes do not become the same member. Never
asks anybody to join; whoever joins or leaves is `mqd.daemon.membership`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace

from mqd.admin import membership_words as words
from mqd.admin.context import app_stopped
from mqd.broker.definitions import QueueDefinition
from mqd.cluster.handshake import Unreachable
from mqd.cluster.membership.record import DISC, Record
from mqd.cluster.membership.start import RUNNING
from mqd.daemon.peers import Peers, entry_of, member_of
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import (
    Batch,
    ClusterRecord,
    Command,
    DeleteMember,
    DeleteQueue,
    Member,
    PutCluster,
    PutMember,
    PutQueue,
)
from mqd.metadata.store import MetadataStore
from mqd.rpc.v1 import membership_pb2 as pb

_ADMISSION_TRIES = 8  # others may be admitted at the same time
_INCARNATION_BYTES = 4
_FORK_BYTES = 8
_CLUSTER_ID_BYTES = 16

_log = logging.getLogger(__name__)


class Roll:
    """The part of a node's membership that needs its metadata.

    begin(cluster, this node): while a node alone becomes a cluster, opens what a cluster needs and
    tells where others reach it; begun(): when the metadata says so, too. moved(member): while
    this node starts, a member said that it is reached elsewhere. address: of this node, its control
    port included.
    """

    def __init__(self, node: str, peers: Peers, address: Member) -> None:
        self.node = node
        self.peers = peers
        self.address = address
        self.record: Record | None = None
        self.begin: Callable[[ClusterRecord, Member], AbstractAsyncContextManager[Member]]
        self.begin = lambda _cluster, me: nullcontext(me)
        self.begun: Callable[[], Awaitable[None]] = _nothing
        self.moved: Callable[[Member], None] = lambda _member: None
        self._metadata: MetadataStore | None = None
        self._becoming: asyncio.Task[None] | None = None

    def running(self) -> tuple[str, ...]:
        """Names of the others that run, as far as this node knows."""
        raise NotImplementedError

    def keep(self) -> None:
        """Write down what the metadata says now."""
        raise NotImplementedError

    def remember(self, record: Record) -> None:
        """This from now on."""
        raise NotImplementedError

    def note(self, record: Record) -> None:
        """The same, of what the metadata says too: `keep` tries again what the disc refuses."""
        raise NotImplementedError

    async def admit(self, entry: pb.MemberEntry, again: bool, former: str) -> pb.AdmitMemberReply:
        """Make the one that asks a member. former: the name that it was one by."""
        metadata = self._running_metadata()
        found = metadata.state.members.get(former or entry.name)
        if again:
            if found is None or found.incarnation not in ("", entry.incarnation):
                raise words.inconsistent(entry.name, self.node)
        elif found is not None:
            raise words.inconsistent(self.node, entry.name)
        await self._become_cluster(metadata)
        incarnation = new_incarnation() if again else entry.incarnation
        member = replace(member_of(entry), incarnation=incarnation)
        await self._put_new(metadata, member, former)
        self.keep()
        _log.info("node %s is a %s member now, as number %d", entry.name, entry.kind,
                  metadata.state.members[entry.name].number)  # fmt: skip
        return self._admission(metadata)

    async def _put_new(self, metadata: MetadataStore, member: Member, former: str) -> None:
        for tries_left in range(_ADMISSION_TRIES, 0, -1):
            cluster = metadata.state.cluster
            assert cluster is not None
            try:
                put = PutMember(replace(member, number=cluster.numbers + 1))
                renamed = _renaming(metadata, former, member.name) if former else ()
                await metadata.propose_async(Batch((*renamed, put)))
            except MqdError as error:
                if error.code is not ErrorCode.ALREADY_EXISTS or tries_left == 1:
                    raise
            else:
                return

    async def _become_cluster(self, metadata: MetadataStore) -> None:
        """A node alone is the first member of a cluster of its own. Whoever asked may leave
        meanwhile, and another one ask: it is done once, and to the end."""
        if self._becoming is None:
            loop = asyncio.get_running_loop()
            self._becoming = loop.create_task(self._begin_cluster(metadata))
            self._becoming.add_done_callback(self._became)
        await asyncio.shield(self._becoming)

    def _became(self, becoming: asyncio.Task[None]) -> None:
        self._becoming = None
        if not becoming.cancelled() and (error := becoming.exception()):
            _log.error("this node did not become a cluster: %s", error)

    async def _begin_cluster(self, metadata: MetadataStore) -> None:
        if metadata.state.cluster is not None:
            return
        cluster = ClusterRecord(secrets.token_hex(_CLUSTER_ID_BYTES), authority=self.node)
        me = replace(self.address, incarnation=new_incarnation(), number=1)
        async with self.begin(cluster, me) as here:
            homes = [
                PutQueue(replace(queue, node=self.node))
                for queue in metadata.state.queues.values()
                if not queue.node
            ]
            await metadata.propose_async(Batch((PutCluster(cluster), PutMember(here), *homes)))
        state, number = metadata.state, metadata.last_number
        assert state.cluster is not None
        self.note(
            Record(self.node, state.cluster, DISC, here.incarnation, dict(state.members), number)
        )
        self.keep()
        await self.begun()

    def _admission(self, metadata: MetadataStore) -> pb.AdmitMemberReply:
        cluster = metadata.state.cluster
        assert cluster is not None
        return pb.AdmitMemberReply(
            cluster_id=cluster.id,
            generation=cluster.generation,
            authority=cluster.authority,
            forks=cluster.forks,
            members=map(entry_of, metadata.state.members.values()),
            number=metadata.last_number,
        )

    async def move(self, entry: pb.MemberEntry) -> None:
        """Write down where a member is reached now: for all, if this node runs, else for its own
        start."""
        metadata, record = self._metadata, self.record
        if metadata is not None:
            members = metadata.state.members
        else:
            members = dict(record.members) if record is not None else {}
        found = members.get(entry.name)
        if found is None or found.incarnation != entry.incarnation:
            raise words.inconsistent(entry.name, self.node)
        moved = replace(
            found,
            host=entry.host,
            control_port=entry.control_port,
            link_port=entry.link_port,
            route_port=entry.route_port,
        )
        if moved == found:
            return
        if metadata is not None:
            await metadata.propose_async(PutMember(moved))
        elif record is not None:
            self.remember(replace(record, members={**record.members, moved.name: moved}))
            self.moved(moved)

    async def withdraw(self, name: str, incarnation: str) -> None:
        """Strike the one that asks out."""
        metadata = self._running_metadata()
        found = metadata.state.members.get(name)
        if found is not None and found.incarnation in ("", incarnation):
            await self._strike_out(metadata, name)

    async def forget(self, target: str) -> None:
        """Strike out a member that is down."""
        metadata = self._running_metadata()
        member = metadata.state.members.get(target)
        if member is None:
            raise words.not_a_member()
        if target == self.node or target in self.running() or await self._runs(member):
            raise words.must_be_stopped(target)
        others = [each for each in metadata.state.members.values() if each.name != target]
        if not any(each.kind == DISC for each in others):
            raise words.last_replica(target)
        _log.info("Removing node %s from cluster", target)
        # It has a certificate, and its server's name is barred for minutes only: from now on both
        # are of an earlier generation, which nobody links to or routes to.
        await self._strike_out(metadata, target, new_fork())

    async def _runs(self, member: Member) -> bool:
        """Also one that cannot reach us by a link may run; of another cluster it is no matter."""
        try:
            facts = await self.peers.ask(member.name, member)
        except Unreachable:
            return False
        cluster = self.record.cluster.id if self.record is not None else ""
        return bool(facts.state == RUNNING and facts.cluster_id == cluster)

    async def _strike_out(self, metadata: MetadataStore, name: str, fork: str = "") -> None:
        """With the queues whose messages nobody else has. fork: in a new generation, and the
        queues that stay are not on it any more."""
        lost = [
            DeleteQueue(queue.vhost, queue.name)
            for queue in metadata.state.queues.values()
            if queue.node == name and queue.shard is None
        ]
        shrunk = [
            PutQueue(replace(queue, members=tuple(each for each in queue.members if each != name)))
            for queue in metadata.state.queues.values()
            if fork and len(queue.members) > 1 and name in queue.members
        ]
        await metadata.propose_async(Batch((*lost, *shrunk, DeleteMember(name, fork))))
        self.keep()

    def _running_metadata(self) -> MetadataStore:
        if self._metadata is None:
            raise app_stopped()
        return self._metadata


def _renaming(metadata: MetadataStore, former: str, name: str) -> list[Command]:
    queues = on_renamed(metadata.state.queues.values(), {former: name})
    return [DeleteMember(former), *(PutQueue(each) for each in queues)]


def on_renamed(
    queues: Iterable[QueueDefinition], names: Mapping[str, str]
) -> Iterator[QueueDefinition]:
    """Those that are on members that have other names now."""
    for queue in queues:
        members = tuple(names.get(each, each) for each in queue.members)
        one = replace(queue, node=names.get(queue.node, queue.node), members=members)
        if one != queue:
            yield one


async def _nothing() -> None:
    pass


def new_incarnation() -> str:
    return secrets.token_hex(_INCARNATION_BYTES)


def new_fork() -> str:
    """Of a generation: `mqd.metadata.generations`."""
    return secrets.token_hex(_FORK_BYTES)
