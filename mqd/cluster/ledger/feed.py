"""The serving half: entries for those who lag or follow, and their proposals.

Decides how far each follower is and what it is sent next: from memory, else from this node's log,
else a snapshot. Only what is settled is sent: a follower is never ahead of whoever orders. Never
decides an order: a proposal goes to the store, whoever orders there.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mqd.cluster.ledger import wire
from mqd.cluster.ledger.members import history_of
from mqd.cluster.ledger.timers import Later
from mqd.cluster.ports import Mesh
from mqd.errors import MqdError
from mqd.limits import FEED_BACKLOG_ENTRIES, FEED_BYTES
from mqd.metadata.commands import decode_line
from mqd.metadata.log import Proposed
from mqd.metadata.store import MetadataStore

_RETRY_S = 0.1  # what is settled and neither in memory nor on disc is on its way there


@dataclass(slots=True, eq=False)
class _Reader:
    """A follower. snapshot: (number, its bytes, how many were sent)."""

    node: str
    token: int
    history: str  # that `next` belongs to
    next: int
    waits: bool = False  # for the disc, for room on the link, or for a snapshot
    greeted: bool = False  # it knows how far this node was
    snapshot: tuple[int, bytes, int] | None = None


class Feed:
    """One node's, as long as it is a member. accepts_proposals: of others, for its own orderer."""

    def __init__(self, mesh: Mesh, store: MetadataStore, later: Later) -> None:
        self.accepts_proposals = False
        self._mesh = mesh
        self._store = store
        self._later = later
        self._head = store.last_number if not store.orders_here else store.written_number
        self._backlog: deque[Proposed] = deque(maxlen=FEED_BACKLOG_ENTRIES)
        self._readers: dict[str, _Reader] = {}
        self._to_pump = False
        self._stops = [
            mesh.take(wire.HELLO, self._hello),
            mesh.take(wire.PROPOSE, self._propose),
            mesh.on_change(self._changed),
        ]

    def close(self) -> None:
        for stop in self._stops:
            stop()
        self._readers.clear()

    # what the store tells

    def settled(self, lines: Sequence[Proposed]) -> None:
        """Entries that may be sent."""
        if not lines:
            return
        if self._backlog and self._backlog[-1].number + 1 != lines[0].number:
            self._backlog.clear()
        self._backlog += lines
        self._head = lines[-1].number
        if self._readers and not self._to_pump:
            self._to_pump = True
            self._later(0.0, self._pump_all)

    def _pump_all(self) -> None:
        """What was settled in one turn goes in one message."""
        self._to_pump = False
        for reader in list(self._readers.values()):
            self._pump(reader)

    def replaced(self) -> None:
        """The store is where another node was. A follower that is there too, or further, needs
        nothing: two nodes may follow each other."""
        self._backlog.clear()
        self._head = self._store.last_number
        history = history_of(self._store.state)
        for reader in list(self._readers.values()):
            if reader.history != history or reader.next <= self._head:
                self._begin_snapshot(reader)

    # followers

    def _changed(self, node: str, is_up: bool) -> None:
        if not is_up:
            self._readers.pop(node, None)

    def _hello(self, node: str, payload: bytes) -> None:
        hello = wire.unpack_hello(payload)
        if not hello.wants:
            self._readers.pop(node, None)
            return
        reader = _Reader(node, hello.token, hello.history, hello.after + 1)
        self._readers[node] = reader
        if hello.history == history_of(self._store.state):
            self._pump(reader)
        else:
            self._begin_snapshot(reader)

    def _pump(self, reader: _Reader) -> None:
        """Send what can be sent."""
        while not reader.waits and self._readers.get(reader.node) is reader:
            if self._mesh.congested(reader.node):
                reader.waits = True
                self._mesh.on_relief(reader.node, functools.partial(self._go_on, reader))
            elif reader.snapshot is not None:
                if reader.snapshot[0] > self._head:
                    return  # not settled yet
                self._send_part(reader, *reader.snapshot)
            elif reader.next > self._head:
                if not reader.greeted:
                    self._send(reader, ())
                return
            elif self._backlog and self._backlog[0].number <= reader.next:
                self._send(reader, self._from_memory(reader.next))
            else:
                reader.waits = True
                call = functools.partial(self._from_disc, reader)
                self._store.tail(reader.next - 1, FEED_BYTES, call)

    def _go_on(self, reader: _Reader) -> None:
        reader.waits = False
        self._pump(reader)

    def _from_memory(self, first: int) -> Sequence[Proposed]:
        start = first - self._backlog[0].number
        lines: list[Proposed] = []
        size = 0
        for index in range(start, len(self._backlog)):
            line = self._backlog[index]
            lines.append(line)
            size += len(line.line)
            if size >= FEED_BYTES:
                break
        return lines

    def _from_disc(self, reader: _Reader, found: Sequence[Proposed] | None) -> None:
        if self._readers.get(reader.node) is not reader or reader.snapshot is not None:
            return
        settled = [line for line in found or () if line.number <= self._head]
        if found is None or (settled and settled[0].number != reader.next):
            self._begin_snapshot(reader)
        elif settled:
            self._send(reader, settled)
            self._go_on(reader)
        else:
            self._later(_RETRY_S, functools.partial(self._go_on, reader))

    def _send(self, reader: _Reader, lines: Sequence[Proposed]) -> None:
        plain = [each.line for each in lines]
        payload = wire.pack_entries(reader.token, self._head, reader.next, plain)
        reader.greeted = True
        reader.next += len(lines)
        self._mesh.send(reader.node, wire.ENTRIES, payload)

    def _begin_snapshot(self, reader: _Reader) -> None:
        reader.waits = True
        reader.snapshot = None
        self._store.with_snapshot(functools.partial(self._have_snapshot, reader))

    def _have_snapshot(self, reader: _Reader, number: int, data: bytes) -> None:
        reader.history = history_of(self._store.state)
        reader.snapshot = (number, data, 0)
        reader.next = number + 1
        self._go_on(reader)

    def _send_part(self, reader: _Reader, number: int, data: bytes, sent: int) -> None:
        end = sent + FEED_BYTES
        is_last = end >= len(data)
        part = wire.Part(reader.token, number, sent, is_last, data[sent:end])
        reader.greeted = False  # what follows it says how far this node is
        reader.snapshot = None if is_last else (number, data, end)
        self._mesh.send(reader.node, wire.SNAPSHOT, wire.pack_part(part))

    # proposals

    def _propose(self, node: str, payload: bytes) -> None:
        if not self.accepts_proposals:
            return  # it will ask whoever can, when it has heard who that is
        for line in payload.decode().splitlines():
            try:
                proposal = decode_line(line).proposal
            except MqdError:
                continue  # of a newer mqd, which gives up after a time
            self._store.propose_line(proposal, line, self._refuses(node, proposal))

    def _refuses(self, node: str, proposal: str) -> Callable[[Exception | None], None]:
        """`done` of a proposal that is somebody else's: its entry tells when it was accepted."""

        def done(error: Exception | None) -> None:
            if isinstance(error, MqdError):
                payload = wire.pack_refusal(proposal, self._store.last_number, error)
                self._mesh.send(node, wire.REFUSE, payload)

        return done
