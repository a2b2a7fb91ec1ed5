"""Queues: listing, purging, deleting.

Decides who may be listed and which failure a refused deletion is; the words belong to the tool.
Never declares a queue: clients do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from mqd.admin.context import AdminContext
from mqd.admin.listing import batches, columns, fields_of
from mqd.admin.waiting import answer
from mqd.broker.queues.base import Queue
from mqd.broker.snapshots import QUEUE, Walk
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import queues_pb2 as pb


async def list_(ctx: AdminContext, request: pb.ListQueues) -> AsyncIterator[pb.QueueRows]:
    """Rows of a vhost's queues, the newest first. One that does not exist has none.

    RabbitMQ promises no order (its tables hash); this one costs no sorting of long listings and
    shows what has just been declared. On a node that runs every queue is local and online.
    """
    chosen = columns(request.columns, QUEUE)
    vhost = ctx.broker.vhosts.get(request.vhost)
    if vhost is None or (request.offline and not request.online):
        return
    walk = Walk(ctx.broker.connections.values())
    queues = list(reversed(vhost.queues.values()))
    rows = (fields_of(pb.QueueRow, chosen, queue, walk) for queue in queues)
    for batch in batches(rows, lambda chunk: pb.QueueRows(rows=chunk)):
        yield batch


async def list_unresponsive(
    ctx: AdminContext, request: pb.ListUnresponsiveQueues
) -> AsyncIterator[pb.UnresponsiveQueueRows]:
    """None: a queue is no process that could fail to answer while the node does."""
    known = {field.name: field for field in pb.UnresponsiveQueueRow.DESCRIPTOR.fields}
    columns(request.columns, known)
    for batch in batches((), lambda chunk: pb.UnresponsiveQueueRows(rows=chunk)):
        yield batch


async def purge(ctx: AdminContext, request: pb.PurgeQueue) -> pb.PurgeQueueReply:
    """Drop the ready messages. Raises NOT_FOUND."""
    queue = _find(ctx, request.vhost, request.name)
    count = queue.purge()
    ctx.broker.turn.end()
    return pb.PurgeQueueReply(message_count=count)


async def delete(ctx: AdminContext, request: pb.DeleteQueue) -> pb.DeleteQueueReply:
    """Delete a queue with its messages, bindings and consumers, also an exclusive one.

    Raises NOT_FOUND; RESOURCE_LOCKED when it has consumers and if_unused was asked;
    PRECONDITION_FAILED when it has ready messages and if_empty was asked. In use is looked at
    first (observed: 3.10.8).
    """
    queue = _find(ctx, request.vhost, request.name)
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
    await answer(lambda done: queue.vhost.delete_queue(queue, done))
    ctx.broker.turn.end()
    return pb.DeleteQueueReply(message_count=count)


def _find(ctx: AdminContext, vhost: str, name: str) -> Queue:
    found = ctx.broker.vhosts.get(vhost)
    queue = found.queues.get(name) if found is not None else None
    if queue is None:
        raise MqdError(ErrorCode.NOT_FOUND, "not_found")
    return queue
