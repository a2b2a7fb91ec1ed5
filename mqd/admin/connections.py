"""Client connections: listing and closing.

Decides which connections an operator's wish is about. Never decides how one is closed: the
connection sends connection.close with 320 and waits a bounded time for the answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from mqd.admin import values
from mqd.admin.context import AdminContext
from mqd.admin.elixir import inspect
from mqd.admin.everywhere import ask, everywhere, others
from mqd.admin.listing import batches, columns, fields_of
from mqd.amqp.replies import ReplyCode
from mqd.broker.entries import ConnectionEntry
from mqd.broker.snapshots import CONNECTION, Info
from mqd.errors import ErrorCode, MqdError
from mqd.names import Pid
from mqd.rpc.v1 import connections_pb2 as pb
from mqd.rpc.v1 import values_pb2

_log = logging.getLogger(__name__)

_PID: Final = re.compile(r"<[^<>]*\.\d+\.\d+\.\d+>")  # <node.creation.id.serial>

_Read = Callable[[ConnectionEntry], Info | values_pb2.Table | values_pb2.Term]

_COLUMNS: Final[dict[str, _Read]] = {
    **CONNECTION,
    # in the order the client sent them, unlike declare arguments (observed: 3.10.8)
    "client_properties": lambda e: values.table(e.client_properties),
    "protocol": lambda e: values.term_tuple(map(values.erlang_term, e.protocol)),
}


@everywhere("Connections.List")
async def list_(ctx: AdminContext, request: pb.ListConnections) -> AsyncIterator[pb.ConnectionRows]:
    """Rows of all connections of the node, oldest first."""
    chosen = columns(request.columns, _COLUMNS)
    entries = list(ctx.broker.connections.values())
    rows = (fields_of(pb.ConnectionRow, chosen, entry) for entry in entries)
    for batch in batches(rows, lambda chunk: pb.ConnectionRows(rows=chunk)):
        yield batch


async def close(ctx: AdminContext, request: pb.CloseConnection) -> values_pb2.Done:
    """Close the connection of that pid; one that is gone is closed already (observed: 3.10.8).

    Raises INVALID_ARGUMENT when the pid is no pid.
    """
    if not _PID.fullmatch(request.pid):
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT, f"{{:invalid_pid_syntax, {inspect(request.pid)}}}"
        )
    entry = ctx.broker.connections.get(Pid(request.pid))
    node = request.pid[1:].rsplit(".", 3)[0]
    if entry is None and node in others(ctx):
        await ask(ctx, node, "Connections.Close", request)
    elif entry is None:
        _log.warning(
            "Asked to close connection %s (reason: %s) but it is not open. Was it already closed?",
            request.pid,
            request.explanation,
        )
    else:
        force_closed(ctx, [entry], request.explanation)
    return values_pb2.Done()


async def close_all(
    ctx: AdminContext, request: pb.CloseAllConnections
) -> pb.CloseAllConnectionsReply:
    """Close those of a vhost on all members, or with `global` all of this node alone (observed:
    3.10.8); at most `limit` when that is not 0."""
    whole_node = getattr(request, "global")
    if request.per_connection_delay:
        return await _close_slowly(ctx, request)
    entries = [
        entry
        for entry in ctx.broker.connections.values()
        if whole_node or entry.vhost.name == request.vhost
    ]
    if request.limit:
        entries = entries[: request.limit]
    force_closed(ctx, entries, request.explanation)
    count = len(entries)
    for node in [] if whole_node else others(ctx):
        if request.limit and count >= request.limit:
            break
        theirs = pb.CloseAllConnections()
        theirs.CopyFrom(request)
        theirs.limit = request.limit - count if request.limit else 0
        reply = await ask(ctx, node, "Connections.CloseAll", theirs)
        count += reply.closed_count if reply is not None else 0
    return pb.CloseAllConnectionsReply(closed_count=count)


async def _close_slowly(
    ctx: AdminContext, request: pb.CloseAllConnections
) -> pb.CloseAllConnectionsReply:
    """One after the other, with a delay after each."""
    whole_node = getattr(request, "global")
    listed = pb.ListConnections(columns=["pid", "vhost"])
    rows = [row async for batch in list_(ctx, listed) for row in batch.rows]
    here = f"<{ctx.node.name}."
    pids = [
        row.pid
        for row in rows
        if (row.pid.startswith(here) if whole_node else row.vhost == request.vhost)
    ]
    for pid in pids[: request.limit or None]:
        await close(ctx, pb.CloseConnection(pid=pid, explanation=request.explanation))
        await asyncio.sleep(request.per_connection_delay / 1000)
    count = len(pids[: request.limit or None])
    return pb.CloseAllConnectionsReply(closed_count=count)


async def close_all_of_user(
    ctx: AdminContext, request: pb.CloseAllUserConnections
) -> values_pb2.Done:
    """Close all connections of a user, on all members; there may be none, nor such a user
    (observed: 3.10.8)."""
    close_those_of(ctx, request.username, request.explanation)
    for node in others(ctx):
        await ask(ctx, node, "Connections.CloseAllOfUser", request)
    return values_pb2.Done()


def close_those_of(ctx: AdminContext, username: str, reason: str) -> None:
    """Close every connection of a user to this node."""
    entries = [entry for entry in ctx.broker.connections.values() if entry.user.name == username]
    force_closed(ctx, entries, reason)


def force_closed(ctx: AdminContext, entries: Iterable[ConnectionEntry], reason: str) -> None:
    """Close connections with 320 CONNECTION_FORCED - reason, and let the closes leave."""
    for entry in entries:
        _log.info('Closing connection %s because "%s"', entry.pid, reason)
        entry.close(ReplyCode.CONNECTION_FORCED, reason)
    ctx.broker.turn.end()
