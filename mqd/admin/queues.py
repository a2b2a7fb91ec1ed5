"""Queues: listing, purging, deleting.

Decides who may be listed and which failure a refused deletion is; the words belong to the tool.
Never declares a queue: clients do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from mqd.admin.context import AdminContext
from mqd.admin.copies import copies_of, mirrors_of
from mqd.admin.everywhere import ask, others, rows_of
from mqd.admin.homes import (
    DOWN,
    at_home,
    homeless,
    is_between_homes,
    is_down,
    is_here,
    pid_at,
    state_of,
)
from mqd.admin.listing import batches, columns, fields_of
from mqd.admin.waiting import answer, holds
from mqd.broker.queues.base import Queue
from mqd.broker.snapshots import QUEUE, Info, QueueInfo, Walk
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import queues_pb2 as pb
from mqd.rpc.v1.diagnostics_pb2 import PingRequest

_COPIES: Final = ("leader", "members", "online", "slave_pids", "synchronised_slave_pids")
# what 3.10.8 leaves empty of queues of a kind (observed)
_EMPTY: Final = {
    "exclusive": ("quorum", "stream"),
    "consumer_utilisation": ("quorum", "stream"),
    "consumer_capacity": ("quorum", "stream"),
    "pid": ("stream",),
}
_QUEUE_TIMEOUT_MS: Final = 15_000  # RabbitMQ's default


async def list_(ctx: AdminContext, request: pb.ListQueues) -> AsyncIterator[pb.QueueRows]:
    """Rows of a vhost's queues, the newest first. One that does not exist has none.

    RabbitMQ promises no order (its tables hash); this one costs no sorting of long listings and
    shows what has just been declared. Each queue is listed by the member that serves it; those that
    no running member serves come first, known by their definition alone. A queue that waits for a
    leader is listed by the member that is asked.
    """
    chosen = columns(request.columns, QUEUE)
    vhost = ctx.broker.vhosts.get(request.vhost)
    everything = request.online == request.offline
    if vhost is not None and not request.local and (request.offline or everything):
        known = {name: DOWN[name] for name in chosen if name in DOWN}
        down = homeless(ctx, vhost.queues.values())
        rows = (fields_of(pb.QueueRow, known, queue) for queue in down)
        for batch in batches(rows, lambda chunk: pb.QueueRows(rows=chunk)):
            yield batch
    if not (request.local or request.online or everything):
        return
    async for batch in _online(ctx, request):
        yield batch


def _of_copies(ctx: AdminContext, queue: Queue) -> dict[str, Info]:
    """Of those kinds that have any in RabbitMQ; a classic queue has the mirrors that are asked
    for."""
    found = copies_of(ctx, queue)
    if queue.definition.type in ("quorum", "stream"):
        return {
            "leader": found.leader,
            "members": tuple(found.members),
            "online": tuple(found.online),
        }
    nodes = mirrors_of(ctx, queue)
    if nodes is None:
        return {}
    mirrors = tuple(pid_at(queue, node) for node in nodes)
    return {"slave_pids": mirrors, "synchronised_slave_pids": mirrors}


def _but_for(kinds: Sequence[str], read: QueueInfo) -> QueueInfo:
    return lambda queue, walk: None if queue.definition.type in kinds else read(queue, walk)


def _reads(ctx: AdminContext, wanted: Sequence[str]) -> dict[str, QueueInfo]:
    """The columns that were asked for; those of copies are the cluster's to tell."""
    chosen = columns(wanted, QUEUE)
    for name, kinds in _EMPTY.items():
        if name in chosen:
            chosen[name] = _but_for(kinds, chosen[name])

    def read(name: str) -> QueueInfo:
        return lambda queue, _: _of_copies(ctx, queue).get(name)

    if ctx.node.cluster is not None:
        chosen |= {name: read(name) for name in _COPIES if name in chosen}
        if "state" in chosen:
            chosen["state"] = lambda queue, _: state_of(ctx, queue)
    return chosen


async def _online(ctx: AdminContext, request: pb.ListQueues) -> AsyncIterator[pb.QueueRows]:
    chosen = _reads(ctx, request.columns)
    vhost = ctx.broker.vhosts.get(request.vhost)
    if vhost is not None:
        walk = Walk((*ctx.broker.connections.values(), *ctx.broker.served))
        queues = [
            queue
            for queue in reversed(vhost.queues.values())
            if is_here(ctx, queue) or (not request.local and is_between_homes(ctx, queue))
        ]
        rows = (fields_of(pb.QueueRow, chosen, queue, walk) for queue in queues)
        for batch in batches(rows, lambda chunk: pb.QueueRows(rows=chunk)):
            yield batch
    if not request.local:
        theirs = pb.ListQueues(vhost=request.vhost, columns=request.columns, local=True)
        for node in others(ctx):
            async for batch in rows_of(ctx, node, "Queues.List", theirs):
                yield batch


