"""Why a connection is read no further for now, and when it is read on.

Theory. Six things stop the reading of a connection: an answer that waits for the disc, an alarm
that holds a publisher, a peer that does not read what it asked for, a disc that is slower than a
publisher, another node that is, and others whose turn it is. Each ends by itself; frames
are looked at again, and the socket is read again, when the last of them has ended.

An answer may be long in coming: a queue of the cluster may have no home for a while. So the socket
is read on while nothing but an answer is waited for, and little comes: that is how its end is
noticed. What a client sent before it left is handled first.

Decides that. Never decides when one of them begins: the session does.
"""

from __future__ import annotations

import asyncio
from typing import Final

from mqd import limits
from mqd.amqp.connection import Connection

ANSWER: Final = 1
ALARM: Final = 2
PEER: Final = 4
FLOW: Final = 8
TURN: Final = 16
LINKS: Final = 32


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
        if self._reasons != ANSWER:
            self._transport.pause_reading()

    def received(self) -> None:
        """Something came while it is shut."""
        if self._connection.set_aside_bytes > limits.READ_BYTES_MAX:
            self._transport.pause_reading()

    def end(self) -> bool:
        """The peer sends nothing more. Whether what it sent waits to be handled: the socket is
        closed after that (over TLS it cannot be kept)."""
        self._ended = self._transport.get_extra_info("sslcontext") is None
        return self._ended and self._reasons != 0 and self._connection.set_aside_bytes > 0

    def is_shut(self, reason: int) -> bool:
        return bool(self._reasons & reason)

    def open(self, reason: int) -> None:
        """The reason is gone; frames that waited for the last one are handled now."""
        self._reasons &= ~reason
        if not self._reasons:
            self._connection.resume()
        if self._reasons:
            return  # one of these frames shut it again
        if self._ended:
            self._connection.outlet.turn.later.append(self._transport.close)  # behind the answers
        else:
            self._transport.resume_reading()

    def give_up(self) -> None:
        """The connection is being closed: read on, for close-ok."""
        self._reasons = 0
        self._transport.resume_reading()
