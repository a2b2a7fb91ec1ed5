"""`mqd.broker.message`: where names, header and body are found in the published bytes."""

from __future__ import annotations

import pytest

from mqd.broker.message import Message, content_of, names_of

HEADER = b"\0\x3c\0\0" + (6).to_bytes(8, "big") + b"\x10\0\x02"


def test_parts_of_a_message() -> None:
    message = Message(names_of("amq.topic", "a.b"), content_of(HEADER, b"body!!", 3, 4096), True)
    assert (message.exchange, message.routing_key) == ("amq.topic", "a.b")
    assert message.header == HEADER
    assert message.body == b"body!!"
    assert message.body_bytes == 6
    assert message.persistent
    assert (message.stored, message.segment, message.index, message.settled) == (
        False,
        0,
        0,
        False,
    )


@pytest.mark.parametrize("frame_max", [9, 10, 11, 14, 4096, 0])
def test_a_body_in_any_number_of_frames(frame_max: int) -> None:
    content = content_of(HEADER, b"body!!", 3, frame_max)
    message = Message(b"", content)
    assert message.body == b"body!!"
    assert message.header == HEADER
    frames = content.count(b"\x03\0\x03\0\0\0")
    assert frames == (1 if not frame_max else -(-6 // (frame_max - 8)))


@pytest.mark.parametrize("frame_max", [4096, 0])
def test_an_empty_body(frame_max: int) -> None:
    content = content_of(HEADER, b"", 3, frame_max)
    assert content == b"\x02\0\x03\0\0\0\x0f" + HEADER + b"\xce"
    assert Message(b"", content).body == b""


@pytest.mark.parametrize(
    ("exchange", "key"), [("", ""), ("x" * 255, "k" * 255), ("ä", "€"), ("\udcff", "\udc80")]
)
def test_names(exchange: str, key: str) -> None:
    message = Message(names_of(exchange, key), b"")
    assert (message.exchange, message.routing_key) == (exchange, key)


def test_a_copy_shares_the_bytes_and_nothing_else() -> None:
    message = Message(names_of("x", "k"), content_of(HEADER, b"body!!", 3, 4096), True)
    message.stored, message.segment, message.index, message.settled = True, 5, 6, True
    copy = message.copy()
    assert copy.content is message.content
    assert copy.names is message.names
    assert copy.persistent
    assert (copy.stored, copy.segment, copy.index, copy.settled) == (False, 0, 0, False)
