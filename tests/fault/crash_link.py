"""A client that is fast to start, tells everything it hears, and outlives its broker.

Decides how methods are called and how confirms are told to whoever published. Never interprets:
the actors of `crash_actors` do. Bytes are made and read by `tests.protocol.wire`, apart from
`mqd.amqp`: a witness must not share the accused's mistakes. What a killed broker had still sent
is read to the end before the link counts as gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.protocol import wire

T = TypeVar("T")
_UNASKED = frozenset(
    {
        "basic.deliver",
        "basic.ack",
        "basic.nack",
        "basic.return",
        "basic.cancel",
        "connection.blocked",
        "connection.unblocked",
    }
)
_WITH_CONTENT = frozenset({"basic.deliver", "basic.get-ok", "basic.return"})
_CAPABILITIES: wire.Table = dict.fromkeys(
    ("publisher_confirms", "basic.nack", "connection.blocked", "authentication_failure_close"),
    ("t", True),
)
FRAME_MAX = 131_072


class GoneError(Exception):
    """The broker is not there any more."""


class RefusedError(Exception):
    """The broker closed the channel or the connection: the text says why."""


@dataclass(slots=True)
class Heard:
    """A method the broker sent, with its content."""

    channel: int
    name: str
    values: dict[str, Any]
    properties: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    missing: int = 0


Unasked = Callable[[Heard], None]


class Link(asyncio.Protocol):
    """One connection. `unasked[channel]` hears deliveries, returns and the like."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.unasked: dict[int, Unasked] = {}
        self.gone: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._rest = b""
        self._content: dict[int, Heard] = {}
        self._waiting: dict[int, deque[asyncio.Future[Heard]]] = {}
        self._transport: asyncio.Transport | None = None

    # -- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self._fail(GoneError())

    def _fail(self, error: Exception, channel: int = 0) -> None:
        """Nobody gets an answer any more, on one channel or (0) on all."""
        for number, waiting in self._waiting.items():
            while (not channel or number == channel) and waiting:
                future = waiting.popleft()
                if not future.done():
                    future.set_exception(error)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at = 0
        while len(data) - at >= 8:
            end = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
            if end > len(data):
                break
            channel = int.from_bytes(data[at + 1 : at + 3], "big")
            self._frame(data[at], channel, data[at + 7 : end - 1])
            at = end
        self._rest = data[at:]

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == wire.FRAME_METHOD:
            spec, values = wire.read_method(payload)
            heard = Heard(channel, spec.name, values)
            if spec.name in _WITH_CONTENT:
                self._content[channel] = heard
            else:
                self._method(heard)
        elif kind == wire.FRAME_HEADER:
            heard = self._content[channel]
            _, heard.missing, heard.properties = wire.read_header(payload)
            self._add(heard, b"")
        elif kind == wire.FRAME_BODY:
            self._add(self._content[channel], payload)

    def _add(self, heard: Heard, piece: bytes) -> None:
        heard.body += piece
        heard.missing -= len(piece)
        if not heard.missing:
            del self._content[heard.channel]
            self._method(heard)

    def _method(self, heard: Heard) -> None:
        if heard.name in _UNASKED:
            self.unasked[heard.channel](heard)
        elif heard.name in ("channel.close", "connection.close"):
            self.send(heard.channel, f"{heard.name}-ok")
            self._fail(RefusedError(heard.values["reply_text"]), heard.channel)
        else:
            future = self._waiting[heard.channel].popleft()
            if not future.done():
                future.set_result(heard)

    # -- out ----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Raises GoneError when nobody is there to read it."""
        if self._transport is None or self._transport.is_closing():
            raise GoneError
        self._transport.write(data)

    def send(self, channel: int, name: str, **values: Any) -> None:
        """A method that has no answer."""
        self.write(wire.frame(wire.FRAME_METHOD, channel, wire.method_payload(name, values)))

    async def call(self, channel: int, name: str, **values: Any) -> Heard:
        """A method and its answer. Raises GoneError, RefusedError."""
        self.send(channel, name, **values)
        return await self._answer(channel)

    async def _answer(self, channel: int) -> Heard:
        future: asyncio.Future[Heard] = self._loop.create_future()
        if self.gone.done():
            raise GoneError
        self._waiting.setdefault(channel, deque()).append(future)
        return await future

    async def login(self, user: str = "guest", password: str = "guest", vhost: str = "/") -> None:
        """The handshake, without heartbeats."""
        self.write(wire.PROTOCOL_HEADER)
        await self._answer(0)
        await self.call(
            0,
            "connection.start-ok",
            mechanism="PLAIN",
            response=f"\0{user}\0{password}",
            locale="en_US",
            client_properties={"capabilities": ("F", _CAPABILITIES)},
        )
        self.send(0, "connection.tune-ok", channel_max=2047, frame_max=FRAME_MAX, heartbeat=0)
        await self.call(0, "connection.open", virtual_host=vhost)

    async def open(self, channel: int) -> None:
        await self.call(channel, "channel.open")

    async def close(self) -> None:
        """In order. Returns when the socket is closed."""
        await self.call(0, "connection.close", reply_code=200)
        assert self._transport is not None
        self._transport.close()
        await self.gone

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


