"""What happens around every operation, once, before and after it.

Decides, in this order: are there not too many calls, is the caller's cookie the node's, is the
node in the state that the verb needs, then (initial metadata: the tool prints its banner now) the
operation, then how a failure of it is answered. The request is read only once the caller is
admitted. Never looks into it. One of the three places that catch everything: what is no MqdError
is logged with its traceback and answered without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from grpclib.const import Status
from grpclib.server import Stream

from mqd import limits
from mqd.admin.context import AdminContext, AppState, NodeControl, app_running, app_stopped
from mqd.control import status
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import verb_pb2

Message = Any  # a protobuf message: its type is known to the descriptors only
Call = Stream[Message, Message]
Unary = Callable[[AdminContext, Message], Awaitable[Message]]
Streaming = Callable[[AdminContext, Message], AsyncIterator[Message]]

COOKIE_KEY = "mqd-cookie-hash"
ACTOR_KEY = "mqd-actor"
_ADMITTED = {"mqd-admitted": "1"}

_log = logging.getLogger(__name__)


def cookie_hash(cookie: str) -> str:
    """What a caller shows instead of the cookie: its SHA-256 in hexadecimal."""
    return hashlib.sha256(cookie.encode()).hexdigest()


class Guard:
    """Wraps the operations of one node, and knows how many calls are under way."""

    def __init__(self, node: NodeControl) -> None:
        self._node = node
        self._cookie_hash = cookie_hash(node.cookie)
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.closing = False

    async def idle(self) -> None:
        """Return once no call is under way."""
        await self._idle.wait()

    def unary(self, name: str, needs: int, operation: Unary) -> Callable[[Call], Awaitable[None]]:
        """The handler of an operation that answers once. name is for the log."""

        async def serve(ctx: AdminContext, call: Call) -> None:
            await call.send_message(await operation(ctx, await call.recv_message()))

        return self._handler(name, needs, serve)

    def streaming(
        self, name: str, needs: int, operation: Streaming
    ) -> Callable[[Call], Awaitable[None]]:
        """The handler of an operation that answers any number of times."""

        async def serve(ctx: AdminContext, call: Call) -> None:
            request = await call.recv_message()
            async with contextlib.aclosing(operation(ctx, request)) as replies:  # type: ignore[type-var]
                async for reply in replies:
                    await call.send_message(reply)

        return self._handler(name, needs, serve)

    def _handler(
        self, name: str, needs: int, serve: Callable[[AdminContext, Call], Awaitable[None]]
    ) -> Callable[[Call], Awaitable[None]]:
        async def handle(call: Call) -> None:
            with self._counted():
                try:
                    ctx = self._admit(needs, call)
                    await call.send_initial_metadata(metadata=_ADMITTED)
                    await serve(ctx, call)
                except Exception as error:  # noqa: BLE001 - the edge: see the charter
                    await _fail(name, error, call)
                else:
                    _log.debug("%s by %s: done", name, ctx.actor)

        return handle

    @contextlib.contextmanager
    def _counted(self) -> Any:
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    def _admit(self, needs: int, call: Call) -> AdminContext:
        if self.closing:
            raise MqdError(ErrorCode.UNAVAILABLE, f"node {self._node.name} is stopping")
        if self._running > limits.CONTROL_CALLS_MAX:
            raise MqdError(
                ErrorCode.LIMIT_EXCEEDED,
                f"{limits.CONTROL_CALLS_MAX} calls are under way on {self._node.name}: try again",
            )
        sent: Any = call.metadata or {}
        shown = str(sent.get(COOKIE_KEY, ""))
        if not hmac.compare_digest(shown.encode(), self._cookie_hash.encode()):
            raise _WrongCookie
        state = self._node.app_state
        if needs == verb_pb2.APP and state is not AppState.RUNNING:
            raise app_stopped()
        # A node that boots counts as running here: a reset would race with its start.
        if needs == verb_pb2.STOPPED and state is not AppState.STOPPED:
            raise app_running()
        return AdminContext(self._node, str(sent.get(ACTOR_KEY, "")) or "unknown")


class _WrongCookie(Exception):
    """The caller does not know the cluster's secret."""


async def _fail(name: str, error: Exception, call: Call) -> None:
    """Answer a failure; the caller may have gone away by now."""
    code, grpc_status, text = _outcome(name, error)
    with contextlib.suppress(Exception):
        await call.send_trailing_metadata(
            status=grpc_status,
            status_message=status.message(text),
            metadata=status.trailers(code),
        )


def _outcome(name: str, error: Exception) -> tuple[ErrorCode, Status, str]:
    if isinstance(error, MqdError):
        _log.debug("%s refused: %s %s", name, error.code.name, error.detail)
        return error.code, status.STATUS[error.code], error.detail
    if isinstance(error, _WrongCookie):
        _log.warning("control call %s refused: the caller's cookie is not this node's", name)
        text = "the Erlang cookie of the caller is not that of the node"
        return ErrorCode.ACCESS_REFUSED, Status.UNAUTHENTICATED, text
    _log.error("control call %s failed", name, exc_info=error)
    text = "the node failed to carry this out; its log says why"
    return ErrorCode.INTERNAL, Status.INTERNAL, text
