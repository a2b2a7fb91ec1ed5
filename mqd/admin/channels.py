"""Channels: listing. Never opens or closes one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mqd.admin.context import AdminContext
from mqd.admin.everywhere import everywhere
from mqd.admin.listing import batches, columns, fields_of
from mqd.broker.snapshots import CHANNEL
from mqd.rpc.v1 import channels_pb2 as pb


@everywhere("Channels.List")
async def list_(ctx: AdminContext, request: pb.ListChannels) -> AsyncIterator[pb.ChannelRows]:
    """Rows of all channels of the node, by connection in order of their numbers."""
    chosen = columns(request.columns, CHANNEL)
    channels = [
        channel
        for entry in ctx.broker.connections.values()
        for _, channel in sorted(entry.channels.items())
    ]
    rows = (fields_of(pb.ChannelRow, chosen, channel) for channel in channels)
    for batch in batches(rows, lambda chunk: pb.ChannelRows(rows=chunk)):
        yield batch
