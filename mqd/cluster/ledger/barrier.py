"""Who has applied what: a change is answered when all members that run know of it.

Decides for whom an answer waits and for how long: for every linked member, BARRIER_S at most. A
member that did not tell by then is suspected and waited for no more, until it has caught up with
what it was late for. Never decides what is applied.

Every node tells all linked ones how far it is, once per turn in which it got further; with it comes
how far its disc is, which says what nobody needs to be sent any more.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from mqd.cluster.ledger.timers import Cancel, Later
from mqd.cluster.ledger.wire import ACK, pack_ack, unpack_ack
from mqd.cluster.ports import Mesh
from mqd.limits import BARRIER_S, WRITTEN_TOLD_S
from mqd.metadata.store import MetadataStore

_log = logging.getLogger(__name__)


@dataclass(order=True, slots=True)
class _Wait:
    number: int
    count: int  # keeps those of one number in order
    call: Callable[[], None] = field(compare=False)
    cancel: Cancel = field(compare=False)


class Barrier:
    """One node's. end_turn() is called after entries were applied, before others are told."""

    def __init__(
        self, mesh: Mesh, store: MetadataStore, later: Later, end_turn: Callable[[], None]
    ) -> None:
        self.written: dict[str, int] = {}  # as last told, also of members that are away
        self._mesh = mesh
        self._store = store
        self._later = later
        self._end_turn = end_turn
        self._applied: dict[str, int] = {}
        self._suspected: dict[str, int] = {}  # until they are that far
        self._waits: list[_Wait] = []
        self._counts = itertools.count()
        self._to_tell = False
        self._told_written = 0
        self._stops = [mesh.take(ACK, self._take), mesh.on_change(self._changed)]
        self._telling_later = False
        for node in mesh.up:
            self._changed(node, True)

    @property
    def suspected(self) -> frozenset[str]:
        """Linked members for whom nobody waits."""
        return frozenset(self._suspected)

    def close(self) -> None:
        """Whoever waits is answered."""
        for stop in self._stops:
            stop()
        waits, self._waits = self._waits, []
        for wait in sorted(waits):
            wait.cancel()
            wait.call()

    def applied(self, number: int) -> None:
        """This node is that far."""
        if not self._to_tell:
            self._to_tell = True
            self._later(0.0, self._tell)

    def wrote(self) -> None:
        """This node's disc is further. Told with what is applied, and when nothing more is."""
        if not self._telling_later and self._told_written < self._store.written_number:
            self._telling_later = True
            self._later(WRITTEN_TOLD_S, self._tell_written)

    def wait(self, number: int, call: Callable[[], None]) -> None:
        """`call` when all for whom an answer waits have applied the entry, maybe at once."""
        if self._floor() >= number:
            call()
            return
        cancel = self._later(BARRIER_S, lambda: self._overdue(number))
        heapq.heappush(self._waits, _Wait(number, next(self._counts), call, cancel))

    def _floor(self) -> float:
        awaited = [node for node in self._mesh.up if node not in self._suspected]
        return min((self._applied.get(node, -1) for node in awaited), default=float("inf"))

    def _check(self) -> None:
        floor = self._floor()
        while self._waits and self._waits[0].number <= floor:
            wait = heapq.heappop(self._waits)
            wait.cancel()
            wait.call()

    def _overdue(self, number: int) -> None:
        for node in self._mesh.up:
            if self._applied.get(node, -1) < number:
                if node not in self._suspected:
                    _log.info("changes are answered before node %s has them: it is late", node)
                self._suspected[node] = max(number, self._suspected.get(node, 0))
        self._check()

    def _take(self, node: str, payload: bytes) -> None:
        applied, self.written[node] = unpack_ack(payload)
        self._applied[node] = applied
        if node in self._suspected and applied >= self._suspected[node]:
            del self._suspected[node]
            _log.info("node %s is waited for again: it has the changes it was late with", node)
        self._check()

    def _changed(self, node: str, is_up: bool) -> None:
        for table in (self._applied, self._suspected):
            table.pop(node, None)
        if is_up:
            self._mesh.send(node, ACK, self._ack())
        else:
            self._check()

    def _ack(self) -> bytes:
        self._told_written = self._store.written_number
        return pack_ack(self._store.last_number, self._told_written)

    def _tell(self) -> None:
        self._to_tell = False
        self._end_turn()
        self._mesh.broadcast(ACK, self._ack())

    def _tell_written(self) -> None:
        self._telling_later = False
        if self._told_written != self._store.written_number:
            self._mesh.broadcast(ACK, self._ack())
