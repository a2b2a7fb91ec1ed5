"""The way out to one node: records gather for a turn and go as the link takes them.

Theory. A link that is given more than it can write is cut by `mqd.cluster.links`, for a node that
does not read. What one turn makes may be more than that and is no fault of the other node: a commit
of a large transaction, a large message for many. So what the link does not take now waits here, in
order, and those who can wait are asked to (`congested`).

Decides in which pieces records go, and when. Never cuts one, and never keeps what a link that ended
did not take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mqd.amqp.outlet import Outlet
from mqd.cluster.ports import Mesh
from mqd.cluster.queues.wire import SERVICE

if TYPE_CHECKING:
    from mqd.broker.broker import Broker

_PIECE_BYTES: Final = 1_048_576


class Line:
    """See the file's charter. `write` takes a record."""

    def __init__(self, broker: Broker, mesh: Mesh, node: str) -> None:
        self.node = node
        self._mesh = mesh
        self._turn = broker.turn
        self._outlet = Outlet(broker.turn, self._flush)
        self.write = self._outlet.write
        self._waiting: deque[bytes] = deque()  # pieces
        self._is_asked = False  # the link calls when it takes more
        self._relief: list[Callable[[], None]] = []

    def _flush(self) -> None:
        frames = self._outlet.frames
        piece: list[bytes] = []
        size = 0
        for frame in frames:
            piece.append(frame)
            size += len(frame)
            if size >= _PIECE_BYTES:
                self._waiting.append(b"".join(piece))
                piece, size = [], 0
        frames.clear()
        if piece:
            self._waiting.append(b"".join(piece))
        self._send()

    def _send(self) -> None:
        waiting = self._waiting
        while waiting and not self._mesh.congested(self.node):
            self._mesh.send(self.node, SERVICE, waiting.popleft())
        if waiting and not self._is_asked:
            self._is_asked = True
            self._mesh.on_relief(self.node, self._go_on)

    def _go_on(self) -> None:
        self._is_asked = False
        self._send()
        if not self.congested:
            relief, self._relief = self._relief, []
            for call in relief:
                call()
            self._turn.end_soon()

    @property
    def congested(self) -> bool:
        """Who can wait should."""
        return bool(self._waiting) or self._mesh.congested(self.node)

    def on_relief(self, call: Callable[[], None]) -> None:
        """Once, when it is so no more; never when the link ends before."""
        self._relief.append(call)
        if not self._is_asked:
            self._is_asked = True
            self._mesh.on_relief(self.node, self._go_on)

    def drop(self) -> None:
        """The link is gone, and all that was to go with it."""
        self._outlet.frames.clear()
        self._waiting.clear()
        self._relief.clear()
