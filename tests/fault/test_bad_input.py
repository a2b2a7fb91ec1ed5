"""What no client should send, sent to a running daemon: the close that is due, and nobody else
notices. Codes and texts are RabbitMQ 3.10.8's; where it leaves a client without a word, mqd says
what was wrong (the transcripts of tests/protocol name these places).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nodes import Node
from tests.protocol import wire
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.slow

_HANDSHAKE_MS = 1000
_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)  # TLS: ClientHello


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One daemon for all: it has to outlive every one of them."""
    with Node(tmp_path_factory.mktemp("node")) as running:
        yield running
        logged = log_of(running)
        assert "Traceback" not in logged
        assert "internal error" not in logged


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Node]:
    """One that waits for no handshake; who has one to get through is not asked to hurry."""
    with Node(tmp_path, extra_config=f"handshake_timeout = {_HANDSHAKE_MS}\n") as running:
        yield running
        assert "Traceback" not in log_of(running)


def log_of(node: Node) -> str:
    return "".join(path.read_text() for path in (node.directory / "log").glob("*.log"))


class Raw:
    """A socket and the methods that come out of it."""

    def __init__(self, node: Node, *, running: bool = True, channels: int = 1) -> None:
        self.socket = socket.create_connection(node.address, PATIENCE_S)
        self.socket.settimeout(PATIENCE_S)
        self._data = b""
        if running:
            self.log_in()
            for number in range(1, channels + 1):
                assert self.call(number, "channel.open")[0] == "channel.open-ok"

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def log_in(self, password: str = "guest", capabilities: tuple[str, ...] = ()) -> None:
        self.send(wire.PROTOCOL_HEADER)
        assert self.method()[0] == "connection.start"
        offered: wire.Table = dict.fromkeys(capabilities, ("t", True))
        self.send_method(
            0,
            "connection.start-ok",
            mechanism="PLAIN",
            response=f"\0guest\0{password}",
            client_properties={"capabilities": ("F", offered)},
        )
        if password == "guest":
            assert self.method()[0] == "connection.tune"
            self.send_method(0, "connection.tune-ok", channel_max=2047, frame_max=131_072)
            assert self.call(0, "connection.open", virtual_host="/")[0] == "connection.open-ok"

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_method(self, channel: int, name: str, **values: Any) -> None:
        self.send(method(channel, name, **values))

    def call(self, channel: int, name: str, **values: Any) -> tuple[str, dict[str, Any]]:
        self.send_method(channel, name, **values)
        return self.method()

    def method(self) -> tuple[str, dict[str, Any]]:
        """The next method; contents are passed over. EOFError when the socket was closed."""
        while True:
            frame = self._frame()
            if frame[0] == wire.FRAME_METHOD:
                spec, values = wire.read_method(frame[7:-1])
                return spec.name, values

    def _frame(self) -> bytes:
        while True:
            end = 8 + int.from_bytes(self._data[3:7], "big")
            if 8 <= end <= len(self._data):
                frame, self._data = self._data[:end], self._data[end:]
                return frame
            more = self.socket.recv(65_536)
            if not more:
                raise EOFError
            self._data += more

    def rest(self) -> bytes:
        """Everything up to the end of the connection, which has to come."""
        data = self._data
        with contextlib.suppress(ConnectionError):
            while more := self.socket.recv(65_536):
                data += more
        return data

    def closed_with(self) -> tuple[str, int, str]:
        """(method, code, text) of the close that comes now, answered; a connection ends then."""
        name, values = self.method()
        assert name in ("channel.close", "connection.close"), name
        if name == "connection.close":
            self.send_method(0, "connection.close-ok")
            assert self.rest() == b""
        else:
            self.send_method(1, "channel.close-ok")
        return name, values["reply_code"], values["reply_text"]


def method(channel: int, name: str, **values: Any) -> bytes:
    return wire.frame(wire.FRAME_METHOD, channel, wire.method_payload(name, values))


def publish(key: str, body: bytes, *, said: int | None = None) -> bytes:
    size = len(body) if said is None else said
    return (
        method(1, "basic.publish", routing_key=key)
        + wire.frame(wire.FRAME_HEADER, 1, wire.header_payload(size, {}))
        + wire.body_frames(1, body, 131_072)
    )


