"""Basic properties: from a content-header payload and back, and single ones without decoding.

Decides how the property list is read: which flag stands for which property, and where in the
bytes it is. Never decides what a property means, and never raises anything but FieldError.

A content-header payload is class (2), weight (2), body size (8), flags (2), then the properties
whose flag is set, in order of the flags from the highest down (AMQP 0-9-1 §2.3.5.2). On the way
of a message nobody needs more than one or two of them, so the peeks skip to the place and read
that property alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Final

from mqd.amqp.fields import Field, FieldError, Table, decode_table, encode_table

BASIC: Final = 60  # class id
FLAGS_AT: Final = 12
FIRST_AT: Final = 14

_PREFIX = struct.Struct(">HHQH")
_FLAGS = struct.Struct(">H")
_LENGTH = struct.Struct(">I")
_TIMESTAMP = struct.Struct(">Q")

HEADERS: Final = 0x2000
DELIVERY_MODE: Final = 0x1000
PRIORITY: Final = 0x0800
REPLY_TO: Final = 0x0200
EXPIRATION: Final = 0x0100
MESSAGE_ID: Final = 0x0080
USER_ID: Final = 0x0010

# (flag, name, form) in order of their places on the wire
_LAYOUT: Final = (
    (0x8000, "content_type", "shortstr"),
    (0x4000, "content_encoding", "shortstr"),
    (HEADERS, "headers", "table"),
    (DELIVERY_MODE, "delivery_mode", "octet"),
    (PRIORITY, "priority", "octet"),
    (0x0400, "correlation_id", "shortstr"),
    (REPLY_TO, "reply_to", "shortstr"),
    (EXPIRATION, "expiration", "shortstr"),
    (MESSAGE_ID, "message_id", "shortstr"),
    (0x0040, "timestamp", "timestamp"),
    (0x0020, "type", "shortstr"),
    (USER_ID, "user_id", "shortstr"),
    (0x0008, "app_id", "shortstr"),
    (0x0004, "cluster_id", "shortstr"),
)

NAMES: Final = tuple(name for _, name, _ in _LAYOUT)


@dataclass(slots=True)
class Properties:
    """Every property of a message; None where the publisher set none.

    Texts that are no UTF-8 keep their bytes as surrogate escapes. timestamp is in seconds.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


assert [name for _, name, _ in _LAYOUT] == [field.name for field in fields(Properties)]


def decode(header: bytes) -> Properties:
    """All properties of a content-header payload. Raises FieldError when it cannot be read."""
    flags = _flags(header)
    properties = Properties()
    pos = FIRST_AT
    for flag, name, form in _LAYOUT:
        if flags & flag:
            value, pos = _read(header, pos, form)
            setattr(properties, name, value)
    if pos != len(header):
        raise FieldError("bytes are left after the last property")
    return properties


def check(listing: bytes) -> None:
    """Refuse property flags and a property list that do not fit each other. Raises FieldError.

    `listing` is a content-header payload from its flags on. What passes can be read by `decode`.
    """
    header = bytes(FLAGS_AT) + listing
    flags = _flags(header)
    pos = FIRST_AT
    size = len(header)
    for flag, _, form in _LAYOUT:
        if not flags & flag:
            continue
        if form == "table":
            _, pos = decode_table(header, pos)
        elif pos < size:
            pos += 1 + header[pos] if form == "shortstr" else 8 if form == "timestamp" else 1
        else:
            break
    else:
        if pos == size:
            return
    raise FieldError("property list is cut off" if pos >= size else "bytes are left over")


def encode(properties: Properties, body_bytes: int = 0) -> bytes:
    """The content-header payload for a body of that size. Raises FieldError on a long shortstr."""
    flags = 0
    parts = [b""]
    for flag, name, form in _LAYOUT:
        value = getattr(properties, name)
        if value is not None:
            flags |= flag
            parts.append(_write(value, form))
    parts[0] = _PREFIX.pack(BASIC, 0, body_bytes, flags)
    return b"".join(parts)


def delivery_mode(header: bytes) -> int | None:
    """1 transient, 2 persistent, None when not said, or whatever else the publisher wrote."""
    return _octet(header, DELIVERY_MODE)


def priority(header: bytes) -> int | None:
    return _octet(header, PRIORITY)


def reply_to(header: bytes) -> str | None:
    return _shortstr(header, REPLY_TO)


def reply_to_at(header: bytes) -> int | None:
    """Where in the payload the reply-to stands, its length octet first."""
    return _place(header, REPLY_TO)


