"""One connection to another node, from its first byte to its end.

Theory. GREETING: TLS, then HELLO, WELCOME or REFUSAL both ways (`greeting`); nothing else is
taken, in small frames only, for limits.LINK_GREETING_S at most. UP: frames, in order. OVER: heard
once by the owner, and nothing that arrives later is looked at. What is put within a turn of the
loop is encrypted and written at its end, as fast as the socket takes it; the rest waits here.

Decides when a connection is dead, stuck or garbled; each of them ends it. What a service raises
ends it, too, with a traceback in the log: a message that was half taken must not be followed by
others as if it had been. Never decides who is linked, nor connects again: `mesh` does.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

from mqd import limits
from mqd.clock import Clock
from mqd.cluster.links import frames, greeting
from mqd.cluster.links.frames import BEAT, NAME, REPLY, REQUEST, SEND, Decoder, Garbled
from mqd.cluster.links.greeting import Hello, Refusal
from mqd.cluster.links.tls import Tls
from mqd.cluster.ports import PeerDown, Take
from mqd.errors import MqdError

log = logging.getLogger("mqd.cluster.links")

_CALLS: Final = 1 << 32
_SMALL: Final = 65_536
_pack = frames.HEAD.pack


class Owner(Protocol):
    """What a link needs of the mesh."""

    clock: Clock
    takers: dict[str, Take]

    @property
    def hello(self) -> Hello:
        """What this node says of itself."""

    def judge(self, link: Link, theirs: Hello, certified: str | None) -> Refusal | None:
        """None: the other is accepted."""

    def came_up(self, link: Link) -> None:
        """Both sides have accepted."""

    def ended(self, link: Link, why: str, refusal: Refusal | None) -> None:
        """Once. Calls `Link.release` when it can no longer be found."""

    def asked(self, link: Link, service: str, call: int, payload: bytes) -> None:
        """A request came in: `Link.reply` some time."""

    def overslept(self, now_ms: int) -> bool:
        """Whether this process stood still so long that the others have given it up."""


class Link(asyncio.Protocol):
    """dialled: the node that we called; None: somebody called us. node: who it is, "" until that
    is known. over: done when the link is."""

    def __init__(self, owner: Owner, tls: Tls, dialled: str | None) -> None:
        loop = asyncio.get_running_loop()
        self.node = dialled or ""
        self.dialled = dialled
        self.theirs: Hello | None = None
        self.address = ""
        self.was_up = False
        self.over: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.calls_served = 0
        self._owner = owner
        self._loop = loop
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._is_up = False
        self._decoder = Decoder(limits.LINK_HELLO_BYTES_MAX)
        self._timer: asyncio.TimerHandle | None = None
        self._heard_ms = 0
        self._beat_ms = 0
        self._out: deque[bytes | memoryview] = deque()
        self._out_bytes = 0
        self._largest = 0  # of the payloads in it, or that were since it was empty
        self._scheduled = False
        self._paused = False
        self._congested = False
        self._relief: list[Callable[[], None]] = []
        self._numbers: dict[str, int] = {}  # of services, as we named them
        self._services: list[str] = []  # as the other side did
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._call = 0

    # -- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        high, low = limits.LINK_SOCKET_HIGH_BYTES, limits.LINK_SOCKET_LOW_BYTES
        self._transport.set_write_buffer_limits(high, low)
        peer = transport.get_extra_info("peername") or ("?", 0)
        self.address = f"{peer[0]}:{peer[1]}"
        self._heard_ms = self._owner.clock.monotonic_ms()
        self._timer = self._loop.call_later(limits.LINK_GREETING_S, self._too_late)
        if self._is_over:  # ended while it was being made
            self._transport.abort()
        elif self.dialled is not None:
            self._tls.start()
            self._transport.write(self._tls.take())

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        now_ms = self._heard_ms = self._owner.clock.monotonic_ms()
        if self._is_up and self._owner.overslept(now_ms):
            return
        was_open = self._tls.is_open
        try:
            plain = self._tls.receive(data)
        except ssl.SSLError as error:
            self._distrust(error)
            return
        self._write(self._tls.take())
        if self._tls.is_open and not was_open:
            self._say(frames.HELLO, self._owner.hello.encode())
        if not plain:
            return
        if self._is_up:
            self._take(plain)
        else:
            self._greet(plain)

    def eof_received(self) -> None:
        self.end("it was closed")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_over:
            self.end("it was closed" if exc is None else _reason(exc))
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    # -- greeting -----------------------------------------------------------------------------

    def _greet(self, plain: bytes) -> None:
        """HELLO, then WELCOME; what comes in the same breath after it is taken as on a link."""
        try:
            rest = self._decoder.feed(plain)
            for kind, _, _, payload in rest:
                self._greeted(kind, payload)
                if self._is_over:
                    return
                if self._is_up:
                    self._take_all(rest)
                    return
        except Garbled as error:
            self.end(f"garbled: {error}")

    def _greeted(self, kind: int, payload: bytes) -> None:
        if kind == frames.HELLO and self.theirs is None:
            self.theirs = greeting.parse(payload)
            refusal = self._owner.judge(self, self.theirs, self._tls.certified)
            if refusal is not None:
                self.refuse(refusal)
                return
            self.node = self.theirs.node
            self._say(frames.WELCOME)
        elif kind == frames.WELCOME and self.theirs is not None:
            self._come_up()
        elif kind == frames.REFUSAL:
            refusal, generation = greeting.parse_refusal(payload)
            self.end(f"it refuses this node: {refusal.name}, it is at generation {generation}")
        else:
            raise Garbled(f"a frame of kind {kind} in the greeting")

    def _come_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._decoder.frame_bytes_max = limits.LINK_FRAME_BYTES_MAX
        self._is_up = self.was_up = True
        self._owner.came_up(self)

    def refuse(self, refusal: Refusal) -> None:
        """Say so and end."""
        self._say(frames.REFUSAL, greeting.refusal_payload(refusal, self._owner.hello.generation))
        self.end(f"refused: {refusal.name}", refusal)

    def _distrust(self, error: ssl.SSLError) -> None:
        alert = self._tls.take()
        self._write(alert)
        reason = getattr(error, "verify_message", None) or error.reason or "no TLS"
        self.end(f"TLS: {str(reason).lower().replace('_', ' ')}", Refusal.CERTIFICATE)

    def _too_late(self) -> None:
        self.end(f"no greeting within {limits.LINK_GREETING_S:.0f} s", at_once=True)

    def _say(self, kind: int, payload: bytes = b"") -> None:
        self._write(self._tls.seal(frames.frame(kind, payload=payload)))

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    # -- in -----------------------------------------------------------------------------------

    def _take(self, plain: bytes) -> None:
        try:
            self._take_all(self._decoder.feed(plain))
        except Garbled as error:
            self.end(f"garbled: {error}")

    def _take_all(self, received: frames.Frames) -> None:
        takers, services, node = self._owner.takers, self._services, self.node
        service, number = "", 0
        try:
            for kind, number, call, payload in received:
                if kind == SEND:
                    service = services[number]
                    take = takers.get(service)
                    if take is not None:
                        take(node, payload)
                elif kind == REQUEST:
                    self._owner.asked(self, services[number], call, payload)
                elif kind == REPLY:
                    self._settle(call, payload)
                elif kind != BEAT:
                    self._take_rare(kind, number, call, payload)
                if self._is_over:
                    return
        except Garbled:
            raise
        except IndexError as error:
            if number >= len(services):
                raise Garbled(f"service {number} has no name") from error
            self._blame(service)
        except Exception:  # noqa: BLE001 - the edge: see the charter
            self._blame(service)

    def _blame(self, service: str) -> None:
        log.exception("what node %s sent to service '%s' was not taken", self.node, service)
        self.end(f"service '{service}' failed")

    def _take_rare(self, kind: int, number: int, call: int, payload: bytes) -> None:
        if kind == NAME:
            if number != len(self._services) or number >= limits.LINK_SERVICES_MAX:
                raise Garbled(f"service {number} is named out of order")
            self._services.append(payload.decode(errors="replace"))
        elif kind == frames.FAILURE:
            self._settle(call, frames.failed(payload))
        else:
            raise Garbled(f"a frame of kind {kind} after the greeting")

    def _settle(self, call: int, outcome: bytes | MqdError) -> None:
        future = self._pending.pop(call, None)
        if future is None or future.done():  # nobody waits any more
            return
        if isinstance(outcome, MqdError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    # -- out ----------------------------------------------------------------------------------

    def send(self, service: str, payload: bytes) -> None:
        """Only while it is up."""
        number = self._numbers.get(service)
        if number is None:
            number = self._name(service)
        size = len(payload)
        if size > _SMALL:
            self._put(SEND, number, 0, payload)
            return
        # The same as `_put` for what is small: the way of nearly all.
        self._out.append(_pack(size, SEND, number, 0))
        self._out.append(payload)
        self._out_bytes += size + frames.HEAD_BYTES
        if not self._scheduled or self._out_bytes > limits.LINK_HIGH_BYTES:
            self._schedule()

    def ask(self, service: str, payload: bytes) -> tuple[int, asyncio.Future[bytes]]:
        """Number of the call and its answer, which the end of the link makes PeerDown."""
        number = self._numbers.get(service)
        if number is None:
            number = self._name(service)
        call = self._call = (self._call + 1) % _CALLS
        future = self._pending[call] = self._loop.create_future()
        self._put(REQUEST, number, call, payload)
        return call, future

    def forget(self, call: int) -> None:
        """Nobody waits for it any more."""
        self._pending.pop(call, None)

    def reply(self, call: int, outcome: bytes | MqdError) -> None:
        """Answer a call. No effect when the link is over."""
        if self._is_over:
            return
        if isinstance(outcome, MqdError):
            self._put(frames.FAILURE, 0, call, frames.failure(outcome))
        else:
            self._put(REPLY, 0, call, outcome)

    @property
    def is_congested(self) -> bool:
        """More than limits.LINK_HIGH_BYTES wait, or did and LINK_LOW_BYTES still do."""
        return self._congested

    def on_relief(self, call: Callable[[], None]) -> None:
        """Once, when it is congested no more or over."""
        self._relief.append(call)

    def _name(self, service: str) -> int:
        number = self._numbers[service] = len(self._numbers)
        assert number < limits.LINK_SERVICES_MAX, "services are few and have fixed names"
        self._put(NAME, number, 0, service.encode())
        return number

    def _put(self, kind: int, number: int, call: int, payload: bytes) -> None:
        assert len(payload) <= limits.LINK_MESSAGE_BYTES_MAX
        if len(payload) > self._largest:
            self._largest = len(payload)
        for piece in frames.pieces(kind, number, call, payload):
            self._out.append(piece)
            self._out_bytes += len(piece)
        self._schedule()

    def _schedule(self) -> None:
        if self._out_bytes > limits.LINK_HIGH_BYTES:
            self._congested = True
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._scheduled = False
        # One message may be larger than the bound; all that waits beside it may not.
        if self._paused and self._out_bytes - self._largest > limits.LINK_STOP_BYTES:
            self.end(f"it does not read: {self._out_bytes} bytes wait", at_once=True)
        else:
            self._flush()

    def _flush(self) -> None:
        if self._is_over or self._transport is None:
            return
        while self._out and not self._paused:
            self._transport.write(self._tls.seal(self._chunk()))
        if self._congested and self._waiting_bytes <= limits.LINK_LOW_BYTES:
            self.relieve()

    def _chunk(self) -> bytes:
        """What goes out in one write."""
        out = self._out
        if self._out_bytes <= limits.LINK_CHUNK_BYTES:
            data = b"".join(out)
            out.clear()
            self._out_bytes = self._largest = 0
            return data
        taken: list[bytes | memoryview] = []
        size = 0
        while out and size < limits.LINK_CHUNK_BYTES:
            piece = out.popleft()
            taken.append(piece)
            size += len(piece)
        self._out_bytes -= size
        return b"".join(taken)

    @property
    def _waiting_bytes(self) -> int:
        assert self._transport is not None
        return self._out_bytes + self._transport.get_write_buffer_size()

    def relieve(self) -> None:
        """It is congested no more: call those who wait for that."""
        self._congested = False
        waiting, self._relief = self._relief, []
        for call in waiting:
            call()

    # -- life and end -------------------------------------------------------------------------

    def tick(self, now_ms: int, slept_ms: int) -> None:
        """Now and then. slept_ms: how long this process stood still, which proves no silence."""
        if not self._is_up:
            return
        self._heard_ms += slept_ms
        if now_ms - self._heard_ms > limits.LINK_DEAD_MS:
            self.end(f"nothing was heard for {limits.LINK_DEAD_MS / 1000:.0f} s", at_once=True)
        elif now_ms - self._beat_ms >= limits.LINK_BEAT_MS:
            self._beat_ms = now_ms
            if not self._out:
                self._put(BEAT, 0, 0, b"")

    def finish(self, why: str) -> None:
        """End it after what has been put, as far as the socket takes that."""
        self._flush()
        self.end(why)

    def end(self, why: str, refusal: Refusal | None = None, *, at_once: bool = False) -> None:
        """End it now. The owner hears once; what was asked fails. at_once: there is nobody to
        take what has been encrypted."""
        if self._is_over:
            return
        self._is_over = True
        self._is_up = False
        if self._timer is not None:
            self._timer.cancel()
        self._out.clear()
        self._hang_up(at_once)
        self._owner.ended(self, why, refusal)
        if not self.over.done():
            self.over.set_result(None)

    def _hang_up(self, at_once: bool) -> None:
        if self._transport is None:
            return
        try:
            if not at_once:
                # What was written arrives only if what still comes in is read: to close with
                # something unread resets the connection.
                self._transport.write_eof()
                self._timer = self._loop.call_later(limits.LINK_CLOSE_S, self._transport.abort)
                return
        except OSError:  # it is gone already, and asyncio has not told yet
            pass
        self._transport.abort()

    def release(self) -> None:
        """Once it is over and nobody finds it any more: let those go who wait for it."""
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(PeerDown(self.node))
        self.relieve()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()
