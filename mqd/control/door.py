"""What happens to a call over TCP before any of its body is read.

Decides by its metadata alone whether a caller has proven itself before (`peers`). The handshake is
open to all, and has no bodies. Whoever knocks on anything else is turned away as with a wrong
cookie: else each call of a stranger could have the node hold a message of the largest size. Never
decides whether a call is genuine: `interceptors` does, once the body is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from mqd.control.interceptors import Guard

_HANDSHAKE: Final = "/mqd.rpc.v1.Peer/"

Handler = Any  # grpc.RpcMethodHandler, which is generic in its stub only


class Door(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # as is this one
    """Of the port."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of the call, or one that sends it away."""
        method = str(handler_call_details.method)
        sent = dict(handler_call_details.invocation_metadata or ())
        if method.startswith(_HANDSHAKE) or self._guard.peers.knows(sent):
            return await continuation(handler_call_details)
        return grpc.stream_unary_rpc_method_handler(self._guard.turn_away)