@pytest.fixture(autouse=True)
def others_are_served(node: Node) -> Iterator[None]:
    """Somebody else's connection works before, during and after."""
    with Raw(node) as other:
        other.call(1, "queue.declare", queue="other", exclusive=True)
        yield
        other.send(publish("other", b"hello"))
        assert other.call(1, "basic.get", queue="other", no_ack=True)[0] == "basic.get-ok"


# -- frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        pytest.param(
            wire.frame(1, 1, struct.pack(">HH", 60, 250)), 503, "unknown method", id="method"
        ),
        pytest.param(
            wire.frame(1, 1, struct.pack(">HH", 9999, 1)), 503, "unknown method", id="class"
        ),
        pytest.param(struct.pack(">BHI", 1, 1, 131_073), 501, "frame_too_large", id="oversized"),
        pytest.param(
            struct.pack(">BHI", 3, 1, 0xFFFFFFFF), 501, "frame_too_large", id="size of -1"
        ),
        pytest.param(
            struct.pack(">BHI", 1, 1, 0x80000000), 501, "frame_too_large", id="smallest size"
        ),
        pytest.param(wire.frame(5, 1, b"abcd"), 501, "unknown_frame", id="type"),
        pytest.param(wire.frame(1, 1, b"\0\x14\0\x0a\0", 0), 501, "end_marker", id="end"),
        pytest.param(wire.frame(8, 1, b""), 505, "type 8", id="heartbeat on a channel"),
        pytest.param(
            wire.frame(1, 1, struct.pack(">HHHB", 50, 10, 0, 255) + b"short"),
            501,
            "cannot decode",
            id="string longer than its frame",
        ),
        pytest.param(
            wire.frame(1, 1, struct.pack(">HHHBB", 50, 10, 0, 0, 0) + b"\xff\xff\xff\xff"),
            501,
            "cannot decode",
            id="table size of -1",
        ),
        pytest.param(
            method(1, "queue.declare", queue="caf\udcc3"), 501, "UTF-8", id="name that is no UTF-8"
        ),
        pytest.param(
            method(1, "exchange.declare", exchange="\udcff", type="direct"),
            501,
            "UTF-8",
            id="exchange that is no UTF-8",
        ),
        pytest.param(
            method(1, "basic.publish") + wire.frame(2, 1, wire.header_payload(5, {}, 61)),
            505,
            "class 61",
            id="content of another class",
        ),
        pytest.param(
            publish("nowhere", b"123456", said=5), 501, "longer than", id="more body than said"
        ),
        pytest.param(method(5, "basic.get", queue="q"), 504, "channel.open", id="no channel"),
    ],
)
def test_frames_that_end_the_connection(node: Node, data: bytes, code: int, words: str) -> None:
    with Raw(node) as raw:
        raw.send(data)
        name, got, text = raw.closed_with()
    assert (name, got) == ("connection.close", code), text
    assert words in text


@pytest.mark.parametrize("size", [1 << 30, 1 << 40, 1 << 63, (1 << 64) - 1])
def test_bodies_larger_than_any_are_refused_when_announced(node: Node, size: int) -> None:
    """1 GiB and more; the largest are negative to who reads them as signed."""
    before_mb = node.rss_mb
    with Raw(node) as raw:
        raw.send(publish("nowhere", b"", said=size))
        name, code, text = raw.closed_with()
        assert (name, code) == ("channel.close", 406)
        assert text == (
            f"PRECONDITION_FAILED - message size {size} is larger than configured max size "
            "134217728"
        )
        assert raw.call(1, "channel.open")[0] == "channel.open-ok"
    assert node.rss_mb < before_mb + 10


def test_a_body_that_never_comes_costs_nothing(node: Node) -> None:
    before_mb = node.rss_mb
    with contextlib.ExitStack() as opened:
        for _ in range(50):
            raw = opened.enter_context(Raw(node))
            raw.send(publish("nowhere", b"", said=100 << 20))
            raw.send(struct.pack(">BHI", 3, 1, 131_064) + bytes(1000))
        assert node.rss_mb < before_mb + 20


