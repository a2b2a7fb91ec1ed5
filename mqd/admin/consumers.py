"""Consumers: listing. Never cancels one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mqd.admin.context import AdminContext
from mqd.admin.everywhere import everywhere
from mqd.admin.homes import is_here
from mqd.admin.listing import batches, columns, fields_of
from mqd.broker.snapshots import CONSUMER
from mqd.rpc.v1 import consumers_pb2 as pb


@everywhere("Consumers.List")
async def list_(ctx: AdminContext, request: pb.ListConsumers) -> AsyncIterator[pb.ConsumerRows]:
    """Rows of a vhost's consumers, by queue. A vhost that does not exist has none."""
    chosen = columns(request.columns, CONSUMER)
    vhost = ctx.broker.vhosts.get(request.vhost)
    if vhost is None:
        return
    consumers = [
        consumer
        for _, queue in sorted(vhost.queues.items())
        if is_here(ctx, queue)
        for consumer in queue.consumers
    ]
    rows = (fields_of(pb.ConsumerRow, chosen, consumer) for consumer in consumers)
    for batch in batches(rows, lambda chunk: pb.ConsumerRows(rows=chunk)):
        yield batch
