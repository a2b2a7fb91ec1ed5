"""A message as the broker keeps it: the bytes it came in, cut at the fewest places.

Decides how the routing names, the content header and the body are found in those bytes. Never
changes a published byte: properties are decoded where somebody asks, the rest travels as it came.

`names` is exchange and routing key as two short strings, as they stand in basic.publish and
again in basic.deliver; behind them the keys that nobody may see (BCC), which count when the message
is dead-lettered. `content` is the content-header frame and the body frames, envelopes
included, as the publisher's connection sent them: a consumer on a channel of the same number gets
them in one piece. Kept this way a delivery copies once and a backlog holds two objects a message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_BODY_SIZE = struct.Struct(">Q")
_ENVELOPE = struct.Struct(">BHI")


class Message:
    """One published message, in one durable queue or in any number of transient ones.

    `persistent` is delivery-mode 2; `stored` says that its queue, being durable, gave it to the
    message store; `expires_ms` is the monotonic time from which it is not delivered any more, 0 for
    never; `delivery_count` is how often a queue that counts (quorum) got it back. The last three
    fields belong to the store and to nobody else: `segment` is the commit that holds it (0: none
    yet), `index` its place there, `settled` says that it needs none.
    """

    __slots__ = (
        "content",
        "delivery_count",
        "expires_ms",
        "index",
        "names",
        "persistent",
        "segment",
        "settled",
        "stored",
    )

    def __init__(self, names: bytes, content: bytes, persistent: bool = False) -> None:
        self.names = names
        self.content = content
        self.persistent = persistent
        self.stored = False
        self.expires_ms = 0
        self.delivery_count = 0
        self.segment = 0
        self.index = 0
        self.settled = False

    def copy(self) -> Message:
        """Another message of the same bytes, to be stored for another queue."""
        return Message(self.names, self.content, self.persistent)

    @property
    def exchange(self) -> str:
        return self.names[1 : 1 + self.names[0]].decode("utf-8", "surrogateescape")

    @property
    def routing_key(self) -> str:
        at = 1 + self.names[0]
        end = at + 1 + self.names[at]
        return self.names[at + 1 : end].decode("utf-8", "surrogateescape")

    @property
    def hidden_keys(self) -> list[str]:
        """Routing keys of the header BCC, which is gone from the content."""
        names = self.names
        at = shown_bytes(names)
        keys = []
        while at < len(names):
            end = at + 1 + names[at]
            keys.append(names[at + 1 : end].decode("utf-8", "surrogateescape"))
            at = end
        return keys

    def names_to(self, exchange: str) -> bytes:
        """Its names with another exchange, the keys as they are."""
        return _shortstr(exchange) + self.names[1 + self.names[0] :]

    @property
    def header(self) -> bytes:
        """The content-header payload: class 60, weight, body size, flags, property list."""
        return self.content[7 : 7 + int.from_bytes(self.content[3:7], "big")]

    @property
    def body_bytes(self) -> int:
        """Size of the body, without its envelopes."""
        size: int = _BODY_SIZE.unpack_from(self.content, 11)[0]
        return size

    @property
    def body(self) -> bytes:
        """The body in one piece, whatever number of frames it came in."""
        content = self.content
        pos = 8 + int.from_bytes(content[3:7], "big")
        parts = []
        while pos < len(content):
            size = _ENVELOPE.unpack_from(content, pos)[2]
            parts.append(content[pos + 7 : pos + 7 + size])
            pos += 8 + size
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _shortstr(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return bytes((len(raw),)) + raw


def names_of(exchange: str, routing_key: str, hidden_keys: Iterable[str] = ()) -> bytes:
    """`Message.names` for these."""
    return b"".join(map(_shortstr, (exchange, routing_key, *hidden_keys)))


def shown_bytes(names: bytes) -> int:
    """How much of `Message.names` a consumer sees: exchange and routing key."""
    at = 1 + names[0]
    return at + 1 + names[at]


def content_of(header: bytes, body: bytes, channel_id: int, frame_bytes_max: int) -> bytes:
    """`Message.content` from a content-header payload and a body (inverse of header and body)."""
    parts = [_ENVELOPE.pack(2, channel_id, len(header)), header, b"\xce"]
    step = frame_bytes_max - 8 if frame_bytes_max else max(len(body), 1)
    for start in range(0, len(body), step):
        piece = body[start : start + step]
        parts += (_ENVELOPE.pack(3, channel_id, len(piece)), piece, b"\xce")
    return b"".join(parts)


def replace_header(content: bytes, header: bytes) -> bytes:
    """`Message.content` with another content-header payload."""
    size = int.from_bytes(content[3:7], "big")
    return b"".join((content[:3], len(header).to_bytes(4, "big"), header, content[7 + size :]))


def bodies_size(messages: Iterable[Message]) -> int:
    """Bytes of the bodies of many: a listing asks for a million."""
    read = _BODY_SIZE.unpack_from
    return sum([read(message.content, 11)[0] for message in messages])
