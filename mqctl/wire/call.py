"""gRPC calls over a connected blocking socket: what gRPC adds to HTTP/2, which h2 speaks.

Decides how a unary or server-streaming call is framed (gRPC over HTTP/2) and how its outcome is
read. Never opens sockets, knows no verbs and words no errors.

Why not the gRPC library: importing it, dialling and shutting it down cost about 85 ms a call; h2
costs 40, nearly all of it import. Measured on the development machine with little else running,
medians of 20 calls in turn, frames and HPACK by hand -> h2: `mqctl list_queues` 103 -> 143 ms,
`mqctl -q list_users` 104 -> 147 ms; best calls 68 -> 94 and 74 -> 117. One call per process needs
little of what the library is for. The library stays the peer in the tests.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Final, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from mqctl.wire.outcomes import Broken, Status

Metadata = list[tuple[bytes, bytes]]

WINDOW_MAX: Final = 2**31 - 1
WINDOW_DEFAULT: Final = 65_535
MESSAGE_BYTES_MAX: Final = 256 * 1024 * 1024
HEADERS_BYTES_MAX: Final = 65_536
FRAME_HEAD_BYTES: Final = 9
GOAWAY: Final = 7
NO_GRPC: Final = "the peer at the control socket speaks no gRPC"


class Socket(Protocol):
    """What is needed of socket.socket; recv raises TimeoutError when its time is up."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...


class Link:
    """One connection to a node. Calls on it may follow each other or overlap."""

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._received = bytearray()
        self._calls: dict[int, Call] = {}
        # error texts travel in headers, and may end in a space
        config = H2Configuration(client_side=True, validate_inbound_headers=False)
        self._http = H2Connection(config)
        wanted = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_MAX,
            SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_BYTES_MAX,
        }
        self._http.local_settings = Settings(client=True, initial_values=wanted)
        self._http.initiate_connection()
        self._http.increment_flow_control_window(WINDOW_MAX - WINDOW_DEFAULT)

    def call(self, path: str, metadata: Metadata, timeout_s: float | None, body: bytes) -> Call:
        """Send a whole request: one message, end of stream."""
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ]
        if timeout_s is not None:
            headers.append((b"grpc-timeout", b"%dm" % min(99_999_999, round(timeout_s * 1000))))
        stream = self._http.get_next_available_stream_id()
        call = self._calls[stream] = Call(self)
        self._http.send_headers(stream, headers + metadata)
        self._send_body(stream, b"\0" + struct.pack(">I", len(body)) + body)
        return call

    def _send_body(self, stream: int, body: bytes) -> None:
        """Small bodies go out with the headers in one write; large ones as the windows allow."""
        left = memoryview(body)
        while left and not self._calls[stream].ended:
            room = self._http.local_flow_control_window(stream)
            piece = left[: min(room, self._http.max_outbound_frame_size)]
            if piece:
                left = left[len(piece) :]
                self._http.send_data(stream, bytes(piece), end_stream=not left)
            else:
                self._sock.sendall(self._http.data_to_send())
                self.read()
        self._sock.sendall(self._http.data_to_send())

    def read(self) -> None:
        """Take one frame in and answer it where HTTP/2 wants that. Raises Broken.

        h2 takes no frame after GOAWAY, but a node that stops still ends the calls it names
        (RFC 9113 §6.8), so h2 is not shown that frame.
        """
        frame = self._next_frame()
        if frame[3] == GOAWAY:
            if int.from_bytes(frame[9:13], "big") < max(self._calls):
                raise Broken("the node is shutting its control socket down")
            return
        try:
            for event in self._http.receive_data(frame):
                self._dispatch(event)
        except (H2Error, ValueError) as error:
            raise Broken(f"{NO_GRPC}: {error}") from error
        # A node that stops may have answered and closed already: the answer is still read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(self._http.data_to_send())

    def _next_frame(self) -> bytes:
        head = self._peek(FRAME_HEAD_BYTES)
        size = int.from_bytes(head[:3], "big")
        if size > self._http.max_inbound_frame_size:
            raise Broken(NO_GRPC)
        frame = self._peek(FRAME_HEAD_BYTES + size)
        del self._received[: len(frame)]
        return frame

    def _peek(self, size: int) -> bytes:
        while len(self._received) < size:
            chunk = self._sock.recv(65_536)
            if not chunk:
                raise Broken("the node closed the connection")
            self._received += chunk
        return bytes(self._received[:size])

    def _dispatch(self, event: Event) -> None:
        call = self._calls.get(getattr(event, "stream_id", None) or 0)
        if call is None:
            return
        call.take(event)
        if isinstance(event, DataReceived) and not call.ended:
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)


class Call:
    """A call under way. wait_ready() and messages() read what comes back."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._data = bytearray()
        self._accepted = False
        self._status: Status | None = None
        self.metadata: dict[str, str] = {}
        self.ended = False

    def wait_ready(self) -> None:
        """Return when the peer has accepted the call (initial metadata came) or it has ended well.

        Raises Status when it ended with a failure before that.
        """
        while not (self._accepted or self.ended):
            self._link.read()
        if not self._accepted and self._status is not None:
            raise self._status

    def messages(self) -> Iterator[bytes]:
        """Every reply message; raises Status at the end when the call failed."""
        while True:
            while (message := self._take_message()) is not None:
                yield message
            if self.ended:
                break
            self._link.read()
        if self._status is not None:
            raise self._status

    def take(self, event: Event) -> None:
        """What the connection has received for this call."""
        if isinstance(event, DataReceived):
            self._data += event.data or b""
        elif isinstance(event, ResponseReceived):
            self.metadata = _text(event.headers)
            if self.metadata.get(":status") != "200":
                raise Broken(NO_GRPC)
            self._accepted = event.stream_ended is None  # else these are the trailers already
            if event.stream_ended is not None:
                self._end(self.metadata)
        elif isinstance(event, TrailersReceived):
            self._end(_text(event.headers))
        elif isinstance(event, StreamReset):
            self._end({"grpc-status": "14", "grpc-message": "the node reset the call"})
        elif isinstance(event, StreamEnded):
            self._end({"grpc-status": "2", "grpc-message": "the call ended without a status"})

    def _end(self, trailers: dict[str, str]) -> None:
        if self.ended:
            return
        self.ended = True
        code = trailers.get("grpc-status", "")
        if not code.isdigit():
            raise Broken(NO_GRPC)
        if int(code):
            from urllib.parse import unquote

            message = unquote(trailers.get("grpc-message", "").encode("latin-1"), errors="replace")
            self._status = Status(int(code), message, trailers)

    def _take_message(self) -> bytes | None:
        if len(self._data) < 5:
            return None
        compressed, length = struct.unpack_from(">BI", self._data)
        if compressed or length > MESSAGE_BYTES_MAX:
            raise Broken("a reply that is compressed or too large")
        if len(self._data) < 5 + length:
            return None
        message = bytes(self._data[5 : 5 + length])
        del self._data[: 5 + length]
        return message


def _text(headers: list[tuple[bytes, bytes]] | None) -> dict[str, str]:
    return {bytes(n).decode("latin-1"): bytes(v).decode("latin-1") for n, v in headers or ()}
