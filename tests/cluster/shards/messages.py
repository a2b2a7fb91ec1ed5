"""Messages for tests of shards, and what their bodies say."""

from __future__ import annotations

from mqd.broker.message import Message, content_of, names_of


def message(body: bytes, key: str = "q") -> Message:
    """A persistent message without properties."""
    header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x00\x00"
    return Message(names_of("", key), content_of(header, body, 1, 131_072), True)
