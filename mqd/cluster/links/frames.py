"""Frames between two nodes: bytes to frames, payloads to bytes. No I/O.

A frame is length (of its payload), kind, number of a service, number of a call, payload:

    >  I length   B kind   H service   I call   payload

Services are named once a link: NAME says which number stands for which name, counted from 0 by
the side that sends. A payload above limits.LINK_FRAME_BYTES_MAX goes ahead in PARTs of exactly
that size, with nothing but BEATs between, and the frame itself carries the rest.

Decides what is a frame, and bounds what one may make the other side remember. Never decides what
a frame means: `mqd.cluster.links.wire` does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from mqd import limits
from mqd.errors import ErrorCode, MqdError

HEAD: Final = struct.Struct(">IBHI")
HEAD_BYTES: Final = HEAD.size

HELLO: Final = 1  # who sends; see `mqd.cluster.links.greeting`
WELCOME: Final = 2  # the other's HELLO is accepted
REFUSAL: Final = 3  # it is not
BEAT: Final = 4
NAME: Final = 5
PART: Final = 6
SEND: Final = 7
REQUEST: Final = 8
REPLY: Final = 9
FAILURE: Final = 10  # of a request: code and detail of an MqdError

_CARRIERS: Final = frozenset((SEND, REQUEST, REPLY, FAILURE))
_KINDS: Final = frozenset(range(HELLO, FAILURE + 1))
_CODE: Final = struct.Struct(">H")

Frame = tuple[int, int, int, bytes]  # kind, service, call, whole payload
Frames = Iterator[Frame]


class Garbled(Exception):
    """The other side does not speak this protocol. The text says what is wrong, without data."""


class Decoder:
    """What one side of a link has received. frame_bytes_max may be raised between two frames."""

    def __init__(
        self, frame_bytes_max: int, message_bytes_max: int = limits.LINK_MESSAGE_BYTES_MAX
    ) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._message_bytes_max = message_bytes_max
        self._rest = b""
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Received, and not given out."""
        return len(self._rest) + self._parts_bytes

    def feed(self, data: bytes) -> Frames:
        """The frames that are complete now. Raises Garbled; then no more can be fed. The iterator
        is to be used up before the next call."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, end, unpack = 0, len(data), HEAD.unpack_from
        while end - at >= HEAD_BYTES:
            size, kind, service, call = unpack(data, at)
            if size > self.frame_bytes_max or kind not in _KINDS:
                raise Garbled(f"a frame of kind {kind} and {size} bytes")
            begin = at + HEAD_BYTES
            stop = begin + size
            if stop > end:
                break
            payload = data[begin:stop]
            at = stop
            if kind == PART:
                self._keep(payload)
                continue
            if self._parts and kind != BEAT:
                payload = self._joined(kind, payload)
            yield kind, service, call, payload
        self._rest = data[at:]

    def _keep(self, payload: bytes) -> None:
        if len(payload) != limits.LINK_FRAME_BYTES_MAX:
            raise Garbled(f"a part of {len(payload)} bytes")
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if self._parts_bytes > self._message_bytes_max:
            raise Garbled(f"a payload of more than {self._message_bytes_max} bytes")

    def _joined(self, kind: int, payload: bytes) -> bytes:
        if kind not in _CARRIERS:
            raise Garbled(f"a frame of kind {kind} after a part")
        self._parts.append(payload)
        payload = b"".join(self._parts)
        self._parts.clear()
        self._parts_bytes = 0
        return payload


def pieces(kind: int, service: int, call: int, payload: bytes) -> Iterator[bytes | memoryview]:
    """What to write, one after the other, for a payload of any size up to
    limits.LINK_MESSAGE_BYTES_MAX. Nothing is copied."""
    step = limits.LINK_FRAME_BYTES_MAX
    view = memoryview(payload)
    while len(view) > step:
        yield HEAD.pack(step, PART, 0, 0)
        yield view[:step]
        view = view[step:]
    yield HEAD.pack(len(view), kind, service, call)
    yield view


def frame(kind: int, service: int = 0, call: int = 0, payload: bytes = b"") -> bytes:
    """A small frame."""
    return HEAD.pack(len(payload), kind, service, call) + payload


def failure(error: MqdError) -> bytes:
    """Payload of a FAILURE."""
    return _CODE.pack(error.code) + error.detail.encode(errors="replace")


def failed(payload: bytes) -> MqdError:
    """What a FAILURE says. A code that this release does not know is INTERNAL."""
    if len(payload) < _CODE.size:
        raise Garbled("a failure without a code")
    try:
        code = ErrorCode(_CODE.unpack_from(payload)[0])
    except ValueError:
        code = ErrorCode.INTERNAL
    return MqdError(code, payload[_CODE.size :].decode(errors="replace"))
