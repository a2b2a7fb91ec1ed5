"""This node as a member: what it remembers, and what is asked of it and of the others about that.

Decides which of the others a change of membership goes through and what becomes of the node's
files then. What may be done is checked in RabbitMQ's order, and refused in its words
(`mqd.admin.membership_words`). Never starts or stops the app: `Lifecycle` does, and holds its lock
around what must not meet a start.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mqd import __version__
from mqd.admin import membership_words as words
from mqd.admin.context import AppState
from mqd.cluster.gate import Gate
from mqd.cluster.handshake import Unreachable
from mqd.cluster.membership import file
from mqd.cluster.membership.record import DISC, RAM, Record, encode, host_of
from mqd.cluster.membership.start import RUNNING, STARTING, STOPPED
from mqd.daemon.at_rest import AtRest, given
from mqd.daemon.paths import METADATA_FILE
from mqd.daemon.peers import Peers, cluster_of, entry_of, member_of, members_of
from mqd.daemon.ports import free_port
from mqd.daemon.remembered import Remembered, remembered
from mqd.daemon.roll import Roll, new_incarnation
from mqd.errors import ErrorCode, MqdError
from mqd.limits import PEER_LOOK_S, RECORD_RETRY_S
from mqd.metadata.commands import (
    Command,
    DeleteMember,
    Member,
    PutCluster,
    PutMember,
)
from mqd.metadata.generations import Relation, relation
from mqd.metadata.machine import State
from mqd.metadata.store import MetadataStore
from mqd.rpc.v1 import membership_pb2 as pb

ENGINE_FOLDER = "engine"  # `mqd.cluster.engine` keeps it

_log = logging.getLogger(__name__)

_STATES = {
    AppState.STOPPED: STOPPED,
    AppState.WAITING: STARTING,
    AppState.BOOTING: STARTING,
    AppState.RUNNING: RUNNING,
    AppState.STOPPING: STOPPED,
}


class Membership(Roll):
    """Of one node. `record` is None while the node has never met another one.

    forgotten: the member that says that this node is none. apart: members that went on without
    this one as it did without them. waits_for: whom a start waits for. While the app runs: gate:
    who else does, ails(): why this one's vote does not count, lacks(): logs it has not whole.
    """

    def __init__(self, node: str, data: Path, peers: Peers, control_port: int) -> None:
        super().__init__(node, peers, Member(node, "", 0, DISC, host_of(node), control_port))
        self.record = file.read(data)
        self.forgotten: str | None = None
        self.apart: tuple[str, ...] = ()
        self.waits_for: tuple[str, ...] = ()
        self.unmet = ""  # why the last start gave up
        self.gate: Gate | None = None
        self.ails: Callable[[], str] = lambda: ""
        self.lacks: Callable[[], Sequence[str]] = lambda: ()
        self._answered = False  # somebody did, when the others were asked last
        self.partitions: tuple[str, ...] = ()
        self.at_rest = AtRest(data / METADATA_FILE)
        self.lent: MetadataStore | None = None  # opened by a start that is not through yet
        self._data = data
        self.peers.usual = lambda: self.record.ports if self.record is not None else ()
        self._metadata: MetadataStore | None = None
        self._is_kept = True  # the file says what `record` does
        self._again: asyncio.TimerHandle | None = None

    def running(self) -> tuple[str, ...]:
        """Names of the others that run, as far as this node knows."""
        return tuple(self.gate.up) if self.gate is not None else ()

    async def reached(self, count: int) -> None:
        """See `MembershipControl`. Whoever joins a node alone is waited for, too."""
        while len(self.running()) < count:
            if self.gate is not None:
                await self.gate.reached(count)
            else:
                await asyncio.sleep(PEER_LOOK_S)

    # -- what it remembers --------------------------------------------------------------------

    @property
    def is_member(self) -> bool:
        return self.record is not None and bool(self.record.cluster.id)

    def use(self, metadata: MetadataStore | None) -> None:
        """The metadata of the app, as soon as it is open; None when it closes."""
        if self._again is not None:
            self._again.cancel()
        self.keep()
        self._metadata = metadata
        self.keep()

    def hear(self, command: Command) -> None:
        """Of every change of the metadata, after it."""
        if isinstance(command, PutMember | DeleteMember | PutCluster):
            self.keep()

    def keep(self) -> None:
        """Write down what the metadata says now. When the disc refuses, it is tried again: what the
        metadata says holds all the same."""
        if self.record is None or self._metadata is None:
            return
        metadata = self._metadata
        now = self.record.follow(
            metadata.state.cluster, metadata.state.members, metadata.last_number, self.running()
        )
        if now != self.record or not self._is_kept:
            self.note(now)
            if not self._is_kept:
                if self._again is not None:
                    self._again.cancel()
                self._again = asyncio.get_running_loop().call_later(RECORD_RETRY_S, self.keep)

    def gone(self) -> tuple[tuple[str, str], ...]:
        """Disc members that are none any more, (name, incarnation)."""
        return self.record.gone if self.record is not None else ()

    def forgive(self, servers: Sequence[tuple[str, str]]) -> None:
        """The engine does not know these any more."""
        if self.record is not None and servers:
            left = tuple(each for each in self.record.gone if each not in set(servers))
            self.note(replace(self.record, gone=left))

    def _write(self, record: Record) -> None:
        file.write(self._data, record)
        self.record, self._is_kept = record, True

    def remember(self, record: Record) -> None:
        """This from now on. Raises MqdError when the disc refuses."""
        self._write(record)

    def note(self, record: Record) -> None:
        """`remember` what is known from elsewhere too: while the disc refuses, without it."""
        try:
            self._write(record)
        except MqdError as error:
            if self._is_kept:
                _log.error("%s; it is tried again", error.detail)
            self.record, self._is_kept = record, False

    def stand_at(self, me: Member) -> None:
        """This node is reached there, which may not be in the metadata yet: who asks is told."""
        assert self.record is not None
        self.note(replace(self.record, members={**self.record.members, self.node: me}))

    async def tell_where(self, answers: Mapping[str, pb.MemberFacts]) -> None:
        """Those that wait or start, and look for this node where it was. Who runs hears of it
        through the metadata."""
        if self.record is None or self.node not in self.record.members:
            return
        me = replace(
            self.record.members[self.node],
            host=self.address.host,
            control_port=self.address.control_port,
        )
        stale = [
            name
            for name, facts in answers.items()
            if facts.state != RUNNING and facts.cluster_id == self.record.cluster.id
            for entry in facts.members
            if entry.name == self.node and entry.incarnation == me.incarnation
            if _place(member_of(entry)) != _place(me)
        ]
        for name in stale:
            try:
                await self.peers.tell_address(name, self.record.members.get(name), me)
            except MqdError as error:
                _log.debug("%s is not told where this node is reached: %s", name, error.detail)

    def recall(self, state: State, number: int) -> None:
        """The record was lost: out of the metadata, which says the same. Raises MqdError."""
        me, cluster = state.members.get(self.node), state.cluster
        if me is not None and cluster is not None:
            members = dict(state.members)
            self._write(Record(self.node, cluster, me.kind, me.incarnation, members, number))

    async def serving(self) -> None:
        """The app runs."""
        self.forgotten, self.apart = None, ()
        self.keep()

    def read_again(self) -> None:
        """The files are others than they were."""
        self.forget_all()
        self.record = file.read(self._data)

    def forget_all(self) -> None:
        """The files are gone: the node is alone again."""
        self.record, self.forgotten, self.waits_for, self.apart = None, None, (), ()

    def facts(self, state: AppState) -> pb.MemberFacts:
        """What others are told."""
        reply = pb.MemberFacts(
            node=self.node,
            state=_STATES[state],
            kind=DISC,
            waits_for=self.waits_for,
            forgotten=self.forgotten is not None,
            version=__version__,
            running=self.running(),
        )
        record = self.record
        if record is None or not record.cluster.id:
            return reply
        if self._metadata is not None:
            record = record.follow(
                self._metadata.state.cluster,
                self._metadata.state.members,
                self._metadata.last_number,
            )
        reply.cluster_id = record.cluster.id
        reply.generation, reply.authority = record.cluster.generation, record.cluster.authority
        reply.forks.extend(record.cluster.forks)
        reply.kind, reply.incarnation = record.kind, record.incarnation
        reply.number = record.number
        reply.on_disc = record.kind == DISC
        if reply.state == RUNNING and reply.on_disc:
            reply.ails = self.ails()
            reply.lacks.extend(self.lacks())
        elif reply.on_disc and (before := self.copies) is not None:
            reply.lacks.extend(before.lacks)
            reply.ran_ms = before.at_ms
        reply.members.extend(map(entry_of, record.members.values()))
        return reply

    async def copy(self, cluster_id: str, state: Callable[[], AppState]) -> pb.MetadataCopy:
        """See `MembershipControl`."""
        if self.record is None or self.record.cluster.id != cluster_id:
            raise MqdError(ErrorCode.UNAVAILABLE, f"{self.node} is not of that cluster")
        if (metadata := self._metadata or self.lent) is not None:
            number, lines = await given(metadata)
        else:
            rests = (AppState.STOPPED, AppState.WAITING)
            number, lines = await self.at_rest.give(lambda: state() in rests)
        return pb.MetadataCopy(number=number, lines=lines)

    async def catch_up(self) -> None:
        """With the metadata, which may know more than was written down beside it."""
        if self.record is None or self.record.kind != DISC:
            return
        found = await self.at_rest.look()
        if found is None:  # whatever it was, it knows nothing of it
            if self.record.number:
                self.note(replace(self.record, number=0))
            return
        state, number = found
        self.note(self.record.follow(state.cluster, state.members, number))

    async def take_over(self, node: str) -> None:
        """What that member's metadata has, in place of this one's. Raises MqdError."""
        assert self.record is not None
        record = self.record
        copy = await self.peers.copy(node, record.members.get(node), record.cluster.id)
        _log.warning(
            "%s knows changes to number %d and this node to %d: its disc was restored, or has lost "
            "some; they are taken over from there",
            node, copy[0], record.number,
        )  # fmt: skip
        await self.at_rest.take(copy)
        await self.catch_up()

    @property
    def copies(self) -> Remembered | None:
        """Of quorum queues, here, when the app ran last. None: nothing is known."""
        return remembered(self._data / ENGINE_FOLDER)

    async def survey(self, state: AppState) -> dict[str, pb.MemberFacts | None]:
        """See `MembershipControl`."""
        known = self.facts(state)
        others = [member_of(each) for each in known.members if each.name != self.node]
        answers = await self.peers.ask_all(others)
        return {self.node: known, **{each.name: answers.get(each.name) for each in others}}

    # -- joining and leaving, with the app stopped --------------------------------------------

    async def join(self, target: str, kind: str, wipe: Callable[[str], Awaitable[None]]) -> bool:
        """Become a member of target's cluster; False when this node is one. wipe(text) removes the
        node's data, and has that text in place of the record it kept. Raises MqdError: NOT_FOUND
        when the target does not answer."""
        record = self.record
        if record is not None and record.disc == (self.node,) and record.others:
            raise words.joining_only_disc_node()
        facts = await self._ask(target)
        if facts.state != RUNNING:
            raise MqdError(ErrorCode.UNAVAILABLE, words.MNESIA_NOT_RUNNING)
        if any(each.name == self.node for each in facts.members):
            if not self._agrees(facts) or self._is_ram():
                raise words.inconsistent(target, self.node)
            _log.info("Asked to join a cluster but already a member of it: %s", target)
            return False
        await self.leave()
        me = replace(self._here(), kind=kind, incarnation=new_incarnation())
        admitted = await self.peers.admit(target, None, me, again=False)
        _log.info("Clustering with [%s] as %s node", target, kind)
        joined = record_of(self.node, admitted)
        await wipe(encode(joined))
        self.forget_all()
        self.record, self._is_kept = joined, True
        return True

    async def leave(self) -> None:
        """Have the others strike this node out. Raises MqdError when nobody can."""
        record = self.record
        if record is None or not record.others:
            return
        facts = await self._agreeing(record) or await self._agreeing(record, in_other_part=True)
        disc = [each.name for each in facts.members if each.kind != RAM] if facts else record.disc
        if list(disc) == [self.node]:
            raise words.only_disc_node()
        if facts is None:
            if await self._was_struck_out(record):
                return
            raise words.nobody_to_leave(self._is_ram())
        known = record.members.get(facts.node)
        await self.peers.withdraw(facts.node, known, self.node, record.incarnation)

    async def _was_struck_out(self, record: Record) -> bool:
        """A member that runs does not know this node any more."""
        others = [member for name, member in record.members.items() if name != self.node]
        answers = await self.peers.ask_all(others)
        return any(
            facts.state == RUNNING and facts.cluster_id == record.cluster.id
            for facts in answers.values()
        )

    async def change_type(self, kind: str, wipe: Callable[[], Awaitable[None]]) -> bool:
        """Become the other kind of member: as such a new one, with the messages that it has.
        wipe() removes the node's metadata. False when it is of that kind."""
        record = self.record
        if record is None or not record.cluster.id or not record.others:
            if kind == RAM:
                raise words.not_clustered()
            return False
        if kind == record.kind:
            return False
        facts = await self._agreeing(record)
        disc = [each.name for each in facts.members if each.kind != RAM] if facts else record.disc
        if kind == RAM and list(disc) == [self.node]:
            raise words.only_disc_node()
        if facts is None:
            raise words.nobody_online(self.node, record.members, self._is_ram(), self._answered)
        await self._admit_again(record, facts.node, kind, wipe)
        return True

    async def tell_new_name(self, via: str, wipe: Callable[[], Awaitable[None]]) -> None:
        """The others know this node by its former name."""
        assert self.record is not None
        _log.info("This node was %s and is %s now", self.record.former, self.node)
        await self._admit_again(self.record, via, self.record.kind, wipe)

    async def rejoin(self, via: str, wipe: Callable[[], Awaitable[None]]) -> None:
        """Become a member anew: the cluster went on without this node."""
        assert self.record is not None
        _log.warning(
            "The cluster began a new generation without this node, which joins it again through "
            "%s; what only this node's metadata had is dropped", via,
        )  # fmt: skip
        await self._admit_again(self.record, via, self.record.kind, wipe)

    async def _admit_again(
        self, record: Record, via: str, kind: str, wipe: Callable[[], Awaitable[None]]
    ) -> None:
        me = replace(self._here(), kind=kind, incarnation=record.incarnation)
        admitted = await self.peers.admit(
            via, record.members.get(via), me, again=True, former=record.former
        )
        # The record first: what is left beside it says, if this ends here, that it must be done
        # again; without metadata the old one would claim to know what it knew.
        self._write(record_of(self.node, admitted))
        await wipe()
        # copies of logs are an incarnation's
        await asyncio.to_thread(shutil.rmtree, self._data / ENGINE_FOLDER, True)

    def _here(self) -> Member:
        """With the port that will be listened on, so that the others know it before."""
        link = free_port(self.address, None)
        route = free_port(self.address, None, (link,))
        return replace(self.address, link_port=link, route_port=route)

    async def update_nodes(self, target: str) -> None:
        """Learn the members from another node."""
        facts = await self._ask(target)
        if facts.state != RUNNING:
            raise MqdError(ErrorCode.UNAVAILABLE, words.MNESIA_NOT_RUNNING)
        mine = [each for each in facts.members if each.name == self.node]
        if not mine:
            raise words.inconsistent_update()
        if self.record is None or not self._agrees(facts):
            # it was reset and they do not know: what they have of it is another incarnation's
            me = replace(self._here(), kind=mine[0].kind, incarnation=mine[0].incarnation)
            admitted = await self.peers.admit(target, None, me, again=True)
            self._write(record_of(self.node, admitted))
        else:
            members = members_of(facts.members)
            self._write(replace(self.record, members=members, seeds=(target,)))

    def _is_ram(self) -> bool:
        """One that does not run has forgotten whom it was clustered with (observed: 3.10.8)."""
        return self.record is not None and self.record.kind == RAM

    def _agrees(self, facts: pb.MemberFacts, in_other_part: bool = False) -> bool:
        """Whether both sides take this node for the same member of the same cluster, or of the part
        of it that went on without this node's."""
        record = self.record
        if record is None or record.cluster.id != facts.cluster_id or not facts.cluster_id:
            return False
        if in_other_part is not (relation(record.cluster, cluster_of(facts)) is Relation.APART):
            return False
        mine = [each for each in facts.members if each.name == self.node]
        return bool(mine) and mine[0].incarnation in ("", record.incarnation)

    async def _agreeing(self, record: Record, in_other_part: bool = False) -> pb.MemberFacts | None:
        """A member that runs and takes this node for one: the one with the latest metadata."""
        others = [member for name, member in record.members.items() if name != self.node]
        answers = await self.peers.ask_all(others)
        self._answered = bool(answers)
        agreeing = [
            each
            for each in answers.values()
            if each.state == RUNNING and self._agrees(each, in_other_part)
        ]
        return max(
            agreeing,
            key=lambda each: (each.generation, each.kind == DISC, each.number),
            default=None,
        )

    async def _ask(self, target: str) -> pb.MemberFacts:
        known = self.record.members.get(target) if self.record is not None else None
        try:
            return await self.peers.ask(target, known)
        except Unreachable as problem:
            raise MqdError(ErrorCode.NOT_FOUND, problem.detail) from problem


def _place(member: Member) -> tuple[str, int, int, int]:
    return member.host, member.control_port, member.link_port, member.route_port


def record_of(node: str, admitted: pb.AdmitMemberReply) -> Record:
    """Of a node that was just admitted, with nothing of the metadata yet."""
    members: Mapping[str, Member] = members_of(admitted.members)
    me = members[node]
    return Record(node, cluster_of(admitted), me.kind, me.incarnation, members)