def user_id(header: bytes) -> str | None:
    return _shortstr(header, USER_ID)


def expiration(header: bytes) -> str | None:
    return _shortstr(header, EXPIRATION)


def headers(header: bytes) -> Table | None:
    """The headers table; None when the message has none."""
    pos = _place(header, HEADERS)
    if pos is None:
        return None
    return decode_table(header, pos)[0]


def has_cc_or_bcc(header: bytes) -> bool:
    """Whether the headers name more routing keys. Looks at bytes first: nearly always no."""
    if len(header) > FLAGS_AT and not header[FLAGS_AT] & 0x20:
        return False
    if b"\x02CC" not in header and b"\x03BCC" not in header:
        return False
    table = headers(header)
    return table is not None and ("CC" in table or "BCC" in table)


def with_header(header: bytes, name: str, value: Field) -> bytes:
    """The payload with that entry in its headers table, which is sorted by name then (as 3.10.8
    leaves it)."""
    pos = _place(header, HEADERS)
    if pos is not None:
        table, end = decode_table(header, pos)
        table[name] = value
        return header[:pos] + encode_table(dict(sorted(table.items()))) + header[end:]
    flags = _flags(header)
    pos = FIRST_AT
    for flag in (0x8000, 0x4000):  # content type and encoding stand before the headers
        if flags & flag:
            pos += 1 + header[pos]
    return b"".join(
        (
            header[:FLAGS_AT],
            _FLAGS.pack(flags | HEADERS),
            header[FIRST_AT:pos],
            encode_table({name: value}),
            header[pos:],
        )
    )


def strip_header(header: bytes, name: str) -> bytes:
    """The payload without that entry of the headers table (which stays, if empty)."""
    pos = _place(header, HEADERS)
    if pos is None:
        return header
    table, end = decode_table(header, pos)
    if name not in table:
        return header
    del table[name]
    return header[:pos] + encode_table(table) + header[end:]


def _flags(header: bytes) -> int:
    if len(header) < FIRST_AT:
        raise FieldError("content header is cut off")
    flags: int = _FLAGS.unpack_from(header, FLAGS_AT)[0]
    if flags & 1:  # a second word of flags; flag 2 is nobody's and ignored (observed: 3.10.8)
        raise FieldError("content header has more property flags than class basic")
    return flags


def _place(header: bytes, wanted: int) -> int | None:
    """Where that property begins; None when it is not there."""
    flags = _flags(header)
    if not flags & wanted:
        return None
    before = flags & ~(2 * wanted - 1)  # the higher flags: what has to be skipped
    pos = FIRST_AT
    size = len(header)
    while before:
        flag = 1 << (before.bit_length() - 1)
        before ^= flag
        if flag in (DELIVERY_MODE, PRIORITY):
            pos += 1
        elif flag == HEADERS:
            if pos + 4 > size:
                raise FieldError("length is cut off")
            pos += 4 + _LENGTH.unpack_from(header, pos)[0]
        elif flag == 0x0040:
            pos += 8
        elif pos < size:
            pos += 1 + header[pos]
        if pos > size:
            raise FieldError("property is cut off")
    return pos


def _octet(header: bytes, wanted: int) -> int | None:
    pos = _place(header, wanted)
    if pos is None:
        return None
    if pos >= len(header):
        raise FieldError("property is cut off")
    return header[pos]


def _shortstr(header: bytes, wanted: int) -> str | None:
    pos = _place(header, wanted)
    if pos is None:
        return None
    value, _ = _read(header, pos, "shortstr")
    assert isinstance(value, str)
    return value


def _read(header: bytes, pos: int, form: str) -> tuple[str | int | Table, int]:
    if form == "table":
        return decode_table(header, pos)
    if pos >= len(header):
        raise FieldError("property is cut off")
    if form == "octet":
        return header[pos], pos + 1
    end = pos + 8 if form == "timestamp" else pos + 1 + header[pos]
    if end > len(header):
        raise FieldError("property is cut off")
    if form == "timestamp":
        stamp: int = _TIMESTAMP.unpack_from(header, pos)[0]
        return stamp, end
    return header[pos + 1 : end].decode("utf-8", "surrogateescape"), end


def _write(value: str | int | Table, form: str) -> bytes:
    if isinstance(value, dict):
        return encode_table(value)
    if isinstance(value, int):
        return _TIMESTAMP.pack(value) if form == "timestamp" else bytes((value,))
    raw = value.encode("utf-8", "surrogateescape")
    if len(raw) > 255:
        raise FieldError("short string is longer than 255 bytes")
    return bytes((len(raw),)) + raw
