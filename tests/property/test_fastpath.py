"""The hot path does what the general path does, however the bytes are cut.

A stream of frames, right and wrong, is fed at once, in pieces, byte by byte, and through the
readable versions of `fastpath.receive` and `Waiting.receive` below, of which one knows no hot frame
and the other no runs of frames. What the broker is asked to do and what the client is told must be
the same. A declare waits, until the next update-secret: an answer comes at a place in the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pamqp import commands, frame

from mqd.amqp import connection as connection_module
from mqd.amqp import fastpath
from mqd.amqp.connection import Connection
from mqd.amqp.states import Phase
from mqd.amqp.waiting import Waiting
from tests.recorder import ack_frame, header_frame, output, publish_method, raw_frame, running


def slow_receive(connection: Connection, data: bytes, pos: int = 0) -> int:
    """`fastpath.receive` without the hot path."""
    while len(data) - pos >= 8:
        end = pos + 8 + int(struct.unpack_from(">I", data, pos + 3)[0])
        if end > len(data):
            connection.check_size(data, pos)
            break
        connection.frame(data[pos:end])
        pos = end
        if connection.stopped:
            break
    return pos


class SlowWaiting(Waiting):
    """Frame by frame."""

    __slots__ = ()

    def receive(self, data: bytes, pos: int) -> int:
        connection = self._connection
        self._busy = True
        while len(data) - pos >= 8 and not (self.leaving or connection.has_ended):
            kind, channel_id, size = struct.unpack_from(">BHI", data, pos)
            end = pos + 8 + size
            if end > len(data):
                connection.check_size(data, pos)
                break
            frame, pos = data[pos:end], end
            is_whole = frame[-1] == 0xCE and size <= connection.payload_bytes_max + 8
            if channel_id in self.kept and kind in (1, 2, 3) and is_whole:
                self.kept[channel_id] += frame
            else:
                connection.frame(frame)
            self._serve_all()
        self._busy = False
        connection.look()
        return len(data) if self.leaving or connection.has_ended else pos

    def go_on(self) -> None:
        if not self._busy:
            self._busy = True
            self._serve_all()
            self._busy = False
            self._connection.look()

    def _serve_all(self) -> None:
        connection = self._connection
        while self._ready:
            channel_id = next(iter(self._ready))
            frames = self.kept[channel_id]
            if not frames:
                del self._ready[channel_id]
                del self.kept[channel_id]
                continue
            end = 8 + int(struct.unpack_from(">I", frames, 3)[0])
            first, self.kept[channel_id] = bytes(frames[:end]), frames[end:]
            rest = self.kept.pop(channel_id)
            del self._ready[channel_id]
            connection.frame(first)
            if connection.phase is not Phase.RUNNING:
                return
            if channel_id not in self.kept:
                self._ready = {channel_id: None, **self._ready}
            self.kept[channel_id] = rest
        if self.leaving and not self.kept:
            connection.finish()


def run(pieces: list[bytes], waiting: type[Waiting] = Waiting) -> tuple[Any, ...]:
    """Feed the pieces to a connection with channels 1 and 2; all that can be seen of it."""
    connection, recorder = running()
    connection.waiting = waiting(connection)
    for piece in pieces:
        connection.receive_data(piece)
    for _ in range(20):
        recorder.update_secret(b"")
    assert not connection.waiting.kept
    assert connection.waiting.kept_bytes == 0 or waiting is not Waiting
    return (
        recorder.calls,
        output(connection),
        connection.phase,
        sorted(connection.running),
        connection.closing_channels,
        sorted(connection.assembling),
    )


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


ANSWERED = frame.marshal(commands.Connection.UpdateSecret("", ""), 0)


# -- streams --------------------------------------------------------------------------------------


channel_ids = st.sampled_from((1, 1, 1, 1, 2, 2, 3, 0))
bodies = st.one_of(
    st.sampled_from((b"m", b"x" * 12, b"", b"refuse me", b"close me", b"b" * 4050)),
    st.binary(max_size=20),
)
octet_ends = st.sampled_from((0xCE,) * 12 + (0,))


@st.composite
def publishes(draw: Callable[..., Any]) -> bytes:
    """A publish, mostly right, mostly the plain case."""
    channel = draw(channel_ids)
    method = publish_method(
        channel,
        draw(st.sampled_from(("", "", "x", "missing"))),
        draw(st.sampled_from(("q", "k"))),
        draw(st.sampled_from((0,) * 8 + (1, 2))),
    )
    body = draw(bodies)
    flags, properties = draw(
        st.sampled_from(
            (
                *((0, b""),) * 4,
                (0x1000, b"\x02"),
                (0x1000, b"\x01"),
                (0x8000, b"\x04text"),
                (0x0001, b"\0\0"),
                (0x0002, b""),
                (0x2000, b"\0\0\0\0"),
            )
        )
    )
    odd = draw(st.integers(0, 30))
    announced = len(body) + {0: 1, 1: -1, 2: 1 << 40, 3: 6000}.get(odd, 0)
    start = {4: 61 << 16, 5: 60 << 16 | 1}.get(odd, 60 << 16)
    header = header_frame(channel, max(announced, 0), flags, properties, start)
    if odd == 6:  # one octet short, so that the end octet stands where flags should
        header = raw_frame(2, channel, header[7:20])
    if odd == 7:
        header = raw_frame(2, 2, header[7:-1])
    step = draw(st.sampled_from((4088, 4088, 4088, 5)))
    frames = [raw_frame(3, channel, body[at : at + step]) for at in range(0, len(body), step)]
    if odd == 8:
        frames.insert(0, raw_frame(3, channel, b""))
    if odd == 9 and frames:
        frames[0] = frames[0][:-1] + b"\0"
    if odd == 10:
        frames.insert(0, ack_frame(channel, 1, False))
    if odd == 11:
        header = header[:-1] + b"\0"
    if odd == 12:
        header = b""
    if odd == 13:
        frames.insert(0, raw_frame(8, 0, b""))
    if odd == 14:
        return method
    if odd == 15:  # the content comes on another channel
        header = raw_frame(2, 2, header[7:-1])
        frames = [raw_frame(3, 2, body)]
    return b"".join((method, header, *frames))


acks = st.builds(ack_frame, channel_ids, st.sampled_from((1, 2, 3, 99)), st.booleans(), octet_ends)
twisted_acks = st.builds(
    raw_frame,
    st.sampled_from((1, 2, 3)),
    channel_ids,
    st.sampled_from(
        (
            b"\0\x3c\0\x50" + b"\0" * 8,
            b"\0\x3c\0\x50" + b"\0" * 7 + b"\x01\xfe",
            b"\0\x3c\0\x50" + b"\0" * 10,
            b"\0\x3c\0\x78" + b"\0" * 9,
            b"\0\x3c\0\x5a" + b"\0" * 9,
        )
    ),
)
methods = st.builds(
    frame.marshal,
    st.sampled_from(
        (
            commands.Basic.Nack(3, True),
            commands.Basic.Reject(4),
            commands.Basic.Qos(0, 10),
            commands.Basic.Recover(False),
            commands.Queue.Declare(0, "q"),
            commands.Queue.Declare(0, "q2"),
            commands.Queue.Declare(0, "q3"),
            commands.Channel.Close(200, "", 0, 0),
            commands.Channel.CloseOk(),
            commands.Channel.Open(),
            commands.Basic.QosOk(),
            commands.Confirm.Select(),
        )
    ),
    channel_ids,
)
others = st.one_of(
    st.just(raw_frame(8, 0, b"")),
    st.builds(raw_frame, st.integers(0, 9), channel_ids, st.binary(max_size=16), octet_ends),
    st.just(frame.marshal(commands.Connection.Close(200, "", 0, 0), 0)),
    st.just(ANSWERED),
    st.just(ANSWERED),
)
frames_of_stream = st.one_of(
    publishes(), publishes(), publishes(), acks, acks, twisted_acks, methods, others
)


@st.composite
def streams(draw: Callable[..., Any]) -> bytes:
    data = b"".join(draw(st.lists(frames_of_stream, max_size=12)))
    if data and draw(st.integers(0, 5)) == 0:  # a bit flips on the way
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + bytes((data[at] ^ 1 << draw(st.integers(0, 7)),)) + data[at + 1 :]
    if draw(st.integers(0, 5)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return data


PLAIN = publish_method(1, "", "q") + header_frame(1, 1) + raw_frame(3, 1, b"m")


@settings(max_examples=400, deadline=None)
@given(streams(), st.lists(st.integers(0, 100_000), max_size=6))
# the header one octet short: its end octet was taken for flags
@example(
    PLAIN
    + publish_method(1, "", "q")
    + raw_frame(2, 1, header_frame(1, 1)[7:20])
    + raw_frame(3, 1, b"m"),
    [],
)
# content on another channel than its method
@example(PLAIN + publish_method(1, "", "q") + header_frame(2, 1) + raw_frame(3, 2, b"m"), [])
# a body that fits a frame and is larger than a message may be
@example(
    PLAIN + publish_method(1, "", "q") + header_frame(1, 4050) + raw_frame(3, 1, b"b" * 4050), []
)
# an ack between a publish and its header was taken
@example(publish_method(1, "", "q") + ack_frame(1, 1, False) + header_frame(1, 0), [])
# one channel waits, its close behind it; the other goes on, and waits as well
@example(
    frame.marshal(commands.Queue.Declare(0, "q"), 1)
    + PLAIN
    + frame.marshal(commands.Channel.Close(200, "", 0, 0), 1)
    + ack_frame(2, 1, False)
    + frame.marshal(commands.Queue.Declare(0, "q2"), 2)
    + ack_frame(2, 99, False)
    + ANSWERED
    + ack_frame(2, 2, False),
    [],
)
def test_hot_path_equals_general_path(data: bytes, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_module, "_CHUNKED_BYTES_MIN", 100)
        at_once = run([data])
        assert run(pieces_of(data, cuts)) == at_once
        if len(data) < 6000:
            assert run([bytes((octet,)) for octet in data]) == at_once
        patch.setattr(fastpath, "receive", slow_receive)
        assert run([data]) == at_once
        assert run([data], SlowWaiting) == at_once
