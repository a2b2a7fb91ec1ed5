"""What happens around every operation, once, before and after it.

Decides, in this order: are there not too many calls, does the caller know the node's cookie (on
the unix socket by its hash, which the directory's mode guards; over TCP by a proof, see `peers`),
is the node in the state that the verb needs, then (initial metadata: the tool prints its banner
now) the operation, then how a failure of it is answered. The request is parsed only once the
caller is admitted. Never looks into it. One of the three places that catch everything: what is no
MqdError is logged with its traceback and answered without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from mqd import limits
from mqd.admin.context import AdminContext, AppState, NodeControl, app_running, app_stopped
from mqd.control import status
from mqd.control.peers import NotAdmitted, Peers
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.challenge import STEP_KEY
from mqd.rpc.v1 import verb_pb2

Message = Any  # a protobuf message: its type is known to the descriptors only
Call = grpc.aio.ServicerContext[bytes, Message]
Parse = Callable[[bytes], Message]
Unary = Callable[[AdminContext, Message], Awaitable[Message]]
Streaming = Callable[[AdminContext, Message], AsyncIterator[Message]]

COOKIE_KEY = "mqd-cookie-hash"
ACTOR_KEY = "mqd-actor"
_DOWN = ("mqd-down", "1")
_ADMITTED = (("mqd-admitted", "1"),)  # a refused call may have initial metadata too, but empty

# what a node that its cluster forgot still does
_OF_THE_DISOWNED = frozenset(
    f"mqd.rpc.v1.{rpc}"
    for rpc in (
        "Nodes.Reset",
        "Nodes.ForceReset",
        "Nodes.Shutdown",
        "Membership.Probe",
        "Cluster.Explain",
        "Doctor.Examine",
    )
)

_STRANGER = "the Erlang cookie of the caller is not that of the node"

_log = logging.getLogger(__name__)


class Down(Exception):
    """For a tool the node is not there; the text says why."""


def cookie_hash(cookie: str) -> str:
    """What a caller shows instead of the cookie: its SHA-256 in hexadecimal."""
    return hashlib.sha256(cookie.encode()).hexdigest()


class Guard:
    """Wraps the operations of one node, and counts the calls under way."""

    def __init__(self, node: NodeControl) -> None:
        self._node = node
        self._cookie_hash = cookie_hash(node.cookie)
        self._running = 0
        self._closing = False
        self._quiet_until_ms = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.peers = Peers(node)

    def unary(
        self, name: str, needs: int, parse: Parse, operation: Unary
    ) -> Callable[[bytes, Call], Awaitable[Message]]:
        """The gRPC handler of an operation that answers once. name is for the log."""

        async def handle(data: bytes, call: Call) -> Message:
            self._count(call)
            try:
                ctx, request = await self._admit(name, needs, parse, data, call)
                reply = await operation(ctx, request)
            except Exception as error:  # noqa: BLE001 - the edge: see the charter
                await _fail(name, error, call)
            _log.debug("%s by %s: done", name, ctx.actor)
            return reply

        return handle

    def streaming(
        self, name: str, needs: int, parse: Parse, operation: Streaming
    ) -> Callable[[bytes, Call], AsyncIterator[Message]]:
        """The gRPC handler of an operation that answers any number of times."""

        async def handle(data: bytes, call: Call) -> AsyncIterator[Message]:
            self._count(call)
            try:
                ctx, request = await self._admit(name, needs, parse, data, call)
                async with contextlib.aclosing(operation(ctx, request)) as replies:  # type: ignore[type-var]
                    async for reply in replies:
                        yield reply
            except Exception as error:  # noqa: BLE001 - the edge: see the charter
                await _fail(name, error, call)
            _log.debug("%s by %s: done", name, ctx.actor)

        return handle

    def handshake(
        self, name: str, parse: Parse, step: Callable[[Message, str], Message]
    ) -> Callable[[object, Call], Awaitable[Message]]:
        """The gRPC handler of a step that comes before anyone is admitted. Reads no body."""

        async def handle(_bodies: object, call: Call) -> Message:
            try:
                sent = dict(call.invocation_metadata() or ())
                return step(_parsed(parse, _step(sent.get(STEP_KEY))), call.peer())
            except NotAdmitted:
                await self._send_away(call)
            except Exception as error:  # noqa: BLE001 - the edge: see the charter
                await _fail(name, error, call)

        return handle

    async def turn_away(self, _bodies: object, call: Call) -> Message:
        """The gRPC handler of a call by a stranger. Reads no body."""
        await self._send_away(call)

    async def _send_away(self, call: Call) -> NoReturn:
        """Said now and then: whoever likes can have it said again and again."""
        now_ms = self._node.clock.monotonic_ms()
        if now_ms >= self._quiet_until_ms:
            self._quiet_until_ms = now_ms + limits.PEER_REFUSAL_TOLD_MS
            _log.warning("a control call from %s is refused: %s", call.peer(), _STRANGER)
        call.set_trailing_metadata(status.trailers(ErrorCode.ACCESS_REFUSED))
        await call.abort(grpc.StatusCode.UNAUTHENTICATED, _STRANGER)

    async def close(self) -> None:
        """Admit no more calls; return once none is under way and the last answers are sent."""
        self._closing = True
        await self._idle.wait()

    def _count(self, call: Call) -> None:
        self._running += 1
        self._idle.clear()
        # gRPC calls back when the status has been sent. (Its stub forgot that this is a protocol.)
        call.add_done_callback(self._uncount)  # type: ignore[arg-type]

    def _uncount(self, _call: Call) -> None:
        self._running -= 1
        if not self._running:
            self._idle.set()

    async def _admit(
        self, name: str, needs: int, parse: Parse, data: bytes, call: Call
    ) -> tuple[AdminContext, Message]:
        if self._closing:
            raise MqdError(ErrorCode.UNAVAILABLE, f"node {self._node.name} is stopping")
        if self._running > limits.CONTROL_CALLS_MAX:
            raise MqdError(
                ErrorCode.LIMIT_EXCEEDED,
                f"{limits.CONTROL_CALLS_MAX} calls are under way on {self._node.name}: try again",
            )
        sent = dict(call.invocation_metadata() or ())
        actor = str(sent.get(ACTOR_KEY, ""))
        if call.peer().startswith("unix:"):
            shown = str(sent.get(COOKIE_KEY, ""))
            if not hmac.compare_digest(shown.encode(), self._cookie_hash.encode()):
                raise NotAdmitted
        else:
            self.peers.check(_path(name), actor, sent, data, call.peer())
        if self._node.disowned is not None and name not in _OF_THE_DISOWNED:
            raise Down(self._node.disowned)
        state = self._node.app_state
        if needs == verb_pb2.APP and state is not AppState.RUNNING:
            raise app_stopped()
        # A node that boots counts as running here: a reset would race with its start. Not so one
        # that waits for others: whoever resets it has it wait no more.
        if needs == verb_pb2.STOPPED and state not in (AppState.STOPPED, AppState.WAITING):
            raise app_running()
        request = _parsed(parse, data)
        await call.send_initial_metadata(_ADMITTED)
        return AdminContext(self._node, actor or "unknown"), request


def _path(name: str) -> str:
    service, _, method = name.rpartition(".")
    return f"/{service}/{method}"


def _step(sent: str | bytes | None) -> bytes:
    try:
        return bytes.fromhex(str(sent))
    except ValueError as error:
        text = "a handshake that cannot be read: use tools of the node's release"
        raise MqdError(ErrorCode.PRECONDITION_FAILED, text) from error


def _parsed(parse: Parse, data: bytes) -> Message:
    try:
        return parse(data)
    except DecodeError as error:
        text = "the request cannot be read: does the tool fit the node's version?"
        raise MqdError(ErrorCode.INVALID_ARGUMENT, text) from error


async def _fail(name: str, error: Exception, call: Call) -> NoReturn:
    """Answer a failure. Raises what gRPC wants raised to end a call."""
    code, grpc_status, text = _outcome(name, error)
    trailers = status.trailers(code)
    call.set_trailing_metadata((*trailers, _DOWN) if isinstance(error, Down) else trailers)
    await call.abort(grpc_status, status.details(text))


def _outcome(name: str, error: Exception) -> tuple[ErrorCode, grpc.StatusCode, str]:
    if isinstance(error, MqdError):
        _log.debug("%s refused: %s %s", name, error.code.name, error.detail)
        return error.code, status.STATUS[error.code], error.detail
    if isinstance(error, Down):
        return ErrorCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, str(error)
    if isinstance(error, NotAdmitted):
        _log.warning("control call %s refused: %s", name, _STRANGER)
        return ErrorCode.ACCESS_REFUSED, grpc.StatusCode.UNAUTHENTICATED, _STRANGER
    _log.error("control call %s failed", name, exc_info=error)
    text = "the node failed to carry this out; its log says why"
    return ErrorCode.INTERNAL, grpc.StatusCode.INTERNAL, text