def test_deep_tables(node: Node) -> None:
    """Nested as deep as a frame allows: refused, not recursed into."""
    inner = b""
    for _ in range(10_000):
        inner = b"\x01aF" + struct.pack(">I", len(inner)) + inner
    payload = struct.pack(">HHHBB", 50, 10, 0, 0, 0) + struct.pack(">I", len(inner)) + inner
    with Raw(node) as raw:
        raw.send(wire.frame(1, 1, payload))
        name, code, _ = raw.closed_with()
        assert (name, code) == ("connection.close", 501)


# -- before and in the handshake ----------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", _HELLO, bytes(8), b"AMQP\x00\x01\x00\x00", b"\r\n" * 9],
    ids=["http", "tls", "zeros", "amqp 1.0", "newlines"],
)
def test_something_else_before_the_protocol_header(node: Node, data: bytes) -> None:
    """The header that would be right, and the end (AMQP 0-9-1 §4.2.2)."""
    with Raw(node, running=False) as raw:
        raw.send(data)
        assert raw.rest() == wire.PROTOCOL_HEADER


_HALVES = {
    "nothing": b"",
    "half a header": b"AMQ",
    "no start-ok": wire.PROTOCOL_HEADER,
    "half a start-ok": wire.PROTOCOL_HEADER + b"\x01\x00\x00\x00\x00\x01\x00\x00\x0a\x00\x0b",
    "no tune-ok": wire.PROTOCOL_HEADER
    + method(0, "connection.start-ok", mechanism="PLAIN", response="\0guest\0guest"),
    "no open": wire.PROTOCOL_HEADER
    + method(0, "connection.start-ok", mechanism="PLAIN", response="\0guest\0guest")
    + method(0, "connection.tune-ok", channel_max=2047, frame_max=131_072),
}


def test_half_open_handshakes_are_timed_out(hasty: Node) -> None:
    count = 20 * len(_HALVES)
    with contextlib.ExitStack() as opened:
        began = time.monotonic()
        links = []
        for half in list(_HALVES.values()) * 20:
            links.append(link := opened.enter_context(Raw(hasty, running=False)))
            link.send(half)
        for link in links:
            link.rest()
        took_s = time.monotonic() - began
    assert took_s > 0.5 * _HANDSHAKE_MS / 1000
    eventually(lambda: log_of(hasty).count("handshake_timeout") == count)


def test_a_wrong_password_is_told_to_a_client_that_can_be_told(node: Node) -> None:
    with Raw(node, running=False) as raw:
        raw.log_in("wrong", ("authentication_failure_close",))
        name, code, text = raw.closed_with()
    assert (name, code) == ("connection.close", 403)
    assert text == (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see "
        "the broker logfile."
    )
    words = "PLAIN login refused: user 'guest' - invalid credentials"
    eventually(lambda: words in log_of(node))


def test_a_wrong_password_costs_other_clients_time(node: Node) -> None:
    """No word for three seconds, so that guessing is slow (observed: 3.10.8)."""
    before = log_of(node).count("PLAIN login refused: user 'guest' - invalid credentials")
    with Raw(node, running=False) as raw:
        began = time.monotonic()
        raw.log_in("wrong")
        assert raw.rest() == b""
        took_s = time.monotonic() - began
    assert took_s > 2.5
    after = log_of(node).count("PLAIN login refused: user 'guest' - invalid credentials")
    assert after == before + 1


# -- too much -----------------------------------------------------------------------------------


def test_more_channels_than_agreed(node: Node) -> None:
    """5,000 opens at once; the limit of 2,047 was agreed."""
    before_mb = node.rss_mb
    with Raw(node, channels=0) as raw:
        raw.send(b"".join(method(number, "channel.open") for number in range(1, 5001)))
        names = [raw.method() for _ in range(2048)]
        assert {name for name, _ in names[:-1]} == {"channel.open-ok"}
        name, values = names[-1]
        assert (name, values["reply_code"]) == ("connection.close", 530)
        assert "number of channels opened (2047)" in values["reply_text"]
    assert node.rss_mb < before_mb + 20


