"""What clients send that no client should: noise, and recorded conversations gone wrong.

Decides bytes alone: methods with any values in any order, contents that do not fit, frames that
are none. Some clients are calm and get deep, others are wild and end soon. All choices come from
one `random.Random`, so a seed repeats a run and Hypothesis can shrink it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.protocol import script, wire
from tests.protocol.player import Player
from tests.protocol.record import SCENARIOS
from tests.protocol.stage import stage

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
        declares = [method(1, "queue.declare", queue=f"q{end}", durable=True) for end in ("", "2")]
        binds = [
            method(1, "queue.bind", queue=queue, exchange=exchange, routing_key=key)
            for queue, exchange, key in (("q", "amq.topic", "#"), ("q2", "amq.fanout", ""))
        ]
        mode = self._dice.choice(("confirm.select", "tx.select", "basic.recover-async"))
        return [
            *declares,
            *binds,
            method(2, mode, **{"requeue": True} if "recover" in mode else {}),
        ]

    def _sensible(self) -> bytes:
        """What a client would send that knows what it does."""
        dice = self._dice
        channel = dice.choice((1, 1, 2))
        self._tags += 1
        match dice.randrange(10):
            case 0:
                return method(channel, "basic.qos", prefetch_count=dice.choice((0, 1, 5)))
            case 1:
                name, no_ack = f"c{self._tags}", dice.random() < 0.3
                queue = dice.choice(("q", "q2"))
                return method(
                    channel, "basic.consume", queue=queue, consumer_tag=name, no_ack=no_ack
                )
            case 2:
                return method(channel, "basic.get", queue=dice.choice(("q", "q2")))
            case 3:
                tag = dice.randrange(self._tags + 1)
                return method(channel, "basic.ack", delivery_tag=tag, multiple=dice.random() < 0.5)
            case 4:
                return method(channel, "basic.nack", multiple=True, requeue=dice.random() < 0.5)
            case 5:
                return method(
                    channel, "basic.cancel", consumer_tag=f"c{dice.randrange(self._tags)}"
                )
            case 6:
                return method(channel, "basic.recover", requeue=True)
            case _:
                header = wire.header_payload(30, {"delivery_mode": dice.choice((1, 2))})
                publish = method(channel, "basic.publish", routing_key=dice.choice(("q", "q2")))
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


def method(channel: int, name: str, **values: Any) -> bytes:
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
        if not scenario.waits and not scenario.pending
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


def reopen(channel: int) -> bytes:
    """The answer to channel.close, and the channel again."""
    return method(channel, "channel.close-ok") + method(channel, "channel.open")


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
