"""Virtual hosts.

Decides what a virtual host is made with and what its listing shows. Never takes one apart:
applying the deletion does (connections close, queues go, the store is dropped).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from mqd.admin import values
from mqd.admin.context import AdminContext
from mqd.admin.elixir import inspect
from mqd.admin.everywhere import others
from mqd.admin.listing import batches, columns, fields_of
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import DeleteVhost, PutVhost, VhostRecord
from mqd.rpc.v1 import values_pb2
from mqd.rpc.v1 import vhosts_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

_log = logging.getLogger(__name__)

QUEUE_TYPES: Final = ("classic", "quorum", "stream")


def find(ctx: AdminContext, name: str) -> VhostRecord:
    """The virtual host. Raises NO_SUCH_VHOST."""
    record = ctx.metadata.state.vhosts.get(name)
    if record is None:
        raise MqdError(ErrorCode.NO_SUCH_VHOST, f"Virtual host '{name}' does not exist")
    return record


async def add(ctx: AdminContext, request: pb.AddVhost) -> Done:
    """A new virtual host; one that exists stays as it is (observed: 3.10.8).

    Raises INVALID_ARGUMENT for an unknown queue type.
    """
    queue_type = request.default_queue_type
    if queue_type and queue_type not in QUEUE_TYPES:
        raise MqdError(ErrorCode.INVALID_ARGUMENT, "invalid_queue_type")
    if request.name in ctx.metadata.state.vhosts:
        return Done()
    _log.info("Adding vhost '%s' (description: '%s')", request.name, request.description)
    await ctx.metadata.propose_async(
        PutVhost(
            VhostRecord(
                request.name,
                description=request.description,
                tags=_tags(request),
                default_queue_type=queue_type or None,
                # observed: 3.10.8 takes the tags apart only beside a queue type
                tags_text=None if queue_type else request.tags,
            )
        )
    )
    return Done()


def _tags(request: pb.AddVhost | pb.UpdateVhost) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in request.tags.split(",") if tag.strip())


async def update(ctx: AdminContext, request: pb.UpdateVhost) -> Done:
    """Change what is given. Raises NO_SUCH_VHOST, INVALID_ARGUMENT for an unknown queue type."""
    record = find(ctx, request.name)
    queue_type = request.default_queue_type
    if queue_type and queue_type not in QUEUE_TYPES:
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT,
            f"'{queue_type}' is no queue type: use one of {', '.join(QUEUE_TYPES)}",
        )
    if request.HasField("description"):
        record = replace(record, description=request.description)
    if request.HasField("tags"):
        record = replace(record, tags=_tags(request), tags_text=None)
    if request.HasField("default_queue_type"):
        record = replace(record, default_queue_type=queue_type or None)
    if request.HasField("protected_from_deletion"):
        record = replace(record, protected=request.protected_from_deletion)
    await ctx.metadata.propose_async(PutVhost(record))
    return Done()


async def protect(ctx: AdminContext, request: pb.ProtectVhost) -> Done:
    """It cannot be deleted from now on. Raises NO_SUCH_VHOST."""
    await ctx.metadata.propose_async(PutVhost(replace(find(ctx, request.name), protected=True)))
    return Done()


async def unprotect(ctx: AdminContext, request: pb.ProtectVhost) -> Done:
    """It can be deleted again. Raises NO_SUCH_VHOST."""
    await ctx.metadata.propose_async(PutVhost(replace(find(ctx, request.name), protected=False)))
    return Done()


async def reconcile(ctx: AdminContext, request: pb.ReconcileVhosts) -> Done:
    """Virtual hosts run or do not exist: there is nothing to start."""
    return Done()


async def delete(ctx: AdminContext, request: pb.DeleteVhost) -> Done:
    """Delete a virtual host with everything in it. Raises NO_SUCH_VHOST; PRECONDITION_FAILED
    when it is protected."""
    if find(ctx, request.name).protected:
        raise MqdError(
            ErrorCode.PRECONDITION_FAILED,
            f"Virtual host '{request.name}' is protected from deletion. Lift that with "
            f"'rabbitmqctl disable_vhost_deletion_protection {request.name}'",
        )
    _log.info("Deleting vhost '%s'", request.name)
    await ctx.metadata.propose_async(DeleteVhost(request.name))
    ctx.broker.turn.end()
    return Done()


async def list_(ctx: AdminContext, request: pb.ListVhosts) -> AsyncIterator[pb.VhostRows]:
    """Rows of all virtual hosts, by name."""
    chosen = columns(request.columns, _columns(ctx))
    records = sorted(ctx.metadata.state.vhosts.values(), key=lambda record: record.name)
    rows = (fields_of(pb.VhostRow, chosen, record) for record in records)
    for batch in batches(rows, lambda chunk: pb.VhostRows(rows=chunk)):
        yield batch


def _columns(ctx: AdminContext) -> dict[str, Callable[[VhostRecord], object]]:
    live = ctx.broker.vhosts

    def state(record: VhostRecord) -> values_pb2.Term:
        word = "running" if record.name in live else "stopped"
        here = {ctx.node.name: values.atom(word)}
        return values.proplist(dict.fromkeys(others(ctx), values.atom("running")) | here)

    return {
        "name": lambda record: record.name,
        "description": lambda record: record.description,
        "tags": _shown_tags,
        "default_queue_type": lambda record: record.default_queue_type or "undefined",
        "tracing": lambda record: record.name in live and live[record.name].tracing,
        "cluster_state": state,
        "protected_from_deletion": lambda record: record.protected,
        "metadata": _metadata,
    }


def _metadata(record: VhostRecord) -> values_pb2.Term:
    """A map of what can be set."""
    shown = {
        "description": values.binary(record.description),
        "tags": _shown_tags(record),
        "default_queue_type": values.binary(record.default_queue_type or "undefined"),
        "protected_from_deletion": values_pb2.Term(boolean=record.protected),
    }
    return values_pb2.Term(
        map=values_pb2.TermMap(
            pairs=[
                values_pb2.TermPair(key=values.atom(key), value=value)
                for key, value in shown.items()
            ]
        )
    )


def _shown_tags(record: VhostRecord) -> values_pb2.Term:
    if record.tags_text is not None:
        return values.binary(record.tags_text)
    return values.term_list(map(values.atom, record.tags))


async def set_tags(ctx: AdminContext, request: pb.SetVhostTags) -> Done:
    """Replace the tags. Raises NO_SUCH_VHOST."""
    record = find(ctx, request.name)
    tags = tuple(request.tags)
    await ctx.metadata.propose_async(PutVhost(replace(record, tags=tags, tags_text=None)))
    return Done()


async def restart(ctx: AdminContext, request: pb.RestartVhost) -> pb.RestartVhostReply:
    """A virtual host has no processes that could fail on their own: it runs already.

    Raises NO_SUCH_VHOST.
    """
    if request.vhost not in ctx.broker.vhosts:
        reason = f"{{:no_such_vhost, {inspect(request.vhost)}}}"
        raise MqdError(
            ErrorCode.NO_SUCH_VHOST,
            f"Failed to start vhost '{request.vhost}' on node '{ctx.node.name}'Reason: {reason}",
        )
    return pb.RestartVhostReply(restarted=False)


async def trace_on(ctx: AdminContext, request: pb.TraceVhost) -> Done:
    """Publish copies to amq.rabbitmq.trace until the node stops; the app may stop and start.

    One that does not exist is no failure (observed: 3.10.8).
    """
    _trace(ctx, request.vhost, on=True)
    return Done()


async def trace_off(ctx: AdminContext, request: pb.TraceVhost) -> Done:
    """No copies any more."""
    _trace(ctx, request.vhost, on=False)
    return Done()


def _trace(ctx: AdminContext, name: str, *, on: bool) -> None:
    vhost = ctx.broker.vhosts.get(name)
    if vhost is not None:
        _log.info("%s tracing for vhost '%s'", "Enabling" if on else "Disabling", name)
        vhost.tracer.switch(on)
