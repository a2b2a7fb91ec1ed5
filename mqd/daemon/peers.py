"""What other nodes answer when they are asked who they are, and the two things asked of them.

Decides how many are asked at a time and how long for. Never decides what follows from an answer
(`mqd.cluster.membership.start` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from mqd.cluster.membership.record import DISC
from mqd.cluster.membership.start import STOPPED, Seen
from mqd.daemon.contact import Address, Contact, Reply, Unreachable
from mqd.errors import ErrorCode, MqdError
from mqd.limits import PEER_ANSWER_S, PEER_CHANGE_S
from mqd.metadata.commands import ClusterRecord, Member
from mqd.rpc.v1 import membership_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

_SERVICE = "/mqd.rpc.v1.Membership/"


class Peers:
    """The other nodes, over their control ports."""

    def __init__(self, cookie: str, default_port: int) -> None:
        self._contact = Contact(cookie, default_port)

    async def ask(
        self, node: str, member: Member | None = None, within_s: float = PEER_ANSWER_S
    ) -> pb.MemberFacts:
        """member: what is known of it. Raises Unreachable."""
        try:
            return await self._contact.call(
                node, f"{_SERVICE}Probe", pb.ProbeMember(), pb.MemberFacts, within_s,
                _address(member),
            )  # fmt: skip
        except MqdError as error:
            raise Unreachable(error.detail) from error

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
        self, node: str, known: Member | None, me: Member, again: bool
    ) -> pb.AdmitMemberReply:
        """Have a running member make `me` one. Raises MqdError."""
        request = pb.AdmitMember(member=entry_of(me), again=again)
        return await self._change(node, known, "Admit", request, pb.AdmitMemberReply)

    async def withdraw(self, node: str, known: Member | None, me: str, incarnation: str) -> None:
        """Have a running member strike `me` out. Raises MqdError."""
        request = pb.WithdrawMember(name=me, incarnation=incarnation)
        await self._change(node, known, "Withdraw", request, Done)

    async def _change(
        self, node: str, known: Member | None, rpc: str, request: Message, reply: type[Reply]
    ) -> Reply:
        try:
            return await self._contact.call(
                node, _SERVICE + rpc, request, reply, PEER_CHANGE_S, _address(known)
            )
        except Unreachable as problem:
            text = f"node {node} does not answer: {problem}"
            raise MqdError(ErrorCode.UNAVAILABLE, text) from problem


def _address(member: Member | None) -> Address | None:
    if member is None or not member.control_port:
        return None
    return member.host, member.control_port


def seen(facts: pb.MemberFacts) -> Seen:
    """As `decide` wants it."""
    cluster = None
    if facts.cluster_id:
        cluster = ClusterRecord(facts.cluster_id, facts.generation, facts.authority)
    return Seen(
        facts.node,
        facts.state or STOPPED,
        cluster,
        facts.kind or DISC,
        facts.incarnation,
        {each.name: each.incarnation for each in facts.members},
        facts.number,
    )


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