_open: list[Link] = []


def play(story: Coroutine[Any, Any, T]) -> T:
    """Run it in an event loop of its own, and drop what links it leaves behind."""

    async def run() -> T:
        try:
            return await story
        finally:
            while _open:
                link = _open.pop()
                link.abort()
                await link.gone

    return asyncio.run(run())


async def connect(port: int) -> Link:
    """A link that has logged in; only inside `play`. Raises GoneError."""
    loop = asyncio.get_running_loop()
    try:
        _, link = await loop.create_connection(Link, "127.0.0.1", port)
    except OSError as error:
        raise GoneError from error
    _open.append(link)
    await link.login()
    return link


def message(
    channel: int, exchange: str, key: str, body: bytes, mode: int, *, mandatory: bool = False
) -> bytes:
    """The frames of one publish."""
    values = {"exchange": exchange, "routing_key": key, "mandatory": mandatory}
    header = wire.header_payload(len(body), {"delivery_mode": mode, "app_id": "witness"})
    return (
        wire.frame(wire.FRAME_METHOD, channel, wire.method_payload("basic.publish", values))
        + wire.frame(wire.FRAME_HEADER, channel, header)
        + wire.body_frames(channel, body, FRAME_MAX)
    )


class Confirmed:
    """A channel in confirm mode: publishes, and calls back what each confirm makes certain."""

    def __init__(self, link: Link, channel: int) -> None:
        self.link = link
        self.channel = channel
        self.unconfirmed: deque[tuple[int, Callable[[], None]]] = deque()
        self.on_return: Callable[[Heard], None] = _no_return
        self._seqno = 0
        self._room: asyncio.Future[None] | None = None

    async def open(self) -> None:
        await self.link.open(self.channel)
        await self.link.call(self.channel, "confirm.select")
        self.link.unasked[self.channel] = self._hear

    def publish(self, frames: bytes, then: Callable[[], None]) -> None:
        """`then` is called when the broker confirms it."""
        self._seqno += 1
        self.unconfirmed.append((self._seqno, then))
        self.link.write(frames)

    async def room(self, most: int) -> None:
        """Wait until at most that many are unconfirmed. Raises GoneError."""
        while len(self.unconfirmed) > most:
            if self.link.gone.done():
                raise GoneError
            self._room = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._room, self.link.gone), return_when=asyncio.FIRST_COMPLETED)

    def _hear(self, heard: Heard) -> None:
        if heard.name == "basic.return":
            self.on_return(heard)
            return
        assert heard.name == "basic.ack", heard
        tag = heard.values["delivery_tag"]
        assert heard.values["multiple"] or self.unconfirmed[0][0] == tag, "confirm out of order"
        while self.unconfirmed and self.unconfirmed[0][0] <= tag:
            self.unconfirmed.popleft()[1]()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def _no_return(heard: Heard) -> None:
    raise AssertionError(f"returned without cause: {heard}")
