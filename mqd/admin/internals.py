"""What later versions of RabbitMQ show of a node's inside.

Decides what the answer is where mqd is built otherwise: metadata is a log of this node alone,
sizes are those of the messages that are in memory, and nothing stands between a client and its
channel. Never changes anything.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator
from typing import Final

from mqd.admin.context import AdminContext
from mqd.admin.listing import batches
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import internals_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

SIZES_BYTES: Final = (
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
)


async def metadata_store_status(
    ctx: AdminContext, request: pb.MetadataStoreStatusRequest
) -> AsyncIterator[pb.MetadataStoreRows]:
    """One row: what was proposed is applied once it is on disc."""
    last = ctx.metadata.last_number
    row = pb.MetadataStoreRow(
        node=ctx.node.name,
        raft_state="leader",
        membership="voter",
        last_log_index=last,
        last_written=last,
        last_applied=last,
        commit_index=last,
        snapshot_index="undefined",
        term=1,
        machine_version=1,
    )
    for batch in batches([row], lambda chunk: pb.MetadataStoreRows(rows=chunk)):
        yield batch


async def metadata_store_state(
    ctx: AdminContext, request: pb.MetadataStoreStateRequest
) -> pb.MetadataStoreStateReply:
    """It is open while the application runs."""
    metadata = ctx.node.metadata
    if metadata is None:
        return pb.MetadataStoreStateReply()
    return pb.MetadataStoreStateReply(initialized=True, has_data=not metadata.state.is_virgin)


async def message_sizes(
    ctx: AdminContext, request: pb.MessageSizesRequest
) -> AsyncIterator[pb.MessageSizeRows]:
    """A row for each class of sizes."""
    counts = [0] * (len(SIZES_BYTES) + 1)
    for vhost in ctx.broker.vhosts.values():
        for queue in vhost.queues.values():
            for message in queue.resident():
                counts[bisect_left(SIZES_BYTES, message.body_bytes)] += 1
    total = sum(counts) or 1
    rows = [
        pb.MessageSizeRow(up_to=up_to, count=count, share=round(100 * count / total, 2))
        for up_to, count in zip((*map(str, SIZES_BYTES), "infinity"), counts, strict=True)
    ]
    for batch in batches(rows, lambda chunk: pb.MessageSizeRows(rows=chunk)):
        yield batch


async def list_interceptors(
    ctx: AdminContext, request: pb.ListChannelInterceptors
) -> AsyncIterator[pb.ChannelInterceptorRows]:
    """None."""
    for batch in batches((), lambda chunk: pb.ChannelInterceptorRows(rows=chunk)):
        yield batch


async def set_interceptor_priorities(
    ctx: AdminContext, request: pb.SetChannelInterceptorPriorities
) -> Done:
    """Raises NOT_FOUND: there is none whose order could be set."""
    raise MqdError(
        ErrorCode.NOT_FOUND,
        f"there is no channel interceptor '{request.words[0]}': mqd has none",
    )
