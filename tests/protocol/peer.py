"""One client connection of a transcript: bytes out, events in.

Decides nothing about right and wrong: it cuts what the server sends into events and keeps them in
order. It answers a close with close-ok, as every client does, unless told not to.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from tests.protocol import wire

_WITH_CONTENT = ("basic.deliver", "basic.get-ok", "basic.return")


@dataclass
class Event:
    """Something the server sent: a method (with its content), a stray frame, or the end."""

    channel: int
    name: str  # method name, or "closed", "header", "content", "body", "garbage"
    values: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0


class Peer:
    """A socket to the broker under test.

    pace: how many bytes go out in one write (0: all of them). `sent` keeps every byte, for the
    replays that cut a conversation short.
    """

    def __init__(self, name: str, changed: asyncio.Event, pace: int = 0) -> None:
        self.name = name
        self.events: list[Event] = []
        self.sent = bytearray()
        self.opened: set[int] = set()
        self.closed = False
        self.manual = False
        self.answer_close = True
        self.show_frames = False
        self.version = wire.NINE
        self.frame_max = 131072
        self.vhost = "/"
        self.local_port = 0
        self._confirming: dict[int, int] = {}
        self._unconfirmed: dict[int, set[int]] = {}
        self._content: dict[int, tuple[Event, int]] = {}
        self._changed = changed
        self._pace = pace
        self._sending = False
        self._answers = b""
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, host: str, port: int) -> None:
        reader, self._writer = await asyncio.open_connection(host, port)
        self.local_port = self._writer.get_extra_info("sockname")[1]
        self._task = asyncio.get_running_loop().create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                self._buffer += data
                self._cut()
        except ConnectionError:
            pass
        self.closed = True
        self._add(Event(0, "closed"))

    def _add(self, event: Event) -> None:
        event.at = time.monotonic()
        self.events.append(event)
        self._changed.set()

    def _cut(self) -> None:
        if self._buffer.startswith(b"AMQP"):
            if len(self._buffer) < 8:
                return
            self._add(Event(0, "header", {"bytes": wire.text(self._buffer[:8])}))
            self._buffer = self._buffer[8:]
        while len(self._buffer) >= 7:
            size = int.from_bytes(self._buffer[3:7], "big")
            if len(self._buffer) < size + 8:
                return
            kind, channel = self._buffer[0], int.from_bytes(self._buffer[1:3], "big")
            payload, end = self._buffer[7 : 7 + size], self._buffer[7 + size]
            self._buffer = self._buffer[8 + size :]
            if end != wire.FRAME_END:
                self._add(Event(channel, "garbage", {"kind": kind, "end": end}))
            self._frame(kind, channel, payload)

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == wire.FRAME_METHOD:
            spec, values = wire.read_method(payload, self.version)
            event = Event(channel, spec.name, values)
            if spec.name in _WITH_CONTENT and not self.show_frames:
                self._content[channel] = (event, -1)
            else:
                self._method(event)
        elif kind == wire.FRAME_HEARTBEAT:
            self._add(Event(channel, "heartbeat"))
        elif self.show_frames or channel not in self._content:
            self._stray(kind, channel, payload)
        else:
            self._collect(kind, channel, payload)

    def _stray(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == wire.FRAME_HEADER:
            class_id, size, properties = wire.read_header(payload)
            values = {"class": class_id, "size": size, "props": properties}
            self._add(Event(channel, "content", values))
        else:
            self._add(Event(channel, "body", {"bytes": wire.text(payload)}))

    def _collect(self, kind: int, channel: int, payload: bytes) -> None:
        event, size = self._content[channel]
        if kind == wire.FRAME_HEADER:
            _, size, event.values["props"] = wire.read_header(payload)
            event.values["body"] = b""
        else:
            event.values["body"] += payload
        self._content[channel] = (event, size)
        if len(event.values["body"]) >= size:
            del self._content[channel]
            self._add(event)

    def _method(self, event: Event) -> None:
        if event.name in ("basic.ack", "basic.nack") and event.channel in self._confirming:
            self._confirmed(event)
        self._add(event)
        if event.name == "channel.close":
            self.opened.discard(event.channel)
            self._confirming.pop(event.channel, None)
            if self.answer_close:
                self.write(self.method("channel.close-ok", event.channel))
        elif event.name == "connection.close" and self.answer_close:
            self.write(self.method("connection.close-ok", 0))
        elif event.name == "channel.close-ok":
            self.opened.discard(event.channel)
            self._confirming.pop(event.channel, None)

    def _confirmed(self, event: Event) -> None:
        tag, waiting = event.values["delivery_tag"], self._unconfirmed[event.channel]
        tags = {t for t in waiting if t <= tag} if event.values["multiple"] else {tag}
        event.values = {"seqnos": sorted(tags)}
        event.name = "confirm." + event.name.partition(".")[2]
        waiting -= tags

    def note_sent(self, name: str, channel: int) -> None:
        """Keep up with what confirms count (AMQP extension: publisher confirms)."""
        if name == "confirm.select" and channel not in self._confirming:
            self._confirming[channel] = 0
            self._unconfirmed[channel] = set()
        elif name == "basic.publish" and channel in self._confirming:
            self._confirming[channel] += 1
            self._unconfirmed[channel].add(self._confirming[channel])
        elif name == "channel.open":
            self.opened.add(channel)

    def method(self, name: str, channel: int, **values: Any) -> bytes:
        """A whole method frame, of the version that is spoken."""
        payload = wire.method_payload(name, values, self.version)
        return wire.frame(wire.FRAME_METHOD, channel, payload)

    def write(self, data: bytes) -> None:
        """Send without waiting, but not into the middle of what `send` is sending."""
        if self._sending:
            self._answers += data
            return
        self._put(data)

    def _put(self, data: bytes) -> None:
        self.sent += data
        if self._writer is not None and not self.closed:
            self._writer.write(data)

    async def send(self, data: bytes) -> None:
        """Send, at the pace asked for."""
        if not self.sent and data.startswith(wire.HEADERS_OF_EIGHT):
            self.version = wire.EIGHT
        self._sending = True
        step = self._pace or len(data) or 1
        for at in range(0, len(data), step):
            self._put(data[at : at + step])
            if self._pace:
                await asyncio.sleep(0)
        self._sending = False
        answers, self._answers = self._answers, b""
        self._put(answers)
        if self._writer is not None and not self.closed:
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    def unconfirmed(self, channel: int) -> set[int]:
        """What was published there and neither acked nor nacked, where confirms were asked for."""
        return self._unconfirmed[channel] if channel in self._confirming else set()

    @property
    def said_goodbye(self) -> bool:
        """Whether the last method was the answer to our connection.close."""
        names = [event.name for event in self.events if event.name != "closed"]
        return bool(names) and names[-1] == "connection.close-ok"

    @property
    def was_told_to_go(self) -> bool:
        """Whether the server sent connection.close: the socket may go any time after."""
        return any(event.name == "connection.close" for event in self.events)

    async def next(self, since: int, within: float = 30.0) -> Event | None:
        """The event number `since`, or None when it does not come."""
        deadline = time.monotonic() + within
        while len(self.events) <= since:
            self._changed.clear()
            left = deadline - time.monotonic()
            if left <= 0 or self.closed:
                return None
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        return self.events[since]

    async def disconnect(self, half: bool = False) -> None:
        """Close the socket (half: only our direction) without any goodbye."""
        if self._writer is None:
            return
        if half:
            with contextlib.suppress(OSError):
                self._writer.write_eof()
            return
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if self._task is not None:
            await self._task


def method(name: str, channel: int, **values: Any) -> bytes:
    """A whole method frame."""
    return wire.frame(wire.FRAME_METHOD, channel, wire.method_payload(name, values))