def test_channels_that_come_and_go(node: Node) -> None:
    before_mb = 0.0
    with Raw(node, channels=0) as raw:
        for turn in range(5):
            frames = [
                method(number, name)
                for number in range(1, 1001)
                for name in ("channel.open", "channel.close")
            ]
            raw.send(b"".join(frames))
            for _ in frames:
                raw.method()
            if turn == 0:
                before_mb = node.rss_mb
    assert node.rss_mb < before_mb + 5


_BACKLOG = 60  # times a megabyte
_GROWTH_MAX_MB = 64  # of the process, whatever waits for a client that does not read


def _fill(node: Node, queue: str, mib: int = _BACKLOG, size: int = 10_000) -> None:
    with Raw(node) as raw:
        raw.call(1, "queue.declare", queue=queue)
        for _ in range(mib):
            raw.send(publish(queue, bytes(size)) * ((1 << 20) // size))
        raw.call(1, "queue.declare", queue=queue, passive=True)


def _drop(node: Node, queue: str) -> None:
    with Raw(node) as raw:
        raw.call(1, "queue.delete", queue=queue)


@pytest.mark.parametrize("no_ack", [True, False])
def test_a_consumer_that_never_reads(node: Node, no_ack: bool) -> None:
    """It is offered no more than its connection takes; the others get the rest."""
    before_mb = node.rss_mb
    with Raw(node) as deaf:
        deaf.call(1, "queue.declare", queue="deaf")
        deaf.send_method(1, "basic.consume", queue="deaf", no_ack=no_ack)
        _fill(node, "deaf")
        assert node.rss_mb < before_mb + _GROWTH_MAX_MB
        with Raw(node) as other:
            left = other.call(1, "queue.declare", queue="deaf", passive=True)[1]["message_count"]
            assert left > 0.7 * _BACKLOG * 104
            assert other.call(1, "basic.get", queue="deaf", no_ack=True)[0] == "basic.get-ok"
    _drop(node, "deaf")


def test_a_getter_that_never_reads(node: Node) -> None:
    """All its requests come in one read, and answers are a thousand times as large."""
    _fill(node, "got", 150, 100_000)
    before_mb = node.rss_mb
    with Raw(node) as deaf:
        deaf.send(method(1, "basic.get", queue="got", no_ack=True) * 1400)
        with Raw(node) as other:
            other.call(1, "queue.declare", queue="got", passive=True)
            assert node.rss_mb < before_mb + _GROWTH_MAX_MB
        for _ in range(1400):  # when it reads after all, it gets everything
            assert deaf.method()[0] == "basic.get-ok"
    _drop(node, "got")


def test_a_consumer_that_hands_everything_back_and_never_reads(node: Node) -> None:
    _fill(node, "back", 8, 2000)
    before_mb = node.rss_mb
    with Raw(node) as deaf:
        deaf.call(1, "basic.consume", queue="back")
        deaf.send(method(1, "basic.recover-async", requeue=True) * 5000)
        with Raw(node) as other:
            other.call(1, "queue.declare", queue="back", passive=True)
        assert node.rss_mb < before_mb + _GROWTH_MAX_MB
    _drop(node, "back")


_LONG_NAME = "n" * 250  # in every answer


def test_a_client_that_asks_and_never_reads(node: Node) -> None:
    """Answers as small as the questions: at some point no more questions are read."""
    before_mb = node.rss_mb
    with Raw(node) as deaf:
        deaf.socket.settimeout(1)
        questions = method(1, "queue.declare", queue=_LONG_NAME) * 100
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 << 20:
                sent += deaf.socket.send(questions)
        assert sent < 150 << 20
        assert node.rss_mb < before_mb + _GROWTH_MAX_MB
    _drop(node, _LONG_NAME)


def test_connections_by_the_thousand(node: Node, tmp_path: Path) -> None:
    """Opened, half greeted and dropped: nothing of them stays."""
    before_mb = node.rss_mb
    for _ in range(10):
        links = [socket.create_connection(node.address, PATIENCE_S) for _ in range(200)]
        for link in links:
            link.sendall(wire.PROTOCOL_HEADER)
        for link in links:
            link.close()
    with Raw(node) as raw:
        raw.call(1, "queue.declare", queue="q", exclusive=True)
    assert node.rss_mb < before_mb + 20
