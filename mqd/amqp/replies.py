"""Reply codes, and which of them end a channel and which a connection.

Decides the code names and the exceptions the protocol and the broker raise for AMQP faults.
Never decides wording: whoever knows the fault writes it. Source: AMQP 0-9-1 §1.1 and 3.10.8.
"""

from __future__ import annotations

import enum


class ReplyCode(enum.IntEnum):
    """AMQP 0-9-1 reply codes, under the names RabbitMQ puts before every text."""

    OK = 200
    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313
    CONNECTION_FORCED = 320
    INVALID_PATH = 402
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541


class AmqpError(Exception):
    """A fault the peer is told about in a close method.

    text: without the code's name, which is put in front on the wire. method: (class id, method
    id) of the offender, or None for the method being handled.
    """

    def __init__(self, code: ReplyCode, text: str, method: tuple[int, int] | None = None) -> None:
        super().__init__(f"{code.name} - {text}")
        self.code = code
        self.text = text
        self.method = method

    @property
    def reply_text(self) -> str:
        """As on the wire: at most 255 bytes, cut with '...' (observed: 3.10.8)."""
        if self.code is ReplyCode.INTERNAL_ERROR:
            return self.code.name
        full = f"{self.code.name} - {self.text}"
        raw = full.encode("utf-8", "surrogateescape")
        if len(raw) <= 255:
            return full
        return raw[:252].decode("utf-8", "ignore") + "..."


class ChannelError(AmqpError):
    """Closes the channel; the connection goes on."""


class ConnectionError_(AmqpError):
    """Closes the connection. (The underscore keeps the builtin's name free.)"""
