"""One connection to the own nats-server, over nats-py.

Decides how questions find their answers: one inbox for all, a number for each, a future that
always ends (answered, refused for want of a responder, timed out, or the connection lost). Never
knows what is asked, and never connects again: a lost connection is over, and whoever made it
makes another.

`ask` does not wait to send: many questions can be under way without a task for each, and they
leave in the order they were asked. nats-py's own `request` is not used: what it waits for can
outlive a lost connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from mqd.cluster.ports import NoMajority

_log = logging.getLogger("mqd.cluster.engine")
_SWEEP_S: Final = 0.1  # how late a timeout may be noticed
_CONNECT_TIMEOUT_S: Final = 5
_CANCEL_AGAIN_S: Final = 0.2
_PING_S: Final = 5  # a server that hangs is noticed after two
_PENDING_BYTES: Final = 67_108_864  # to be written, at which senders wait
_OWN_PENDING_MESSAGES: Final = 4_194_304  # answers not yet taken: never drop one
_OWN_PENDING_BYTES: Final = 1 << 30

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


class Connection:
    """From `open` to `lost`, which resolves when it is over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = Client()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._inbox = ""
        self._count = 0
        self._waiting: dict[str, tuple[asyncio.Future[Any], Callable[[Msg], Any]]] = {}
        self._several: dict[str, _Several] = {}
        # By timeout, oldest first: the next to expire stands in front.
        self._deadlines: dict[float, deque[tuple[float, str]]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._outgoing: deque[tuple[str, bytes, str, dict[str, str] | None]] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def open(self, port: int, user: str, password: str) -> None:
        """Raises OSError, NatsError or TimeoutError."""
        await self._client.connect(
            f"nats://127.0.0.1:{port}",
            user=user,
            password=password,
            name="mqd",
            error_cb=self._complain,
            closed_cb=self._closed,
            allow_reconnect=False,
            max_reconnect_attempts=0,
            connect_timeout=_CONNECT_TIMEOUT_S,
            ping_interval=_PING_S,
            pending_size=_PENDING_BYTES,
            skip_subject_validation=True,
        )
        self._inbox = self._client.new_inbox() + "."
        await self._client.subscribe(
            self._inbox + "*",
            cb=self._answered,
            pending_msgs_limit=_OWN_PENDING_MESSAGES,
            pending_bytes_limit=_OWN_PENDING_BYTES,
        )
        self._writer = self._loop.create_task(self._write())

    @property
    def server_id(self) -> str:
        """What the server calls itself in questions to one server."""
        return str(self._client._server_info["server_id"])

    @property
    def unique(self) -> str:
        """A name that no other connection has."""
        return self._inbox.rstrip(".").rpartition(".")[2]

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
        self._outgoing.append((subject, data, reply, headers))
        self._wake.set()

    async def hear(self, subject: str, take: Take) -> None:
        """All messages of a subject go there from now on."""

        async def each(message: Msg) -> None:
            try:
                take(message)
            except Exception:  # noqa: BLE001 - nats-py would tell `_complain`, which tells nobody
                _log.exception("what follows from a message of %s was not done", message.subject)

        await self._client.subscribe(subject, cb=each)

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
        self._end()
        if self._sweep is not None:
            self._sweep.cancel()
        try:
            with contextlib.suppress(NatsError, OSError, AssertionError):
                await self._client.close()
            if self._writer is not None:
                await end([self._writer])
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Of the socket: nats-py keeps it when its close is cancelled, or fails on the way."""
        writer = getattr(getattr(self._client, "_transport", None), "_io_writer", None)
        if writer is not None:
            writer.transport.abort()  # nothing, if it was closed

    async def _write(self) -> None:
        publish, outgoing = self._client.publish, self._outgoing
        while not self.lost.done():
            await self._wake.wait()
            self._wake.clear()
            while outgoing:
                subject, data, reply, headers = outgoing.popleft()
                try:
                    await publish(subject, data, reply, headers)
                except NatsError as error:
                    self._refuse(reply, error)
                except Exception as error:  # noqa: BLE001 - told; what comes next is sent
                    _log.exception("a question to the own nats-server was not sent")
                    self._refuse(reply, error)
                    if not self._client.is_connected:
                        self._end()

    async def _answered(self, message: Msg) -> None:
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

    def _refuse(self, reply: str, error: Exception) -> None:
        future, _ = self._waiting.pop(reply.rpartition(".")[2], (None, None))
        if future is not None and not future.done():
            future.set_exception(NoMajority(f"not sent: {error}"))

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

    async def _complain(self, error: Exception) -> None:
        _log.debug("connection to nats-server: %s", error)

    async def _closed(self) -> None:
        self._end()

    def _end(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(Lost("the connection to the own nats-server is lost"))
        self._outgoing.clear()
        self._wake.set()


def _nobody(message: Msg) -> bool:
    return message.headers is not None and message.headers.get("Status") == "503"


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel them until they ended: nats-py swallows a cancellation that comes at some moments."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
