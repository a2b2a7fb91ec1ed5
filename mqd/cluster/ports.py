"""What the parts of a cluster need of each other.

Decides the protocols between the links among nodes, the engine, the order of commands and the
shards, so that each can be built and tested with a stand-in for the others. Never implements one:
`links`, `engine`, `ledger` and `shards` do. All calls are made on the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mqd.errors import PeerDown as PeerDown
from mqd.metadata.commands import Member

Take = Callable[[str, bytes], None]  # (node it came from, payload)
Answer = Callable[[str, bytes], Awaitable[bytes]]


class Mesh(Protocol):
    """Links to the other members that run. A link is ordered and loses nothing while it is up; when
    it goes down nothing that was under way arrives later, and the node on the other end of the
    next link may be another process (`epoch`)."""

    node: str

    @property
    def up(self) -> Sequence[str]:
        """Names of the linked members, without this node."""

    def epoch(self, node: str) -> int:
        """Of the linked process: another number after each start of it."""

    def send(self, node: str, service: str, payload: bytes) -> bool:
        """False when there is no link. Written at the end of the turn, with what else there is."""

    def broadcast(self, service: str, payload: bytes) -> None:
        """`send` to all linked members."""

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float) -> bytes:
        """Raises PeerDown, TimeoutError, and MqdError as the answering side raised it."""

    def take(self, service: str, handler: Take) -> Callable[[], None]:
        """What is sent to a service goes there; returns how to end that."""

    def answer(self, service: str, handler: Answer) -> Callable[[], None]:
        """What is requested of a service is answered by it; returns how to end that."""

    def on_change(self, hear: Callable[[str, bool], None]) -> Callable[[], None]:
        """hear(node, is up) after a link came or went; returns how to end that."""

    def congested(self, node: str) -> bool:
        """So much waits to be written to it that senders who can wait should."""

    def on_relief(self, node: str, call: Callable[[], None]) -> None:
        """Once, when it is congested no more or the link is gone."""

    def use_members(self, members: Mapping[str, Member]) -> None:
        """Link to these and no others; links to those that are gone end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a log of the engine."""

    seq: int
    subject: str
    data: bytes


@dataclass(frozen=True, slots=True)
class LogInfo:
    """leader: member name, None while there is none; current: members with an up-to-date copy;
    lags: how many entries the copies of others lack, as far as that is known."""

    first_seq: int
    last_seq: int
    leader: str | None
    replicas: int
    current: Sequence[str]
    lags: Mapping[str, int] = field(default_factory=dict)


class Stale(Exception):
    """An append named a sequence that is not the log's last: somebody else has written."""


class NoMajority(Exception):
    """The engine cannot decide now: no leader, no majority, or no answer. Outcome unknown."""


class Engine(Protocol):
    """The replicated logs of the disc members (one nats-server child each). Every call may raise
    NoMajority."""

    async def create(
        self, log: str, *, replicas: int, first_seq: int = 1, tells: bool = False
    ) -> None:
        """A log, unless there is one of that name. Subjects are `<log>.*`. tells: each entry is
        sent to `follow` of all nodes."""

    async def delete(self, log: str) -> None: ...

    async def append(
        self, log: str, subject: str, data: bytes, *, after: int | None = None, unique: str = ""
    ) -> int:
        """Permanent on a majority on return; its sequence. after: what the last one must be, else
        Stale. unique: an id by which a repeated append is answered with the first's sequence."""

    def submit(
        self, subject: str, data: bytes, *, after: int | None = None, unique: str = ""
    ) -> asyncio.Future[int]:
        """For many appends under way: sent in the order of calls, never again. The future always
        ends, as `append` does."""

    async def append_all(self, log: str, subject: str, data: Sequence[bytes], after: int) -> int:
        """All or none, in a row; the sequence of the last. Raises Stale."""

    async def read(self, log: str, from_seq: int, count: int) -> Sequence[Entry]:
        """From the local copy or the leader's, in order; purged ones are skipped."""

    async def info(self, log: str) -> LogInfo: ...

    async def purge(self, log: str, *, before: int, subject: str | None = None) -> None:
        """Drop entries below a sequence, of one subject or of all."""

    async def remove(self, log: str, seq: int) -> None:
        """Drop one entry."""

    def follow(self, log: str, hear: Callable[[Entry], None]) -> Callable[[], None]:
        """Entries of a log that tells, as they become permanent. Gaps are possible: sequences show
        them. Returns how to end that."""

    def on_leader(self, hear: Callable[[str, str | None], None]) -> Callable[[], None]:
        """hear(log, member that leads it now or None)."""

    async def lead(self, log: str, member: str) -> None:
        """Have that member lead it."""

    async def attended(self, member: str) -> bool:
        """Whether that member's daemon answers over the engine, whatever the links say."""

    async def set_replicas(self, log: str, replicas: int, on: str | None = None) -> None:
        """Returns once settled. on: with 1 replica, the member that keeps it."""

    async def remove_member(self, name: str, incarnation: str) -> None:
        """It has no vote any more, and none of its copies counts."""

    async def rescue(self, lost: Sequence[tuple[str, str]]) -> None:
        """This member alone goes on: the others, (name, incarnation), are removed."""

    @property
    def leads(self) -> Mapping[str, str | None]:
        """The leader of each log as last heard."""


class ShardHomes(Protocol):
    """Which member writes each shard, and so is the home of its queues. Every member knows, ram
    members too (`mqd.cluster.shards.whereabouts`)."""

    def home_of(self, shard: int) -> str | None:
        """None: nobody is known to write it now."""

    def on_move(self, hear: Callable[[int], None]) -> Callable[[], None]:
        """hear(shard) after its home changed and `VHost.rehome` was called for its queues here;
        returns how to end that."""
