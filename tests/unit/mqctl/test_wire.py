"""gRPC over h2: calls against scripted peers and against the real library."""

from __future__ import annotations

import struct

import pytest
from hpack import Encoder

from mqctl.wire.call import Call, Link
from mqctl.wire.outcomes import Broken, Status
from mqd.rpc.v1 import users_pb2, values_pb2
from tests.unit.mqctl.fake_node import FakeNode, call, refuse


class Script:
    """A socket that reads from a list and remembers what was sent."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.sent = b""

    def sendall(self, data: bytes, /) -> None:
        self.sent += data

    def recv(self, size: int, /) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


def encode(*headers: tuple[bytes, bytes]) -> bytes:
    return Encoder().encode(headers)


def start(sock: Script, body: bytes = b"", timeout_s: float | None = None) -> Call:
    return Link(sock).call("/s/m", [], timeout_s, body)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


OK_TRAILERS = frame(1, 5, 1, encode((b"grpc-status", b"0")))
HEAD = frame(1, 4, 1, encode((b":status", b"200"), (b"content-type", b"application/grpc")))


def test_a_reply_byte_by_byte() -> None:
    body = frame(0, 0, 1, b"\0\0\0\0\2hi" + b"\0\0\0\0\0")
    reply = frame(4, 0, 0, b"") + HEAD + body + OK_TRAILERS
    sock = Script(*(bytes([byte]) for byte in reply))
    running = start(sock, b"request", 1.0)
    running.wait_ready()
    assert list(running.messages()) == [b"hi", b""]


def test_a_ping_is_answered() -> None:
    sock = Script(frame(6, 0, 0, b"12345678") + HEAD + OK_TRAILERS)
    running = start(sock)
    assert list(running.messages()) == []
    assert frame(6, 1, 0, b"12345678") in sock.sent


def test_an_answer_is_read_from_a_peer_that_hung_up_behind_it() -> None:
    class HungUp(Script):
        def sendall(self, data: bytes, /) -> None:
            if self.sent:
                raise BrokenPipeError
            super().sendall(data)

    reply = frame(4, 0, 0, b"") + frame(6, 0, 0, b"12345678") + HEAD
    running = start(HungUp(reply + frame(0, 0, 1, b"\0\0\0\0\2hi") + OK_TRAILERS))
    assert list(running.messages()) == [b"hi"]


def test_a_node_that_goes_away_still_ends_the_calls_it_names() -> None:
    going = frame(7, 0, 0, struct.pack(">II", 2**31 - 1, 0)) + frame(6, 0, 0, b"12345678")
    last = frame(7, 0, 0, struct.pack(">II", 1, 0))
    body = frame(0, 0, 1, b"\0\0\0\0\2hi")
    assert list(start(Script(going + HEAD + last + body + OK_TRAILERS)).messages()) == [b"hi"]


def test_calls_on_one_link_are_told_apart() -> None:
    third = (
        frame(1, 4, 3, HEAD[9:]) + frame(0, 0, 3, b"\0\0\0\0\1b") + frame(1, 5, 3, OK_TRAILERS[9:])
    )
    first = HEAD + frame(0, 0, 1, b"\0\0\0\0\1a") + OK_TRAILERS
    link = Link(Script(third + first))
    one, two = (link.call("/s/m", [], None, b"") for _ in range(2))
    assert list(one.messages()) == [b"a"]
    assert list(two.messages()) == [b"b"]


@pytest.mark.parametrize(
    ("raw", "text"), [(b"plain", "plain"), (b"J%C3%B6rg 100%", "Jörg 100%"), (b"%ff", "\ufffd")]
)
def test_failures_keep_their_words(raw: bytes, text: str) -> None:
    fields = [(b":status", b"200"), (b"grpc-status", b"5"), (b"mqd-code", b"NOT_FOUND")]
    running = start(Script(frame(1, 5, 1, encode(*fields, (b"grpc-message", raw)))))
    with pytest.raises(Status) as caught:
        running.wait_ready()
    assert (caught.value.code, caught.value.message) == (5, text)
    assert caught.value.trailers["mqd-code"] == "NOT_FOUND"


def test_an_end_without_a_status_is_a_failure() -> None:
    running = start(Script(HEAD + frame(0, 1, 1, b"")))
    with pytest.raises(Status) as caught:
        list(running.messages())
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"AMQP\x00\x00\x09\x01AMQP\x00\x00\x09\x01",
        frame(1, 5, 1, encode((b":status", b"404"))),
        frame(7, 0, 0, struct.pack(">II", 0, 2)),
        HEAD + frame(0, 0, 1, b"\1\0\0\0\1x") + OK_TRAILERS,
        HEAD[:20],
    ],
)
def test_a_peer_that_speaks_something_else(answer: bytes) -> None:
    with pytest.raises(Broken):
        list(start(Script(answer)).messages())


def test_a_reset_is_a_status() -> None:
    running = start(Script(HEAD + frame(3, 0, 1, struct.pack(">I", 8))))
    running.wait_ready()
    with pytest.raises(Status):
        list(running.messages())


def test_a_large_request_waits_for_the_window() -> None:
    grant = frame(8, 0, 0, struct.pack(">I", 2**20)) + frame(8, 0, 1, struct.pack(">I", 2**20))
    sock = Script(grant, HEAD + OK_TRAILERS)
    running = start(sock, b"x" * 200_000)
    assert list(running.messages()) == []
    assert sock.sent.count(b"x") >= 200_000


def test_large_messages_both_ways_with_the_real_library(fake: FakeNode) -> None:
    def rows(_request: object, _context: object) -> object:
        row = users_pb2.UserRow(user="long name " * 20, tags=["t"])
        return iter([users_pb2.UserRows(rows=[row] * 500)] * 6)

    fake.answer("Users/List", users_pb2.ListUsers, rows, stream=True)
    outcome = call("-s", "list_users")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 3000

    fake.answer("Users/SetTags", users_pb2.SetUserTags, lambda *_: values_pb2.Done())
    tags = [f"tag{i}" * 20 for i in range(4000)]
    assert call("-q", "set_user_tags", "bob", *tags).code == 0
    assert list(fake.requests[-1].tags) == tags


def test_text_beyond_ascii_survives_in_errors(fake: FakeNode) -> None:
    def refused(_request: object, context: object) -> object:
        refuse(context, "INVALID_ARGUMENT", "grün: ß → 100%\nnext")  # type: ignore[arg-type]
        return None

    fake.answer("Users/Delete", users_pb2.DeleteUser, refused)
    outcome = call("-q", "delete_user", "x")
    assert (outcome.code, outcome.err) == (69, "Error:\ngrün: ß → 100%\nnext\n")
