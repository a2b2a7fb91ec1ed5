"""One gRPC call over a connected socket, without the gRPC library.

Decides how a unary or server-streaming call looks in HTTP/2 frames (RFC 9113) and how its outcome
is read. Never opens sockets, knows no verbs and words no errors.

Why not the gRPC library: importing it, dialling and shutting it down cost about 85 ms of a call
whose whole budget is 150 ms (measured on the development machine: a call through the library
takes 130 to 165 ms from process start to exit, this way 50 to 60). One call per process and a
local socket need none of what the library is for. The library stays the peer in the tests.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Protocol

from mqctl.wire.hpack import Decoder, HeaderList, HpackError, encode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
STREAM_ID = 1
WINDOW_MAX = 2**31 - 1
WINDOW_DEFAULT = 65_535
FRAME_BYTES_MAX = 16_384  # SETTINGS_MAX_FRAME_SIZE's initial value; we announce no other
SETTINGS_INITIAL_WINDOW_SIZE = 4
MESSAGE_BYTES_MAX = 256 * 1024 * 1024


class Broken(Exception):
    """The peer ended the connection or speaks no gRPC."""


class Socket(Protocol):
    """What is needed of socket.socket; recv raises TimeoutError when its time is up."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...


class Status(Exception):
    """A call that ended with a status other than OK. trailers: ASCII metadata by name."""

    def __init__(self, code: int, message: str, trailers: dict[str, str]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.trailers = trailers


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def percent_decode(text: bytes) -> str:
    """grpc-message: percent-encoded UTF-8 (gRPC over HTTP/2, Status-Message)."""
    if b"%" not in text:
        return text.decode("utf-8", "replace")
    head, *rest = text.split(b"%")
    out = bytearray(head)
    for piece in rest:
        try:
            out += bytes((int(piece[:2], 16),)) + piece[2:]
        except ValueError:  # no escape after all
            out += b"%" + piece
    return out.decode("utf-8", "replace")


class Call:
    """A call under way. start() sends it; wait_ready() and messages() read what comes back."""

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._decoder = Decoder()
        self._messages = bytearray()
        self._accepted = False
        self._ended = False
        self._status: Status | None = None
        self._stream_window = WINDOW_DEFAULT
        self._connection_window = WINDOW_DEFAULT
        self._initial_window = WINDOW_DEFAULT

    def start(self, path: str, metadata: HeaderList, timeout_s: float | None, body: bytes) -> None:
        """Send the whole request: one message, end of stream."""
        headers: HeaderList = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ]
        if timeout_s is not None:
            headers.append((b"grpc-timeout", b"%dm" % min(99_999_999, round(timeout_s * 1000))))
        headers += metadata
        settings = struct.pack(">HIHI", 2, 0, SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_MAX)
        opening = (
            PREFACE
            + _frame(SETTINGS, 0, 0, settings)
            + _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_MAX - WINDOW_DEFAULT))
            + _frame(HEADERS, END_HEADERS, STREAM_ID, encode(headers))
        )
        self._send_body(opening, b"\0" + struct.pack(">I", len(body)) + body)

    def wait_ready(self) -> None:
        """Return when the peer has accepted the call (initial metadata came) or it has ended well.

        Raises Status when it ended with a failure before that.
        """
        while not (self._accepted or self._ended):
            self._read_frame()
        if not self._accepted and self._status is not None:
            raise self._status

    def messages(self) -> Iterator[bytes]:
        """Every reply message; raises Status at the end when the call failed."""
        while True:
            while (message := self._take_message()) is not None:
                yield message
            if self._ended:
                break
            self._read_frame()
        if self._status is not None:
            raise self._status

    def _send_body(self, opening: bytes, body: bytes) -> None:
        """Small bodies go out with the opening in one write; large ones as the windows allow."""
        pos = 0
        pending = opening
        while True:
            room = min(self._stream_window, self._connection_window, FRAME_BYTES_MAX)
            piece = body[pos : pos + max(room, 0)]
            if piece:
                pos += len(piece)
                self._stream_window -= len(piece)
                self._connection_window -= len(piece)
                last = END_STREAM if pos == len(body) else 0
                pending += _frame(DATA, last, STREAM_ID, piece)
            if pos == len(body):
                self._sock.sendall(pending)
                return
            if not piece:
                self._sock.sendall(pending)
                pending = b""
                if self._ended:
                    return
                self._read_frame()

    def _receive(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = self._sock.recv(65_536)
            if not chunk:
                raise Broken("the node closed the connection")
            self._buffer += chunk
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _read_frame(self) -> None:
        head = self._receive(9)
        length = int.from_bytes(head[:3], "big")
        if length > FRAME_BYTES_MAX:
            raise Broken("the peer at the control socket speaks no gRPC")
        kind, flags = head[3], head[4]
        payload = self._receive(length)
        if kind == HEADERS:
            self._on_headers(flags, payload)
        elif kind == DATA:
            self._on_data(flags, payload)
        elif kind == SETTINGS and not flags & ACK:
            self._on_settings(payload)
        elif kind == PING and not flags & ACK:
            self._acknowledge(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._on_window(int.from_bytes(head[5:9], "big"), payload)
        elif kind == RST_STREAM:
            self._end(Status(14, "the node reset the call", {}))
        elif kind == GOAWAY and int.from_bytes(payload[:4], "big") < STREAM_ID:
            raise Broken("the node is shutting its control socket down")

    def _on_settings(self, payload: bytes) -> None:
        for pos in range(0, len(payload) - 5, 6):
            key, value = struct.unpack_from(">HI", payload, pos)
            if key == SETTINGS_INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial_window
                self._initial_window = value
        self._acknowledge(_frame(SETTINGS, ACK, 0))

    def _acknowledge(self, frame: bytes) -> None:
        """A node that stops may have answered and closed already: the answer is still read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(frame)

    def _on_window(self, stream: int, payload: bytes) -> None:
        increment = int.from_bytes(payload[:4], "big")
        if stream:
            self._stream_window += increment
        else:
            self._connection_window += increment

    def _on_data(self, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        self._messages += payload
        if flags & END_STREAM:
            self._end(Status(2, "the node ended the call without a status", {}))

    def _on_headers(self, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if flags & PRIORITY:
            payload = payload[5:]
        last = flags & END_STREAM
        while not flags & END_HEADERS:
            head = self._receive(9)
            if head[3] != CONTINUATION:
                raise Broken("header block without its end")
            flags = head[4]
            payload += self._receive(int.from_bytes(head[:3], "big"))
        try:
            fields = self._decoder.decode(payload)
        except HpackError as error:
            raise Broken(f"unreadable header block: {error}") from error
        if last:
            self._on_trailers(fields)
        else:
            self._accepted = True

    def _on_trailers(self, fields: HeaderList) -> None:
        values = {name.decode("latin-1"): value for name, value in fields}
        raw = values.get("grpc-status", b"")
        if not raw.isdigit():
            raise Broken("the peer at the control socket speaks no gRPC")
        if int(raw) == 0:
            self._end(None)
            return
        text = {name: value.decode("latin-1") for name, value in values.items()}
        message = percent_decode(values.get("grpc-message", b""))
        self._end(Status(int(raw), message, text))

    def _end(self, status: Status | None) -> None:
        self._ended = True
        self._status = status

    def _take_message(self) -> bytes | None:
        if len(self._messages) < 5:
            return None
        compressed, length = struct.unpack_from(">BI", self._messages)
        if compressed or length > MESSAGE_BYTES_MAX:
            raise Broken("a reply that is compressed or too large")
        if len(self._messages) < 5 + length:
            return None
        message = bytes(self._messages[5 : 5 + length])
        del self._messages[: 5 + length]
        return message