async def list_unresponsive(
    ctx: AdminContext, request: pb.ListUnresponsiveQueues
) -> AsyncIterator[pb.UnresponsiveQueueRows]:
    """Those of members that are linked and do not answer in time. A queue of this node is no
    process that could fail to answer while the node does."""
    known = {field.name: field for field in pb.UnresponsiveQueueRow.DESCRIPTOR.fields}
    chosen = columns(request.columns, known)
    vhost = ctx.broker.vhosts.get(request.vhost)
    if vhost is None or request.local:
        return
    timeout_s = (request.queue_timeout or _QUEUE_TIMEOUT_MS) / 1000
    for node in others(ctx):
        if await ask(ctx, node, "Diagnostics.Ping", PingRequest(), timeout_s) is not None:
            continue
        reads = {name: DOWN[name] for name in chosen if name in DOWN}
        queues = [queue for queue in vhost.queues.values() if queue.home == node]
        rows = (fields_of(pb.UnresponsiveQueueRow, reads, queue) for queue in queues)
        for batch in batches(rows, lambda chunk: pb.UnresponsiveQueueRows(rows=chunk)):
            yield batch


async def purge(ctx: AdminContext, request: pb.PurgeQueue) -> pb.PurgeQueueReply:
    """Drop the ready messages. Raises NOT_FOUND; UNAVAILABLE for a stream."""
    queue = _find(ctx, request.vhost, request.name)
    if queue.definition.type == "stream":
        raise MqdError(ErrorCode.UNAVAILABLE, "not_supported")
    if not is_here(ctx, queue):
        reply: pb.PurgeQueueReply = await at_home(ctx, queue, "Queues.Purge", request)
        return reply
    count = queue.purge()
    ctx.broker.turn.end()
    if not await holds(queue):
        return await purge(ctx, request)
    return pb.PurgeQueueReply(message_count=count)


async def delete(ctx: AdminContext, request: pb.DeleteQueue) -> pb.DeleteQueueReply:
    """Delete a queue with its messages, bindings and consumers, also an exclusive one.

    Raises NOT_FOUND; RESOURCE_LOCKED when it has consumers and if_unused was asked;
    PRECONDITION_FAILED when it has ready messages and if_empty was asked. In use is looked at
    first (observed: 3.10.8). A quorum queue that nobody leads goes unseen; a classic one that is
    down cannot be told from one that does not exist. A quorum queue knows no condition: USAGE.
    """
    queue = _find(ctx, request.vhost, request.name)
    if queue.definition.type == "quorum" and (request.if_unused or request.if_empty):
        flag = "if-unused" if request.if_unused else "if-empty"
        raise MqdError(
            ErrorCode.USAGE,
            f"cannot delete {queue.definition.resource}. queue.delete operations with {flag} flag "
            "set are not supported by quorum queues",
        )
    if not is_here(ctx, queue) and (queue.definition.type == "classic" or not is_down(ctx, queue)):
        reply: pb.DeleteQueueReply = await at_home(ctx, queue, "Queues.Delete", request)
        return reply
    if request.if_unused and queue.consumers:
        raise MqdError(
            ErrorCode.RESOURCE_LOCKED,
            f"{queue.definition.resource} has {len(queue.consumers)} consumers",
        )
    count = queue.ready_count
    if request.if_empty and count:
        raise MqdError(
            ErrorCode.PRECONDITION_FAILED, f"{queue.definition.resource} has {count} ready messages"
        )
    if (request.if_empty or request.if_unused) and not await holds(queue):
        return await delete(ctx, request)
    await answer(lambda done: queue.vhost.delete_queue(queue, done))
    ctx.broker.turn.end()
    return pb.DeleteQueueReply(message_count=count)


def _find(ctx: AdminContext, vhost: str, name: str) -> Queue:
    found = ctx.broker.vhosts.get(vhost)
    queue = found.queues.get(name) if found is not None else None
    if queue is None:
        raise MqdError(ErrorCode.NOT_FOUND, "not_found")
    return queue
