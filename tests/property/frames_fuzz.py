"""Clients that send anything, to a broker without a socket, and to a daemon.

    python -m tests.property.frames_fuzz [--minutes 5] [--seed N]

Decides what happens while `frames_noise` is sent (commits that come late, alarms, congestion,
time), and what must hold after every read: no fault of ours, bounded buffers, output that can be
read, a close with a reason, and nothing left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqd import limits
from mqd.amqp.states import Phase
from mqd.broker.settings import Settings
from mqd.transport.session import Session
from tests.harness import Basic, Client, Queue, World, published
from tests.nodes import Node
from tests.property.frames_noise import Dice, Noise, method, mutate, quiet, recorded, reopen
from tests.protocol import wire

_READ_BYTES_MAX = 65_536
_UNREAD_BYTES_MAX = 4 * _READ_BYTES_MAX
_MESSAGE_BYTES_MAX = 200_000
_TURN_MAX_S = 5.0  # of this process, for a read: far beyond what any should take


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
                self._send(client, reader, reopen(channel))
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
            began = time.process_time()
            client.feed(piece[at : at + most])
            assert time.process_time() - began < _TURN_MAX_S, "a read took too long"
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


_START = b"\x00\x0a\x00\x0a"  # connection.start, in every version


class Output:
    """What the server sends, which has to be AMQP whatever the client sent."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self.closes: list[str] = []
        self._closed: list[int] = []
        self._data = b""
        self._version = wire.NINE
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
            if payload.startswith(_START):  # it names the version that both speak from then on
                self._version = wire.EIGHT if payload[4] == 8 else wire.NINE
            spec, values = wire.read_method(payload, self._version)
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
            method(0, "connection.start-ok", mechanism="PLAIN", response="\0guest\0guest"),
            method(0, "connection.tune-ok", channel_max=2047, frame_max=131_072),
            method(0, "connection.open", virtual_host="/"),
            method(1, "channel.open"),
            method(2, "channel.open"),
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
