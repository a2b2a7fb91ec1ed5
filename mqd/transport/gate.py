"""Why a connection is read no further for now, and when it is read on.

Theory. Six things stop the reading of a connection: an alarm that holds a publisher, a peer that
does not read what it asked for, a disc that is slower than a publisher, another node that is,
others whose turn it is, and much that is kept for channels that wait for an answer. Each ends by
itself; frames are looked at again, and the socket is read again, when the last of them has ended.

The last one is of another kind. Channels wait one by one (`mqd.amqp.waiting`), and what was read is
handled or kept; only the socket is read no more when more is kept than `limits.KEPT_BYTES_MAX`. An
answer may be long in coming, since a queue of the cluster may have no home for a while: a client
that publishes on without it would fill the memory. That holds back its other channels too
(RabbitMQ: credit between reader and channel), and ends when half of it is handled.

While less is kept the socket is read, so its end is noticed. What a client sent before it left is
handled first.

Decides that. Never decides when one of the others begins: the session does.
"""

from __future__ import annotations

import asyncio
from typing import Final

from mqd import limits
from mqd.amqp.connection import Connection

ALARM: Final = 1
PEER: Final = 2
FLOW: Final = 4
TURN: Final = 8
LINKS: Final = 16
KEPT: Final = 32
_ANY: Final = 63


class Gate:
    """The way in of one connection."""

    __slots__ = ("_connection", "_ended", "_reasons", "_transport")

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._reasons = 0
        self._ended = False  # the peer sends nothing more

    def shut(self, reason: int) -> None:
        """Handle no frame behind this one. Twice is once."""
        self._reasons |= reason
        self._connection.pause()
        self._transport.pause_reading()

    def end(self) -> bool:
        """The peer sends nothing more. Whether what it sent waits to be handled: the socket is
        closed after that (over TLS it cannot be kept)."""
        self._ended = self._transport.get_extra_info("sslcontext") is None
        return self._ended and self._connection.has_more

    def is_shut(self, reason: int = _ANY) -> bool:
        return bool(self._reasons & reason)

    def open(self, reason: int) -> None:
        """The reason is gone; frames that waited for the last one are handled now."""
        self._reasons &= ~reason
        if not self.is_shut(_ANY - KEPT):
            self._connection.resume()
        self.look()

    def look(self) -> None:
        """Something was kept, or what was kept was handled: read on, or do not."""
        kept_bytes = self._connection.waiting.kept_bytes
        if kept_bytes > limits.KEPT_BYTES_MAX:
            self._reasons |= KEPT
            self._transport.pause_reading()
        elif 2 * kept_bytes <= limits.KEPT_BYTES_MAX:
            self._reasons &= ~KEPT
        if self._reasons:
            return
        if not self._ended:
            self._transport.resume_reading()
        elif not self._connection.has_more:
            self._connection.outlet.turn.later.append(self._transport.close)  # behind the answers

    def give_up(self) -> None:
        """The connection is being closed: read on, for close-ok."""
        self._reasons = 0
        self._transport.resume_reading()
