"""Why something is as it is: the questions, and what has to be there to ask them.

Decides which object a question is about and what is said when there is none. Never finds the
reasons: `explain_queue`, `explain_connection`, `explain_publish`, `explain_permission` do, on the
member that has the object.
"""

from __future__ import annotations

import contextlib
from typing import Final

from mqd.admin import (
    explain_access,
    explain_connection,
    explain_permission,
    explain_publish,
    explain_queue,
    vhosts,
)
from mqd.admin.context import AdminContext
from mqd.admin.everywhere import ask, others
from mqd.admin.explaining import at, near
from mqd.admin.homes import is_down, is_here
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import explain_pb2 as pb

_CONFIG: Final = "/etc/rabbitmq/rabbitmq.conf"


async def connection(ctx: AdminContext, request: pb.ExplainConnection) -> pb.Explanation:
    """Raises NOT_FOUND."""
    entries = ctx.broker.connections.values()
    entry = explain_connection.find(entries, request.connection)
    if entry is None:
        for other in others(ctx):
            with contextlib.suppress(MqdError):  # it is not there
                reply: pb.Explanation | None = await ask(ctx, other, "Explain.Connection", request)
                if reply is not None:
                    return reply
    if entry is None:
        raise MqdError(
            ErrorCode.NOT_FOUND,
            f"no connection '{request.connection}' is open: mqctl list_connections pid name state "
            "client_properties shows those that are",
        )
    node = ctx.node
    return explain_connection.explain(
        entry, ctx.broker.alarms, node.memory(), node.disk()
    ).message()


async def queue(ctx: AdminContext, request: pb.ExplainQueue) -> pb.Explanation:
    """Raises NO_SUCH_VHOST, NOT_FOUND."""
    vhosts.find(ctx, request.vhost)
    vhost = ctx.broker.vhosts[request.vhost]
    found = vhost.queues.get(request.queue)
    if found is None:
        elsewhere = [v.name for v in ctx.broker.vhosts.values() if request.queue in v.queues]
        hint = near(request.queue, vhost.queues)
        if elsewhere:
            hint = f"; there is one in vhost '{elsewhere[0]}' ({at(elsewhere[0])})"
        raise MqdError(
            ErrorCode.NOT_FOUND, f"no queue '{request.queue}' in vhost '{vhost.name}'{hint}"
        )
    if not is_here(ctx, found):
        reply: pb.Explanation | None = None
        if not is_down(ctx, found) and not ctx.relayed:
            reply = await ask(ctx, found.home, "Explain.Queue", request)
        if reply is None:
            raise MqdError(
                ErrorCode.UNAVAILABLE,
                f"queue '{request.queue}' in vhost '{vhost.name}' is served by "
                f"{found.home or 'nobody now'}, which does not answer: mqctl cluster_status shows "
                "who runs",
            )
        return reply
    return explain_queue.explain(found, ctx.broker.alarms).message()


async def publish(ctx: AdminContext, request: pb.ExplainPublish) -> pb.Explanation:
    """Raises NO_SUCH_VHOST, INVALID_ARGUMENT for the headers."""
    vhosts.find(ctx, request.vhost)
    return explain_publish.explain(
        ctx.broker.vhosts[request.vhost],
        ctx.metadata.state,
        request.exchange,
        request.routing_key,
        explain_publish.table_of(request.headers),
        request.user,
    ).message()


async def permission(ctx: AdminContext, request: pb.ExplainPermission) -> pb.Explanation:
    """Raises INVALID_ARGUMENT. That there is no such user or virtual host is an answer."""
    for kind in explain_permission.KINDS:
        if kind == request.permission:
            state = ctx.metadata.state
            what = (request.user, request.vhost, kind, request.name)
            answer = explain_permission.explain(state, *what, request.routing_key)
            config = next((f for f in ctx.node.config_files if f.endswith(".conf")), _CONFIG)
            answer.reasons += explain_access.beside(ctx.broker, state, *what, config)
            return answer.message()
    raise MqdError(
        ErrorCode.INVALID_ARGUMENT,
        f"'{request.permission}' is no permission: they are configure, write and read",
    )
