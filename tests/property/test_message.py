"""Content goes from any channel and frame size to any other and is the same message."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from mqd.broker.consumers import readdress
from mqd.broker.message import Message, content_of, names_of

channels = st.sampled_from((1, 2, 255, 256, 2047, 65_535))
frame_sizes = st.one_of(st.just(0), st.integers(30, 60))
bodies = st.binary(max_size=150)
properties = st.binary(max_size=5)


def header_of(body: bytes, rest: bytes) -> bytes:
    """A content-header payload; what the properties are does not matter here."""
    return b"\0\x3c\0\0" + len(body).to_bytes(8, "big") + b"\0\0" + rest


def frames_of(content: bytes) -> list[bytes]:
    found = []
    while content:
        size = 8 + int.from_bytes(content[3:7], "big")
        found.append(content[:size])
        content = content[size:]
    return found


@given(bodies, properties, channels, frame_sizes)
@example(b"", b"", 1, 0)  # no limit and no body: there was no step to cut by
def test_content_is_cut_and_found(body: bytes, rest: bytes, channel: int, frame_max: int) -> None:
    header = header_of(body, rest)
    content = content_of(header, body, channel, frame_max)
    message = Message(names_of("x", "k"), content)
    assert (message.header, message.body, message.body_bytes) == (header, body, len(body))
    frames = frames_of(content)
    assert [each[0] for each in frames] == [2] + [3] * (len(frames) - 1)
    assert {int.from_bytes(each[1:3], "big") for each in frames} == {channel}
    assert all(each[-1] == 0xCE for each in frames)
    assert all(len(each) <= (frame_max or 1000) for each in frames)
    assert all(len(each) > 8 for each in frames)


@given(bodies, properties, channels, frame_sizes, channels, frame_sizes)
@example(b"x" * 100, b"", 1, 0, 1, 60)  # same channel, smaller frames
def test_readdress(
    body: bytes, rest: bytes, channel: int, frame_max: int, to_channel: int, to_frame_max: int
) -> None:
    header = header_of(body, rest)
    content = content_of(header, body, channel, frame_max)
    moved = readdress(content, to_channel, to_frame_max)
    message = Message(b"", moved)
    assert (message.header, message.body) == (header, body)
    frames = frames_of(moved)
    assert {int.from_bytes(each[1:3], "big") for each in frames} == {to_channel}
    assert all(len(each) <= (to_frame_max or 1000) for each in frames)
    if channel == to_channel and moved == content:
        assert moved is content  # nothing is copied for the plain case
    assert readdress(moved, channel, 0) == content_of(header, body, channel, 0) or len(frames) > 2


@given(bodies, channels, frame_sizes)
def test_pamqp_reads_the_same(body: bytes, channel: int, frame_max: int) -> None:
    data = content_of(header_of(body, b""), body, channel, frame_max)
    read = b""
    size, number, header = frame.unmarshal(data)
    assert number == channel
    assert isinstance(header, ContentHeader)
    assert header.body_size == len(body)
    data = data[size:]
    while data:
        size, number, piece = frame.unmarshal(data)
        assert number == channel
        assert isinstance(piece, ContentBody)
        read += piece.value or b""
        data = data[size:]
    assert read == body
