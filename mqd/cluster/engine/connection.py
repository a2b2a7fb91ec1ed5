"""One connection to the own nats-server, as its client.

Decides how questions find their answers: one inbox for all, a number for each, a future that
always ends (answered, refused for want of a responder, timed out, or the connection lost). Never
knows what is asked, and never connects again: a lost connection is over, and whoever made it
makes another.

`ask` does not wait to send: many questions can be under way without a task for each, and they
leave in the order they were asked. The first of a turn of the loop is written at once, those after
it together at the turn's end. An answer is given to whoever waits for it as soon as it is read.
(nats-py has tasks and queues both ways: an append that is alone took 230 us of CPU where it takes
150 so, one among many 22 us where it takes 13.)
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from mqd.cluster.engine import wire
from mqd.cluster.engine.wire import Msg, Said
from mqd.cluster.ports import NoMajority

_log = logging.getLogger("mqd.cluster.engine")
_SWEEP_S: Final = 0.1  # how late a timeout may be noticed
_CONNECT_TIMEOUT_S: Final = 5
_CANCEL_AGAIN_S: Final = 0.2
_CLOSE_S: Final = 0.2  # for what was written last
_PING_S: Final = 5  # a server that hangs is noticed after two
_PINGS_MAX: Final = 2

Take = Callable[[Msg], None]
T = TypeVar("T")


class NoResponder(NoMajority):
    """Nobody is there to answer now, so nothing was done: it may be asked again."""


class Lost(NoMajority):
    """The connection to the own server ended before the answer."""


@dataclass(slots=True)
class _Several:
    """Answers to one question, up to the one that `is_last`, which only ends them."""

    is_last: Callable[[Msg], bool]
    complete: asyncio.Future[None]
    taken: list[Msg] = field(default_factory=list)

    def take(self, message: Msg) -> None:
        if not self.is_last(message):
            self.taken.append(message)
        elif not self.complete.done():
            if _nobody(message):
                self.complete.set_exception(NoResponder("nobody answers"))
            else:
                self.complete.set_result(None)


class Connection(asyncio.Protocol):
    """From `open` to `lost`, which resolves when it is over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.unique = secrets.token_hex(11)  # a name that no other connection has
        self._inbox = f"_INBOX.{self.unique}."
        self._transport: asyncio.Transport | None = None
        self._decoder = wire.Decoder()
        self._login = b""
        self._info: Mapping[str, Any] = {}
        self._payload_bytes_max = 0
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._refusal = ""
        self._takes: list[Take] = [self._answered]  # by number of subscription, from 1
        self._count = 0
        self._waiting: dict[str, tuple[asyncio.Future[Any], Callable[[Msg], Any]]] = {}
        self._several: dict[str, _Several] = {}
        # By timeout, oldest first: the next to expire stands in front.
        self._deadlines: dict[float, deque[tuple[float, str]]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._outgoing: list[bytes] = []
        self._in_turn = False  # something was written in this turn of the loop
        self._pings = 0
        self._pinging: asyncio.TimerHandle | None = None

    async def open(self, port: int, user: str, password: str) -> None:
        """Raises OSError or TimeoutError."""
        self._login = wire.connect(user, password) + wire.subscribe(self._inbox + "*", 1)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await self._loop.create_connection(lambda: self, "127.0.0.1", port)
            await self._opened
        self._pinging = self._loop.call_later(_PING_S, self._ping)

    # -- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for one in self._decoder.feed(data):
                if isinstance(one, Said):
                    self._hear(one)
                elif 0 < one.sid <= len(self._takes):
                    self._take(self._takes[one.sid - 1], one)
                if self.lost.done():
                    return
        except wire.Garbled as error:
            self._fail(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            why = self._refusal or str(exc or "nats-server closed the connection")
            self._opened.set_exception(ConnectionError(why))
        self._end()

    def _hear(self, said: Said) -> None:
        if said.word == "PING":
            self._write(wire.PONG)
        elif said.word == "PONG":
            self._pings = 0
            if not self._opened.done():
                self._opened.set_result(None)
        elif said.word == "INFO":
            self._info = wire.info(said.text)
            self._payload_bytes_max = int(self._info.get("max_payload", 0))
            login, self._login = self._login, b""
            if login:
                self._write(login + wire.PING)
        elif said.word == "-ERR":
            self._refusal = said.text
            _log.debug("connection to nats-server: %s", said.text)
        elif said.word != "+OK":
            raise wire.Garbled(f"a line that begins with {said.word[:16]!r}")

    def _take(self, take: Take, message: Msg) -> None:
        try:
            take(message)
        except Exception:  # noqa: BLE001 - one listener's fault is not the connection's
            _log.exception("what follows from a message of %s was not done", message.subject)

    def _ping(self) -> None:
        if self.lost.done():
            return
        if self._pings >= _PINGS_MAX:
            self._fail("it does not answer")
            return
        self._pings += 1
        self._write(wire.PING)
        self._pinging = self._loop.call_later(_PING_S, self._ping)

    def _fail(self, why: str) -> None:
        _log.debug("connection to nats-server: %s", why)
        self._refusal = why
        self._end()
        if self._transport is not None:
            self._transport.abort()

    # -- asking -------------------------------------------------------------------------------

    @property
    def server_id(self) -> str:
        """What the server calls itself in questions to one server."""
        return str(self._info["server_id"])

    def ask(
        self,
        subject: str,
        data: bytes,
        headers: dict[str, str] | None,
        timeout_s: float,
        read: Callable[[Msg], T],
    ) -> asyncio.Future[T]:
        """What `read` makes of the answer. Raises what it raises, NoMajority when there is no
        answer in time (NoResponder: when there will be none)."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(Lost("the connection to the own nats-server is lost"))
            return future
        self._count += 1
        token = str(self._count)
        self._waiting[token] = (future, read)
        deadlines = self._deadlines.get(timeout_s)
        if deadlines is None:
            deadlines = self._deadlines[timeout_s] = deque()
        deadlines.append((self._loop.time() + timeout_s, token))
        if self._sweep is None:
            self._sweep = self._loop.call_later(_SWEEP_S, self._expire)
        self.send(subject, data, headers, self._inbox + token)
        return future

    def send(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        """In order with what is asked. Nothing tells whether it arrived."""
        try:
            head = wire.header_block(headers) if headers else b""
            question = wire.publish(subject, data, reply, head)
        except UnicodeError as error:
            _log.exception("a question to the own nats-server was not sent")
            self._refuse(reply, str(error))
            return
        if len(head) + len(data) > self._payload_bytes_max:
            self._refuse(reply, "it is too large")
        else:
            self._write(question)

    def _write(self, data: bytes) -> None:
        if self._in_turn:
            self._outgoing.append(data)
        elif self._transport is not None and not self.lost.done():
            self._in_turn = True
            self._transport.write(data)
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._in_turn = False
        if self._outgoing and self._transport is not None:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            self._transport.write(data)

    def hear(self, subject: str, take: Take) -> None:
        """All messages of a subject go there from now on."""
        self._takes.append(take)
        self._write(wire.subscribe(subject, len(self._takes)))

    async def collect(
        self, subject: str, data: bytes, timeout_s: float, is_last: Callable[[Msg], bool]
    ) -> list[Msg]:
        """Several answers; the last one, which only ends them, is left out. timeout_s: from one
        answer to the next."""
        self._count += 1
        token = str(self._count)
        several = self._several[token] = _Several(is_last, self._loop.create_future())
        self.send(subject, data, None, self._inbox + token)
        try:
            while True:
                had = len(several.taken)
                await asyncio.wait(
                    [several.complete, self.lost],
                    timeout=timeout_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if several.complete.done():
                    several.complete.result()
                    return several.taken
                if self.lost.done():
                    raise Lost("the connection to the own nats-server is lost")
                if len(several.taken) == had:
                    raise NoMajority("no answer in time")
        finally:
            del self._several[token]

    async def close(self) -> None:
        """It is over; whoever waits is told."""
        transport = self._transport
        if transport is not None and not self.lost.done():
            self._end_turn()
            transport.close()
            if transport.get_write_buffer_size():
                await asyncio.wait([self.lost], timeout=_CLOSE_S)
            transport.abort()
        self._end()

    def _answered(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        found = self._waiting.pop(token, None)
        if found is None:
            if token in self._several:
                self._several[token].take(message)
            return
        future, read = found
        if future.done():
            return
        if _nobody(message):
            future.set_exception(NoResponder("nobody answers"))
            return
        try:
            future.set_result(read(message))
        except Exception as error:  # noqa: BLE001 - whoever asked decides
            future.set_exception(error)

    def _refuse(self, reply: str, why: str) -> None:
        future, _ = self._waiting.pop(reply.rpartition(".")[2], (None, None))
        if future is not None and not future.done():
            future.set_exception(NoMajority(f"not sent: {why}"))

    def _expire(self) -> None:
        now = self._loop.time()
        for deadlines in self._deadlines.values():
            while deadlines and (deadlines[0][0] <= now or deadlines[0][1] not in self._waiting):
                future, _ = self._waiting.pop(deadlines.popleft()[1], (None, None))
                if future is not None and not future.done():
                    future.set_exception(NoMajority("no answer in time"))
        self._sweep = None
        if any(self._deadlines.values()):
            self._sweep = self._loop.call_later(_SWEEP_S, self._expire)

    def _end(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(Lost("the connection to the own nats-server is lost"))
        self._outgoing.clear()
        for timer in (self._sweep, self._pinging):
            if timer is not None:
                timer.cancel()


def _nobody(message: Msg) -> bool:
    return message.headers is not None and message.headers.get("Status") == "503"


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel them until they ended: `asyncio.wait_for` swallows a cancellation that comes just as
    what it waits for is there."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
