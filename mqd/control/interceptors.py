"""What happens around every operation, once, before and after it.

Decides, in this order: is the caller's cookie the node's, is the node in the state that the verb
needs, then (initial metadata: the tool prints its banner now) the operation, then how a failure of
it is answered. Never looks into a request. One of the three places that catch everything: what is
no MqdError is logged with its traceback and answered without one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc

from mqd.admin.context import AdminContext, AppState, NodeControl, app_running, app_stopped
from mqd.control import status
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import verb_pb2

Message = Any  # a protobuf message: its type is known to the descriptors only
Call = grpc.aio.ServicerContext[Message, Message]
Unary = Callable[[AdminContext, Message], Awaitable[Message]]
Streaming = Callable[[AdminContext, Message], AsyncIterator[Message]]

COOKIE_KEY = "mqd-cookie-hash"
ACTOR_KEY = "mqd-actor"
_ADMITTED = (("mqd-admitted", "1"),)  # a refused call may have initial metadata too, but empty

_log = logging.getLogger(__name__)


def cookie_hash(cookie: str) -> str:
    """What a caller shows instead of the cookie: its SHA-256 in hexadecimal."""
    return hashlib.sha256(cookie.encode()).hexdigest()


class Guard:
    """Wraps the operations of one node."""

    def __init__(self, node: NodeControl) -> None:
        self._node = node
        self._cookie_hash = cookie_hash(node.cookie)

    def unary(self, name: str, needs: int, operation: Unary) -> Callable[..., Awaitable[Message]]:
        """The gRPC handler of an operation that answers once. name is for the log."""

        async def handle(request: Message, call: Call) -> Message:
            try:
                ctx = await self._admit(needs, call)
                reply = await operation(ctx, request)
            except Exception as error:  # noqa: BLE001 - the edge: see the charter
                await _fail(name, error, call)
            _log.debug("%s by %s: done", name, ctx.actor)
            return reply

        return handle

    def streaming(
        self, name: str, needs: int, operation: Streaming
    ) -> Callable[..., AsyncIterator[Message]]:
        """The gRPC handler of an operation that answers any number of times."""

        async def handle(request: Message, call: Call) -> AsyncIterator[Message]:
            try:
                ctx = await self._admit(needs, call)
                async with contextlib.aclosing(operation(ctx, request)) as replies:  # type: ignore[type-var]
                    async for reply in replies:
                        yield reply
            except Exception as error:  # noqa: BLE001 - the edge: see the charter
                await _fail(name, error, call)
            _log.debug("%s by %s: done", name, ctx.actor)

        return handle

    async def _admit(self, needs: int, call: Call) -> AdminContext:
        sent = dict(call.invocation_metadata() or ())
        shown = str(sent.get(COOKIE_KEY, ""))
        if not hmac.compare_digest(shown.encode(), self._cookie_hash.encode()):
            raise _WrongCookie
        state = self._node.app_state
        if needs == verb_pb2.APP and state is not AppState.RUNNING:
            raise app_stopped()
        # A node that cannot be told from a running one while it boots would lose a race with
        # its own start: only a stopped one may be reset.
        if needs == verb_pb2.STOPPED and state is not AppState.STOPPED:
            raise app_running()
        await call.send_initial_metadata(_ADMITTED)
        return AdminContext(self._node, str(sent.get(ACTOR_KEY, "")) or "unknown")


class _WrongCookie(Exception):
    """The caller does not know the cluster's secret."""


async def _fail(name: str, error: Exception, call: Call) -> NoReturn:
    """Answer a failure. Raises what gRPC wants raised to end a call."""
    if isinstance(error, MqdError):
        _log.debug("%s refused: %s %s", name, error.code.name, error.detail)
        call.set_trailing_metadata(status.trailers(error.code))
        await call.abort(status.STATUS[error.code], status.details(error.detail))
    if isinstance(error, _WrongCookie):
        _log.warning("control call %s refused: the caller's cookie is not this node's", name)
        call.set_trailing_metadata(status.trailers(ErrorCode.ACCESS_REFUSED))
        await call.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            "the Erlang cookie of the caller is not that of the node",
        )
    _log.error("control call %s failed", name, exc_info=error)
    call.set_trailing_metadata(status.trailers(ErrorCode.INTERNAL))
    await call.abort(
        grpc.StatusCode.INTERNAL, "the node failed to carry this out; its log says why"
    )
