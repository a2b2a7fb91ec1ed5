"""Operations that another member has this node carry out, for this node alone.

Decides what `mqd.control.interceptors` decides of calls that tools make: is the node in the state
that the operation needs, and how a failure is told. Who may ask is settled: a member has proven
that it knows the cookie, with which it could call anything here. Never asks other members.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from mqd.admin.context import AdminContext, AppState, NodeControl, app_stopped
from mqd.admin.operations import needs, operations, services
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import verb_pb2

_log = logging.getLogger(__name__)


class _Served(NamedTuple):
    needs: int
    streams: bool
    parse: Callable[[bytes], Any]
    function: Callable[..., Any]


@functools.cache
def _served(rpc: str) -> _Served:
    service, _, _ = rpc.rpartition(".")
    for found in services():
        if found.full_name == service:
            for operation in operations(found):
                method = operation.method
                if method.full_name == rpc:
                    parse = GetMessageClass(method.input_type).FromString
                    function = operation.resolve()
                    return _Served(needs(method), method.server_streaming, parse, function)
    raise MqdError(ErrorCode.NOT_FOUND, f"no operation '{rpc}' here: members differ in version")


def carrier(node: NodeControl) -> Callable[[str, bytes, str], AsyncIterator[bytes]]:
    """What carries out (rpc, request, who asks) on this node."""

    async def carry(rpc: str, request: bytes, actor: str) -> AsyncIterator[bytes]:
        served = _served(rpc)
        if served.needs == verb_pb2.APP and node.app_state is not AppState.RUNNING:
            raise app_stopped()
        try:
            message = served.parse(request)
        except DecodeError as error:
            text = f"the request for {rpc} cannot be read: members differ in version"
            raise MqdError(ErrorCode.INVALID_ARGUMENT, text) from error
        ctx = AdminContext(node, actor, relayed=True)
        _log.debug("%s by %s: relayed", rpc, actor)
        if not served.streams:
            yield (await served.function(ctx, message)).SerializeToString()
            return
        async with contextlib.aclosing(served.function(ctx, message)) as replies:
            async for reply in replies:
                yield reply.SerializeToString()

    return carry
