"""Operations that concern more than the node that was asked.

Decides what becomes of a listing in a cluster (rows of this node first, then of each other member
that runs; one that does not answer in time, or goes down meanwhile, is skipped, as with 3.10.8) and
how one operation has another member carry out its part. A request that another member relays is
answered for this node alone. Never knows what is listed, and nothing of how members are linked:
`members.ClusterView` does.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from mqd.admin.context import AdminContext
from mqd.errors import ErrorCode, MqdError, PeerDown

IDLE_S: Final = 1.0  # for each part of an answer

_log = logging.getLogger(__name__)

Listing = TypeVar("Listing", bound=Callable[[AdminContext, Any], AsyncIterator[Any]])


def others(ctx: AdminContext) -> list[str]:
    """The other members that run; none for a node alone, or when one of them asks."""
    cluster = ctx.node.cluster
    if cluster is None or ctx.relayed:
        return []
    return [node for node in cluster.running if node != ctx.node.name]


def everywhere(rpc: str) -> Callable[[Listing], Listing]:
    """Make a listing of one node's rows that of the cluster. rpc: "Channels.List"."""

    def of(own: Listing) -> Listing:
        @functools.wraps(own)
        async def listing(ctx: AdminContext, request: Any) -> AsyncIterator[Any]:
            async for batch in own(ctx, request):
                yield batch
            for node in others(ctx):
                async for batch in rows_of(ctx, node, rpc, request):
                    yield batch

        return listing  # type: ignore[return-value]

    return of


async def rows_of(
    ctx: AdminContext, node: str, rpc: str, request: Any, idle_s: float = IDLE_S
) -> AsyncIterator[Any]:
    """What another member lists, as far as it answers."""
    try:
        async for batch in replies(ctx, node, rpc, request, idle_s):
            yield batch
    except (PeerDown, TimeoutError) as error:
        _log.warning("%s was asked for %s and did not answer: %r", node, rpc, error)
    except MqdError as error:
        if error.code is not ErrorCode.APP_STOPPED:  # it has just stopped
            raise


async def replies(
    ctx: AdminContext, node: str, rpc: str, request: Any, idle_s: float = IDLE_S
) -> AsyncIterator[Any]:
    """What another member answers for itself alone. Raises PeerDown, TimeoutError, MqdError."""
    cluster = ctx.node.cluster
    if cluster is None:
        raise PeerDown(node)
    method = _method(rpc)
    parse = GetMessageClass(method.output_type).FromString
    payload = request.SerializeToString()
    async for reply in cluster.replies(node, method.full_name, payload, ctx.actor, idle_s):
        yield parse(reply)


async def ask(
    ctx: AdminContext, node: str, rpc: str, request: Any, idle_s: float = IDLE_S
) -> Any | None:
    """The one answer of another member; None when it does not answer. Raises MqdError."""
    try:
        async for reply in replies(ctx, node, rpc, request, idle_s):
            return reply
    except (PeerDown, TimeoutError) as error:
        _log.warning("%s was asked for %s and did not answer: %r", node, rpc, error)
    return None


def _method(rpc: str) -> MethodDescriptor:
    found: MethodDescriptor = descriptor_pool.Default().FindMethodByName(f"mqd.rpc.v1.{rpc}")
    return found
