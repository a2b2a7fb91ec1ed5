"""gRPC by hand: HPACK against RFC 7541's examples, calls against the real library."""

from __future__ import annotations

import struct

import pytest

from mqctl.wire.call import Broken, Call, Status, percent_decode
from mqctl.wire.hpack import Decoder, HpackError, encode, huffman_decode
from mqd.rpc.v1 import users_pb2, values_pb2
from tests.unit.mqctl.fake_node import FakeNode, call, refuse


def test_huffman_of_rfc_7541_c_4() -> None:
    assert huffman_decode(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff")) == b"www.example.com"
    assert huffman_decode(bytes.fromhex("a8eb10649cbf")) == b"no-cache"
    assert huffman_decode(bytes.fromhex("25a849e95bb8e8b4bf")) == b"custom-value"


def test_huffman_padding_is_checked() -> None:
    with pytest.raises(HpackError):
        huffman_decode(bytes.fromhex("f1e3c2e5f23a6ba0ab90f400"))


def test_responses_of_rfc_7541_c_6() -> None:
    decoder = Decoder(table_bytes_max=256)
    first = decoder.decode(
        bytes.fromhex(
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
            "0b97c8e9ae82ae43d3"
        )
    )
    assert first[:2] == [(b":status", b"302"), (b"cache-control", b"private")]
    second = decoder.decode(bytes.fromhex("4883640effc1c0bf"))
    assert second[0] == (b":status", b"307")
    assert second[3] == (b"location", b"https://www.example.com")


@pytest.mark.parametrize("block", ["80", "40", "ff80808080808080", "c0", "4a82"])
def test_broken_header_blocks_are_refused(block: str) -> None:
    with pytest.raises(HpackError):
        Decoder().decode(bytes.fromhex(block))


def test_what_we_write_is_read_back() -> None:
    headers = [(b":path", b"/x"), (b"long", b"v" * 300), (b"empty", b"")]
    assert Decoder().decode(encode(headers)) == headers


def test_percent_decoding_of_messages() -> None:
    assert percent_decode(b"plain") == "plain"
    assert percent_decode(b"J%C3%B6rg 100%") == "Jörg 100%"


class Script:
    """A socket that reads from a list and remembers what was sent."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.sent = b""

    def sendall(self, data: bytes, /) -> None:
        self.sent += data

    def recv(self, size: int, /) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


OK_TRAILERS = frame(1, 5, 1, encode([(b"grpc-status", b"0")]))
HEAD = frame(1, 4, 1, encode([(b":status", b"200"), (b"content-type", b"application/grpc")]))


def test_a_reply_byte_by_byte() -> None:
    body = frame(0, 0, 1, b"\0\0\0\0\2hi" + b"\0\0\0\0\0")
    reply = frame(4, 0, 0, b"") + HEAD + body + OK_TRAILERS
    sock = Script(*(bytes([byte]) for byte in reply))
    running = Call(sock)
    running.start("/s/m", [], 1.0, b"request")
    running.wait_ready()
    assert list(running.messages()) == [b"hi", b""]


def test_a_ping_is_answered() -> None:
    sock = Script(frame(6, 0, 0, b"12345678") + HEAD + OK_TRAILERS)
    running = Call(sock)
    running.start("/s/m", [], None, b"")
    assert list(running.messages()) == []
    assert frame(6, 1, 0, b"12345678") in sock.sent


def test_an_answer_is_read_from_a_peer_that_hung_up_behind_it() -> None:
    class HungUp(Script):
        def sendall(self, data: bytes, /) -> None:
            if self.sent:
                raise BrokenPipeError
            super().sendall(data)

    reply = frame(4, 0, 0, b"") + frame(6, 0, 0, b"12345678") + HEAD
    running = Call(HungUp(reply + frame(0, 0, 1, b"\0\0\0\0\2hi") + OK_TRAILERS))
    running.start("/s/m", [], None, b"")
    assert list(running.messages()) == [b"hi"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"AMQP\x00\x00\x09\x01AMQP\x00\x00\x09\x01",
        frame(1, 5, 1, encode([(b":status", b"404")])),
        frame(7, 0, 0, struct.pack(">II", 0, 2)),
        HEAD + frame(0, 0, 1, b"\1\0\0\0\1x") + OK_TRAILERS,
        HEAD[:20],
    ],
)
def test_a_peer_that_speaks_something_else(answer: bytes) -> None:
    running = Call(Script(answer))
    running.start("/s/m", [], None, b"")
    with pytest.raises(Broken):
        list(running.messages())


def test_a_reset_is_a_status() -> None:
    running = Call(Script(HEAD + frame(3, 0, 1, struct.pack(">I", 8))))
    running.start("/s/m", [], None, b"")
    running.wait_ready()
    with pytest.raises(Status):
        list(running.messages())


def test_a_large_request_waits_for_the_window() -> None:
    grant = frame(8, 0, 0, struct.pack(">I", 2**20)) + frame(8, 0, 1, struct.pack(">I", 2**20))
    sock = Script(grant, HEAD + OK_TRAILERS)
    running = Call(sock)
    running.start("/s/m", [], None, b"x" * 200_000)
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
