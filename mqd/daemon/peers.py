"""What other nodes answer when they are asked who they are, and the two things asked of them.

Theory. A member may come back at another control port, and whom it would tell is down. So it is
looked for where it was, then at the ports that are likely: this node's own, those of the other
members, and the usual one. Who answers proves by the cookie which node it is. Two that both come
back at ports that are none of these do not find each other: who waits says where it looks.

Decides how many are asked at a time and how long for. Never decides what follows from an answer
(`mqd.cluster.membership.start` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from mqd.cluster import handshake
from mqd.cluster.handshake import Message, Reply, Unreachable
from mqd.cluster.membership.record import DISC
from mqd.cluster.membership.start import STOPPED, Seen
from mqd.daemon.at_rest import Copy
from mqd.errors import ErrorCode, MqdError
from mqd.limits import PEER_ANSWER_S, PEER_CHANGE_S, PEER_PLACES_MAX
from mqd.metadata.commands import ClusterRecord, Member
from mqd.rpc.v1 import membership_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

PORT_DEFAULT: Final = 25_672  # of a node whose port is not known
_SERVICE = "/mqd.rpc.v1.Membership/"
_ELSEWHERE = (handshake.Why.NO_HOST, handshake.Why.REFUSED, handshake.Why.OTHER_NODE)


class Peers:
    """The other nodes, over their control ports."""

    def __init__(self, cookie: str, port_default: int) -> None:
        self._cookie = cookie
        self._port_default = port_default
        self.usual: Callable[[], Iterable[int]] = lambda: ()  # ports that others have

    def places(self, known: Member | None) -> Sequence[tuple[str | None, int]]:
        """(host, port) in the order in which a node is looked for; None: the host of its name."""
        ports = [self._port_default, *self.usual(), PORT_DEFAULT]
        if known is None or not known.control_port:
            return [(None, self._port_default)]
        there = (known.host or None, known.control_port)
        others = [(None, port) for port in dict.fromkeys(ports) if port != there[1]]
        return [there, *others[:PEER_PLACES_MAX]]

    async def ask(
        self, node: str, member: Member | None = None, within_s: float = PEER_ANSWER_S
    ) -> pb.MemberFacts:
        """member: what is known of it. Raises Unreachable."""
        try:
            return await self._call(
                node, member, "Probe", pb.ProbeMember(), pb.MemberFacts, within_s
            )
        except MqdError as error:  # one that answers and tells nothing of itself is none
            raise Unreachable(node, handshake.Why.OTHER_NODE, error.detail) from error

    async def tell_address(self, node: str, known: Member | None, me: Member) -> None:
        """Have a member know where this node is reached: write it down, if it runs. Raises
        MqdError."""
        await self._change(node, known, "Move", pb.MoveMember(member=entry_of(me)), Done)

    async def ask_all(self, members: Iterable[Member]) -> dict[str, pb.MemberFacts]:
        """Those that answer."""

        async def one(member: Member) -> pb.MemberFacts | None:
            try:
                return await self.ask(member.name, member)
            except Unreachable:
                return None

        asked = list(members)
        answers = await asyncio.gather(*map(one, asked))
        return {
            member.name: facts
            for member, facts in zip(asked, answers, strict=True)
            if facts is not None
        }

    async def admit(
        self, node: str, known: Member | None, me: Member, again: bool, former: str = ""
    ) -> pb.AdmitMemberReply:
        """Have a running member make `me` one. Raises MqdError."""
        request = pb.AdmitMember(member=entry_of(me), again=again, former=former)
        return await self._change(node, known, "Admit", request, pb.AdmitMemberReply)

    async def copy(self, node: str, known: Member | None, cluster_id: str) -> Copy:
        """A member's metadata, whether it runs or not. Raises MqdError."""
        request = pb.CopyMetadata(cluster_id=cluster_id)
        reply = await self._change(node, known, "Copy", request, pb.MetadataCopy)
        return reply.number, reply.lines

    async def withdraw(self, node: str, known: Member | None, me: str, incarnation: str) -> None:
        """Have a running member strike `me` out. Raises MqdError."""
        request = pb.WithdrawMember(name=me, incarnation=incarnation)
        await self._change(node, known, "Withdraw", request, Done)

    async def _change(
        self, node: str, known: Member | None, rpc: str, request: Message, reply: type[Reply]
    ) -> Reply:
        try:
            return await self._call(node, known, rpc, request, reply, PEER_CHANGE_S)
        except Unreachable as problem:
            text = f"node {node} does not answer: {problem.detail}"
            raise MqdError(ErrorCode.UNAVAILABLE, text) from problem

    async def _call(
        self,
        node: str,
        known: Member | None,
        rpc: str,
        request: Message,
        reply: type[Reply],
        timeout_s: float,
    ) -> Reply:
        first: Unreachable | None = None
        nowhere: set[str | None] = set()  # names that nobody knows
        for host, port in self.places(known):
            if host in nowhere:
                continue
            try:
                return await handshake.call(
                    node,
                    _SERVICE + rpc,
                    request,
                    reply,
                    cookie=self._cookie,
                    port_default=port,
                    timeout_s=timeout_s,
                    host=host,
                    actor="peer",
                )
            except Unreachable as problem:
                first = first or problem
                if problem.why is handshake.Why.NO_HOST:
                    nowhere.add(host)
                if problem.was_asked or problem.why not in _ELSEWHERE:
                    break
        assert first is not None
        raise first


def seen(facts: pb.MemberFacts) -> Seen:
    """As `decide` wants it."""
    return Seen(
        facts.node,
        facts.state or STOPPED,
        cluster_of(facts) if facts.cluster_id else None,
        facts.kind or DISC,
        facts.incarnation,
        {each.name: each.incarnation for each in facts.members},
        facts.number,
    )


def cluster_of(facts: pb.MemberFacts | pb.AdmitMemberReply) -> ClusterRecord:
    """The cluster that it tells of. numbers are not told."""
    forks = tuple(facts.forks)
    return ClusterRecord(facts.cluster_id, facts.generation, facts.authority, forks=forks)


def entry_of(member: Member) -> pb.MemberEntry:
    return pb.MemberEntry(
        name=member.name,
        incarnation=member.incarnation,
        number=member.number,
        kind=member.kind,
        host=member.host,
        control_port=member.control_port,
        link_port=member.link_port,
        route_port=member.route_port,
    )


def member_of(entry: pb.MemberEntry) -> Member:
    return Member(
        name=entry.name,
        incarnation=entry.incarnation,
        number=entry.number,
        kind=entry.kind or DISC,
        host=entry.host,
        control_port=entry.control_port,
        link_port=entry.link_port,
        route_port=entry.route_port,
    )


def members_of(entries: Iterable[pb.MemberEntry]) -> Mapping[str, Member]:
    return {each.name: member_of(each) for each in entries}
