"""What nodes say to each other about queues: records, many in one payload of a link.

Decides how each record stands in bytes. A record is its length, a kind and a body; numbers are big
endian; names and contents are those of `mqd.broker.message`. Links lose nothing and keep order, so
no record is numbered and none is repeated; both ends begin anew with every link. Never sends one.

    to the home     OPEN CLOSE LIMIT CREDIT SETTLE CONSUME CANCEL GET ASK  a channel, by number
                    STREAM PUBLISH AGAIN                                publishes of one vhost
    from the home   DELIVER GOT ANSWER CONFIRM MISPLACED HERE
    among all       PUT GONE KNOWN CLAIM RELEASE REPLY                  what is transient
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.broker.homes import ELSEWHERE

SERVICE: Final = "queues"


class Kind(IntEnum):
    """Of a record."""

    OPEN = 1
    CLOSE = 2
    LIMIT = 3
    CREDIT = 4
    SETTLE = 5
    CONSUME = 6
    CANCEL = 7
    GET = 8
    ASK = 9
    STREAM = 10
    PUBLISH = 11
    DELIVER = 12
    GOT = 13
    ANSWER = 14
    CONFIRM = 15
    MISPLACED = 16
    HERE = 17
    PUT = 18
    GONE = 19
    KNOWN = 20
    CLAIM = 21
    RELEASE = 22
    REPLY = 23
    AGAIN = 24


_RECORD = struct.Struct(">IB")
PUBLISH = struct.Struct(">HBQHH")  # stream, flags, ticket, sizes of the queue's and the names
DELIVER = struct.Struct(">IIQBH")  # channel, consumer, tag, redelivered, size of names
GOT = struct.Struct(">IIQBIH")  # question, channel, tag, redelivered, left, size of names
SETTLE = struct.Struct(">IB")  # channel, how; then tags
CREDIT = struct.Struct(">III")  # channel, messages, bytes
CONFIRM = struct.Struct(">HQB")  # stream, number, flags
MISPLACED = struct.Struct(">HQ")  # stream, number
AGAIN = struct.Struct(">H")  # stream; then what the queue is called
NUMBER = struct.Struct(">Q")
PAIR = struct.Struct(">II")  # channel, count
HOWS: Final = ("ack", "reject", "requeue", "lost")
PERSISTENT, NUMBERED = 1, 2  # flags of PUBLISH; above them, how often it came back
RETURNS_SHIFT: Final = 2
RETURNS_MAX: Final = 63
MULTIPLE, REFUSED = 1, 2  # flags of CONFIRM


def record(kind: Kind, body: bytes) -> bytes:
    """One record."""
    return _RECORD.pack(len(body), kind) + body


def told(kind: Kind, *values: Any) -> bytes:
    """A record of JSON, for what is rare."""
    return record(kind, json.dumps(values, separators=(",", ":")).encode())


def records(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of each."""
    at, end = 0, len(payload)
    while at < end:
        size, kind = _RECORD.unpack_from(payload, at)
        at += _RECORD.size + size
        if at > end:
            raise ValueError("a record that is cut off")
        yield kind, payload[at - size : at]


def queue_ref(vhost: str, name: str) -> bytes:
    """What a record calls a queue."""
    first = vhost.encode("utf-8", "surrogateescape")
    return len(first).to_bytes(2, "big") + first + name.encode("utf-8", "surrogateescape")


def read_ref(ref: bytes) -> tuple[str, str]:
    """(vhost, name) of it."""
    end = 2 + int.from_bytes(ref[:2], "big")
    first, name = ref[2:end], ref[end:]
    return first.decode("utf-8", "surrogateescape"), name.decode("utf-8", "surrogateescape")


def fault(error: AmqpError) -> list[Any]:
    """An error, as an answer has it."""
    kind = "channel" if isinstance(error, ChannelError) else "connection"
    return [kind, int(error.code), error.text]


def answer_of(value: list[Any]) -> Any:
    """What an answer says: ["ok", result], ["elsewhere"], or an error."""
    if value[0] == "elsewhere":
        return ELSEWHERE
    if value[0] == "ok":
        return tuple(value[1]) if isinstance(value[1], list) else value[1]
    kind = ChannelError if value[0] == "channel" else ConnectionError_
    return kind(ReplyCode(value[1]), value[2])
