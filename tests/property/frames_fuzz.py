"""Clients that send anything, to a broker without a socket.

    python -m tests.property.frames_fuzz [--minutes 10] [--seed N]

Decides what is sent: methods with any values in any order, contents that do not fit, recorded
conversations with some bytes changed, cut at any places; and what happens meanwhile: commits that
come late, alarms, congestion, time. What must hold after every read is in `Arena`: no fault of
ours, bounded buffers, output that can be read, a close with a reason, and nothing left behind.
All choices come from one `random.Random`, so a seed repeats a run and Hypothesis can shrink it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mqd import limits
from mqd.amqp.states import Phase
from mqd.broker.settings import Settings
from mqd.transport.session import Session
from tests.harness import Basic, Client, Queue, World, published
from tests.nodes import Node
from tests.protocol import script, wire
from tests.protocol.player import Player
from tests.protocol.record import SCENARIOS
from tests.protocol.stage import stage

_READ_BYTES_MAX = 65_536
_UNREAD_BYTES_MAX = 4 * _READ_BYTES_MAX
_MESSAGE_BYTES_MAX = 200_000
_TURN_MAX_S = 5.0  # of a read: far beyond what any should take on a busy machine
_NAMES = ("", "q", "q2", "q3", "x", "x2", "amq.direct", "amq.topic", "amq.headers", "amq.fanout",
          "amq.rabbitmq.reply-to", "#", "a.b", "*.b", "t", "guest", "/", "direct", "topic",
          "headers", "fanout", "PLAIN", "AMQPLAIN")  # fmt: skip
_KEYS = ("x-message-ttl", "x-max-length", "x-expires", "x-dead-letter-exchange", "x-match", "a",
         "x-dead-letter-routing-key", "x-priority", "x-max-priority", "x-overflow", "x-queue-type",
         "x-queue-mode", "x-single-active-consumer", "alternate-exchange", "CC", "BCC",
         "x-max-length-bytes", "capabilities", "connection.blocked", "",
         "x-stream-offset")  # fmt: skip
_EDGES = (0, 1, 2, 3, 7, 8, 60, 127, 128, 255, 256, 4095, 4096, 32767, 32768, 65535, 65536,
          131064, 131072, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
_CLIENT_METHODS = tuple(
    name
    for name in wire.METHODS
    if not name.endswith("-ok") and name.split(".")[0] not in ("connection", "access")
)
_OFTEN = ("queue.declare", "queue.bind", "basic.consume", "basic.get", "basic.ack", "basic.nack",
          "basic.qos", "channel.open", "channel.open", "exchange.declare", "exchange.bind",
          "confirm.select", "tx.select", "tx.commit", "tx.rollback")  # fmt: skip
_SIZES = {"octet": 1, "short": 2, "long": 4, "longlong": 8}
Dice = random.Random


# -- what is sent -----------------------------------------------------------------------------


class Noise:
    """Pieces of every kind, from well made to garbage. wild: how often one must end everything;
    only calm clients get deep."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._wild = dice.choice((0.0, 0.0, 0.01, 0.05, 0.3))
        self._sense = dice.choice((0.0, 0.5, 0.9))
        self._tags = 0

    def pieces(self, count: int) -> list[bytes]:
        return [*self._stage(), *(self._piece() for _ in range(count))]

    def _stage(self) -> list[bytes]:
        """Something to work with, mostly."""
        if self._dice.random() < 0.2:
            return []
        declares = [_frame(1, "queue.declare", queue=f"q{end}", durable=True) for end in ("", "2")]
        binds = [
            _frame(1, "queue.bind", queue=queue, exchange=exchange, routing_key=key)
            for queue, exchange, key in (("q", "amq.topic", "#"), ("q2", "amq.fanout", ""))
        ]
        mode = self._dice.choice(("confirm.select", "tx.select", "basic.recover-async"))
        return [
            *declares,
            *binds,
            _frame(2, mode, **{"requeue": True} if "recover" in mode else {}),
        ]

    def _sensible(self) -> bytes:
        """What a client would send that knows what it does."""
        dice = self._dice
        channel = dice.choice((1, 1, 2))
        self._tags += 1
        match dice.randrange(10):
            case 0:
                return _frame(channel, "basic.qos", prefetch_count=dice.choice((0, 1, 5)))
            case 1:
                name, no_ack = f"c{self._tags}", dice.random() < 0.3
                queue = dice.choice(("q", "q2"))
                return _frame(
                    channel, "basic.consume", queue=queue, consumer_tag=name, no_ack=no_ack
                )
            case 2:
                return _frame(channel, "basic.get", queue=dice.choice(("q", "q2")))
            case 3:
                tag = dice.randrange(self._tags + 1)
                return _frame(channel, "basic.ack", delivery_tag=tag, multiple=dice.random() < 0.5)
            case 4:
                return _frame(channel, "basic.nack", multiple=True, requeue=dice.random() < 0.5)
            case 5:
                return _frame(
                    channel, "basic.cancel", consumer_tag=f"c{dice.randrange(self._tags)}"
                )
            case 6:
                return _frame(channel, "basic.recover", requeue=True)
            case _:
                header = wire.header_payload(30, {"delivery_mode": dice.choice((1, 2))})
                publish = _frame(channel, "basic.publish", routing_key=dice.choice(("q", "q2")))
                body = wire.body_frames(channel, bytes(30), 0)
                return (publish + wire.frame(2, channel, header) + body) * dice.randrange(1, 20)

    def _piece(self) -> bytes:
        if self._is_wild():
            return self._wild_piece()
        draw = self._dice.random()
        if draw < self._sense:
            return self._sensible()
        draw = self._dice.random()
        if draw < 0.6:
            return self._method(self._dice.choice(_OFTEN))
        if draw < 0.9:
            return self._message()
        if draw < 0.99:
            return self._method(self._dice.choice(_CLIENT_METHODS))
        return wire.frame(8, 0, b"")

    def _wild_piece(self) -> bytes:
        draw = self._dice.random()
        if draw < 0.4:
            return self._method(self._dice.choice(tuple(wire.METHODS)))
        if draw < 0.8:
            return self._odd_frame()
        return self._bytes(self._dice.randrange(40))

    def _is_wild(self) -> bool:
        return self._dice.random() < self._wild

    def _bytes(self, count: int) -> bytes:
        return bytes(self._dice.randrange(256) for _ in range(count))

    def _channel(self) -> int:
        if self._is_wild():
            return self._dice.choice((0, 3, 2047, 2048, 65535))
        return self._dice.choice((1, 1, 2))

    def _odd_frame(self) -> bytes:
        """Of any kind and size, with an end that may be none."""
        frame = bytearray(
            wire.frame(
                self._dice.choice((0, 1, 2, 3, 4, 8, 255)),
                self._channel(),
                self._bytes(self._dice.choice((0, 1, 3, 4, 13, 14, 20))),
                self._dice.choice((206, 206, 206, 0, 255)),
            )
        )
        if self._dice.random() < 0.3:
            frame[3:7] = (self._dice.choice(_EDGES) & 0xFFFFFFFF).to_bytes(4, "big")
        return bytes(frame)

    def _method(self, name: str) -> bytes:
        values = {field: self._value(kind) for field, kind in wire.METHODS[name].fields}
        channel = self._channel()
        if name.endswith(".declare") and self._dice.random() < 0.8:
            values["passive"] = False  # else most of them only ask
        if name in ("basic.ack", "basic.nack", "basic.reject"):
            values["delivery_tag"] = self._dice.choice((0, 1, 2, 3, 4, 5, 2**64 - 1))
        return wire.frame(1, channel, wire.method_payload(name, values))

    def _value(self, kind: str) -> Any:
        if kind == "bit":
            return self._dice.random() < 0.4
        if kind in _SIZES:
            return self._number(_SIZES[kind])
        if kind == "table":
            return self._table(3)
        if kind == "longstr":
            return self._dice.choice(("\0guest\0guest", "\0guest\0wrong", "", self._text()))
        return self._text()

    def _number(self, size: int) -> int:
        edge = self._dice.choice(_EDGES) if self._is_wild() else self._dice.choice((0, 0, 1, 2, 5))
        return edge & ((1 << 8 * size) - 1)

    def _text(self) -> str:
        if not self._is_wild():
            return self._dice.choice(_NAMES)
        return wire.text(self._bytes(self._dice.choice((0, 1, 5, 127, 255))))

    def _table(self, depth: int) -> wire.Table:
        count = self._dice.choice((0, 0, 0, 1, 1, 2, 5))
        return {self._dice.choice(_KEYS): self._field(depth) for _ in range(count)}

    def _field(self, depth: int) -> wire.Field:
        kind = self._dice.choice("IlbBsuidfTtSxFAVD" if depth else "IlSt")
        if kind in "Sx":
            return kind, self._text()
        if kind == "F":
            return kind, self._table(depth - 1)
        if kind == "A":
            return kind, [self._field(depth - 1) for _ in range(self._dice.randrange(4))]
        if kind == "D":
            return kind, (self._dice.randrange(256), self._number(4))
        if kind in "df":
            return kind, self._dice.choice((0.0, -1.5, float("inf"), float("nan")))
        if kind == "t":
            return kind, self._dice.random() < 0.5
        if kind == "V":
            return kind, None
        sizes = {"I": 4, "l": 8, "b": 1, "B": 1, "s": 2, "u": 2, "i": 4, "T": 8}
        low = -(1 << 8 * sizes[kind] - 1) if kind in "Ilbs" else 0
        high = (1 << 8 * sizes[kind] - (kind in "Ilbs")) - 1
        return kind, self._dice.choice((0, 1, 5, high, low))

    def _message(self) -> bytes:
        """basic.publish with a content that fits, mostly."""
        channel = self._dice.choice((1, 1, 1, 2))
        values = {
            "exchange": self._dice.choice(("", "", "", self._text())),
            "routing_key": self._dice.choice(("q", "q2", "q", self._text())),
            "mandatory": self._dice.random() < 0.2,
            "immediate": self._is_wild(),
        }
        size = self._dice.choice((0, 1, 10, 10, 10, 100, 5000, 70_000))
        said = self._number(8) if self._is_wild() else size
        header = bytearray(wire.header_payload(said, self._properties()))
        if self._is_wild():
            header[self._dice.randrange(len(header))] = self._dice.randrange(256)
        parts = [
            wire.frame(1, channel, wire.method_payload("basic.publish", values)),
            wire.frame(2, channel, bytes(header)),
            wire.body_frames(
                channel, bytes(size), self._dice.choice((0, 4096, 20 + size // 99, 9))
            ),
        ]
        if self._is_wild():
            parts.pop(self._dice.randrange(len(parts)))
        return b"".join(parts)

    def _properties(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self._dice.random() < 0.6:
            made["delivery_mode"] = self._dice.choice((1, 2, 2, 2, 0, 9))
        if self._dice.random() < 0.2:
            made["headers"] = self._table(3)
        for name in ("expiration", "reply_to", "user_id", "correlation_id", "type"):
            if self._dice.random() < 0.07:
                made[name] = self._dice.choice(("1000", "0", "guest", self._text()))
        if self._dice.random() < 0.1:
            made["priority"] = self._number(1)
        if self._dice.random() < 0.05:
            made["timestamp"] = self._number(8)
        return made


def _frame(channel: int, name: str, **values: Any) -> bytes:
    return wire.frame(1, channel, wire.method_payload(name, values))


def mutate(dice: Dice, stream: bytes, other: bytes) -> bytes:
    """A conversation with something wrong in it, once or a few times."""
    frames = cut_frames(stream)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(frames))
        change = dice.randrange(8)
        if change == 0:
            del frames[at]
        elif change == 1:
            frames.insert(at, frames[at])
        elif change == 2:
            frames.insert(at, dice.choice(cut_frames(other)))
        elif change == 3:
            to = dice.randrange(len(frames))
            frames[at], frames[to] = frames[to], frames[at]
        elif change == 4:
            frames[at] = frames[at][: dice.randrange(len(frames[at]) + 1)]
        else:
            frames[at] = _change_bytes(dice, bytearray(frames[at]))
        if not frames:
            return b""
    return b"".join(frames)


def _change_bytes(dice: Dice, frame: bytearray) -> bytes:
    if not frame:
        return b""
    at = dice.randrange(min(len(frame), 600))
    change = dice.randrange(4)
    if change == 0:
        frame[at] ^= 1 << dice.randrange(8)
    elif change == 1:
        frame[at] = dice.choice((0, 1, 127, 128, 206, 255))
    elif change == 2:
        size = dice.choice((1, 2, 4, 8))
        frame[at : at + size] = (dice.choice(_EDGES) & ((1 << 8 * size) - 1)).to_bytes(size, "big")
    else:
        del frame[at : at + dice.choice((1, 2, 4, 30))]
    return bytes(frame)


def cut_frames(stream: bytes) -> list[bytes]:
    """The protocol header and the frames of what a client sent; what is no frame stays in one."""
    frames = [stream[:8]]
    at = 8
    while len(stream) - at >= 8:
        end = at + 8 + int.from_bytes(stream[at + 3 : at + 7], "big")
        frames.append(stream[at:end])
        at = end
    return [*frames, stream[at:]] if at < len(stream) else frames


def recorded(dice: Dice, count: int | None = None) -> list[bytes]:
    """What clients send in the recorded conversations, or in some of them."""
    scenarios = [
        scenario
        for file in script.load_all(SCENARIOS)
        for scenario in file.scenarios
        if not scenario.waits
    ]
    chosen = scenarios if count is None else dice.sample(scenarios, count)

    async def play() -> list[bytes]:
        streams: list[bytes] = []
        async with stage() as broker:
            for scenario in chosen:
                player = Player("127.0.0.1", broker.port, broker.ctl, quiet=0.0, patience=1)
                await player.play(scenario)
                streams += [bytes(peer.sent) for peer in player.peers.values()]
        return [stream for stream in streams if len(stream) > 8]

    with quiet():
        return asyncio.run(play())


def _reopen(channel: int) -> bytes:
    """The answer to channel.close, and the channel again."""
    return _frame(channel, "channel.close-ok") + _frame(channel, "channel.open")


# -- what must hold ---------------------------------------------------------------------------


class Arena:
    """A world, a client that is fuzzed, and one that minds its own business."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self.world = World(
            Settings(
                message_bytes_max=_MESSAGE_BYTES_MAX,
                queue_memory_messages_max=4,
                queue_memory_bytes_max=20_000,
            ),
            commit_at_once=dice.random() < 0.5,
        )
        self.world.topology.slow = dice.random() < 0.3
        self.witness = self.world.connect()
        self.seen: list[str] = []

    def run(self, pieces: list[bytes], *, logged_in: bool) -> None:
        """Send it all. AssertionError says what does not hold."""
        frame_max = self._dice.choice((4096, 5000, 131_072))
        client = (
            self.world.connect(channels=2, frame_max=frame_max) if logged_in else self.world.raw()
        )
        reader = Output(frame_max if logged_in else 131_072)
        for piece in pieces:
            self._send(client, reader, piece)
            if client.lost:
                break
            for channel in reader.take_closed():
                self._send(client, reader, _reopen(channel))
        self._let_go()
        reader.read(client.raw_output())
        self.seen += reader.closes
        self._check_close(client, reader)
        client.drop()
        self._check_nothing_left()

    def _send(self, client: Client, reader: Output, piece: bytes) -> None:
        """In reads of any size, with something happening between them."""
        at = 0
        while at < len(piece) and not client.lost:
            most = self._dice.choice((1, 7, 100, 5000, _READ_BYTES_MAX, _READ_BYTES_MAX))
            began = time.perf_counter()
            client.feed(piece[at : at + most])
            assert time.perf_counter() - began < _TURN_MAX_S, "a read took too long"
            at += most
            self._check_buffers(client)
            reader.read(client.raw_output())
            if self._dice.random() < 0.1:
                self._meanwhile(client)
            if len(client.unread) > _UNREAD_BYTES_MAX:
                self._let_go()

    def _check_buffers(self, client: Client) -> None:
        connection = client.session.connection
        waiting = len(connection._rest) + sum(map(len, connection._chunks))
        # one read that came while an answer was waited for, as the harness makes reads
        most = max(connection.frame_bytes_max, _UNREAD_BYTES_MAX + 2 * _READ_BYTES_MAX) + 16
        assert waiting <= most, f"{waiting} bytes wait for the rest of a frame"
        for content in connection.assembling.values():
            parts = content._parts
            size = sum(map(len, parts)) + 40 * len(parts)
            assert size <= 3 * _MESSAGE_BYTES_MAX + 140_000, f"{size} bytes for one message"

    def _check_close(self, client: Client, reader: Output) -> None:
        """Who was sent away was told why, in the handshake at least by the end of the socket."""
        phase = client.session.connection.phase
        if phase is Phase.CLOSING:
            assert reader.closes, "closing without a word"
        assert "541" not in reader.closes, "an internal error"

    def _meanwhile(self, client: Client) -> None:
        world, dice = self.world, self._dice
        match dice.randrange(6):
            case 0:
                world.commit()
            case 1:
                world.settle_topology()
            case 2:
                world.tick(dice.choice((10, 1000, 70_000)))
            case 3:
                world.broker.set_alarm("memory", dice.random() < 0.4)
                world.end_turns()
            case 4 if not client.lost:
                client.congest()
            case _:
                if not client.lost:
                    client.relieve()

    def _let_go(self) -> None:
        """Whatever was held up is not any more."""
        world = self.world
        for name in ("memory", "disk"):
            world.broker.set_alarm(name, False)
        for _ in range(50):
            world.settle_topology()
            world.commit()
            if not world.topology.waiting:
                break
        for session in list(world.listener.sessions):
            session.resume_writing()
        world.end_turns()

    def _check_nothing_left(self) -> None:
        self._let_go()
        world = self.world
        assert set(world.listener.sessions) == {self.witness.session}
        assert len(world.broker.connections) == 1
        for queue in world.vhost.queues.values():
            assert queue.owner is None, f"{queue.name} outlived its connection"
            assert not queue.consumers, f"{queue.name} has consumers"
            assert queue.unacked_count == 0, f"{queue.name} counts deliveries to nobody"
        assert not world.broker.replies
        self._serve_the_witness()

    def _serve_the_witness(self) -> None:
        witness = self.witness
        self.world.topology.slow = False
        witness.take()
        witness.call(Queue.Declare(queue="of the witness", exclusive=True))
        witness.feed(published("of the witness", "hello"))
        witness.send(Basic.Get(queue="of the witness", no_ack=True))
        assert [str(got) for got in witness.take()] == ["got 1 hello left 0"]
        witness.call(Queue.Delete(queue="of the witness"))


class Output:
    """What the server sends, which has to be AMQP whatever the client sent."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self.closes: list[str] = []
        self._closed: list[int] = []
        self._data = b""
        self._contents: dict[int, int] = {}  # bytes due on a channel; -1: the header

    def read(self, data: bytes) -> None:
        self._data += data
        if self._data.startswith(b"AMQP"):
            self._data = self._data[8:]
        while len(self._data) >= 8:
            end = 8 + int.from_bytes(self._data[3:7], "big")
            assert len(self._data) >= end, "half a frame"
            assert self._data[end - 1] == wire.FRAME_END
            assert end <= self._frame_bytes_max or self._data[0] != wire.FRAME_BODY
            channel = int.from_bytes(self._data[1:3], "big")
            self._frame(self._data[0], channel, self._data[7 : end - 1])
            self._data = self._data[end:]
        assert not self._data, "half a frame"

    def take_closed(self) -> list[int]:
        """Channels the server closed since the last call."""
        closed, self._closed = self._closed, []
        return closed

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        due = self._contents.get(channel)
        if kind == wire.FRAME_METHOD:
            assert due is None, "a method inside a content"
            spec, values = wire.read_method(payload)
            if spec.name in ("basic.deliver", "basic.get-ok", "basic.return"):
                self._contents[channel] = -1
            elif spec.name in ("connection.close", "channel.close"):
                self.closes.append(str(values["reply_code"]))
                if channel:
                    self._closed.append(channel)
        elif kind == wire.FRAME_HEADER:
            assert due == -1, "a header nobody waits for"
            self._due(channel, int.from_bytes(payload[4:12], "big"))
        elif kind == wire.FRAME_BODY:
            assert due is not None
            assert due >= len(payload) > 0, "a body that was not announced"
            self._due(channel, due - len(payload))
        else:
            assert (kind, channel, payload) == (wire.FRAME_HEARTBEAT, 0, b"")

    def _due(self, channel: int, left: int) -> None:
        self._contents[channel] = left
        if not left:
            del self._contents[channel]


@contextmanager
def no_faults() -> Iterator[None]:
    """An internal error is raised here, where a session would log it and answer 541. A backlog of
    a few messages is paged."""
    answered = Session._fault

    def fault(session: Session) -> None:
        raise

    Session._fault = fault  # type: ignore[method-assign, assignment]
    page, limits.PAGE_MESSAGES_MAX = limits.PAGE_MESSAGES_MAX, 3  # type: ignore[misc]
    try:
        with quiet():
            yield
    finally:
        limits.PAGE_MESSAGES_MAX = page  # type: ignore[misc]
        Session._fault = answered  # type: ignore[method-assign]


@contextmanager
def quiet() -> Iterator[None]:
    """The log of provoked faults interests nobody."""
    log = logging.getLogger("mqd")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def one_case(dice: Dice, streams: list[bytes]) -> Arena:
    """A case: noise, or a conversation gone wrong. Raises what is wrong with the server."""
    arena = Arena(dice)
    if streams and dice.random() < 0.5:
        stream = mutate(dice, dice.choice(streams), dice.choice(streams))
        arena.run([stream], logged_in=False)
    else:
        pieces = Noise(dice).pieces(dice.choice((1, 3, 10, 40, 150)))
        arena.run(pieces, logged_in=dice.random() < 0.95)
    return arena


def trouble_of(node: Node, streams: list[bytes], dice: Dice, seconds: float) -> str:
    """Fuzz a running daemon for a while; returns what its log says of faults of its own."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with contextlib.suppress(OSError), socket.create_connection(node.address, 5) as link:
            link.settimeout(0.05)
            if dice.random() < 0.5:
                link.sendall(mutate(dice, dice.choice(streams), dice.choice(streams)))
            else:
                link.sendall(_login() + b"".join(Noise(dice).pieces(dice.choice((3, 40, 150)))))
            if dice.random() < 0.7:
                while link.recv(65_536):
                    pass
    logs = "".join(path.read_text() for path in (node.directory / "log").glob("*.log"))
    at = min(
        (logs.find(word) for word in ("Traceback", "internal error") if word in logs), default=-1
    )
    return logs[max(0, at - 500) : at + 3000] if at >= 0 else ""


def _login() -> bytes:
    """The handshake of a client that does not wait for answers, and two channels."""
    return b"".join(
        (
            wire.PROTOCOL_HEADER,
            _frame(0, "connection.start-ok", mechanism="PLAIN", response="\0guest\0guest"),
            _frame(0, "connection.tune-ok", channel_max=2047, frame_max=131_072),
            _frame(0, "connection.open", virtual_host="/"),
            _frame(1, "channel.open"),
            _frame(2, "channel.open"),
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    options = parser.parse_args()
    streams = recorded(random.Random(0))
    ends = time.monotonic() + options.minutes * 60
    seed, cases = options.seed, 0
    closes: dict[str, int] = {}
    print(f"{len(streams)} recorded streams, first seed {seed}", flush=True)
    with no_faults():
        while time.monotonic() < ends:
            try:
                arena = one_case(random.Random(seed), streams)
            except BaseException:
                print(f"seed {seed} fails", flush=True)
                raise
            for code in arena.seen:
                closes[code] = closes.get(code, 0) + 1
            seed, cases = seed + 1, cases + 1
    with tempfile.TemporaryDirectory() as directory, Node(Path(directory)) as node:
        trouble = trouble_of(node, streams, random.Random(seed), options.minutes * 6)
        print(f"a daemon under the same holds {node.rss_mb:.0f} MB")
    assert not trouble, trouble
    told = ", ".join(f"{code}: {count}" for code, count in sorted(closes.items()))
    print(f"{cases} cases without a fault; closes by code: {told}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
