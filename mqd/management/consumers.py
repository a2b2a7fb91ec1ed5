"""Channels' consumers: reading.

Decides the JSON of one, and of the channel and the peer behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from mqd.admin.everywhere import others, rows_of
from mqd.admin.homes import is_here
from mqd.broker.channel import Channel
from mqd.broker.consumers import Consumer
from mqd.broker.entries import ConnectionEntry
from mqd.broker.queues.base import Queue
from mqd.broker.snapshots import CONSUMER
from mqd.management import fields, lists, wire
from mqd.management.access import listed_vhosts
from mqd.management.calls import Answer, Call
from mqd.rpc.v1 import consumers_pb2 as pb

Json = Any
Row = dict[str, Json]


def peer_of(entry: ConnectionEntry) -> Row:
    """Whose a channel is, or an exclusive queue."""
    return {"name": entry.name, "peer_host": entry.peer_host, "peer_port": entry.peer_port}


def channel_of(call: Call, channel: Channel) -> Row:
    """A channel, as a consumer names it."""
    entry = channel.connection
    return {
        "connection_name": entry.name,
        "name": f"{entry.name} ({channel.number})",
        "node": call.node.name,
        "number": channel.number,
        "peer_host": entry.peer_host,
        "peer_port": entry.peer_port,
        "user": entry.user.name,
    }


def row(call: Call, consumer: Consumer) -> Row:
    """One of this node as it is listed."""
    return {
        "ack_required": CONSUMER["ack_required"](consumer),
        "active": CONSUMER["active"](consumer),
        "activity_status": CONSUMER["activity_status"](consumer),
        "arguments": fields.shown(consumer.arguments),
        "channel_details": channel_of(call, consumer.channel),
        "consumer_tag": consumer.tag,
        "exclusive": consumer.exclusive,
        "prefetch_count": CONSUMER["prefetch_count"](consumer),
        "queue": {"name": consumer.queue.name, "vhost": consumer.queue.vhost.name},
    }


async def _of_others(call: Call, vhost: str) -> AsyncIterator[Row]:
    """As the other members list theirs for the tools: of the channel they tell the node alone."""
    for node in others(call.ctx):
        request = pb.ListConsumers(vhost=vhost)
        async for batch in rows_of(call.ctx, node, "Consumers.List", request):
            for message in batch.rows:
                found = wire.to_json(message)
                found.pop("channel_pid", None)
                yield found | {
                    "channel_details": {"node": node},
                    "exclusive": False,
                    "queue": {"name": found.pop("queue_name", ""), "vhost": vhost},
                }


def _here(call: Call, vhost: str) -> Iterator[Consumer]:
    for _, queue in sorted(call.broker.vhosts[vhost].queues.items()):
        if is_here(call.ctx, queue):
            yield from queue.consumers


async def listing(call: Call) -> Answer:
    """Of all vhosts, or of one."""
    names = listed_vhosts(call)
    if "vhost" in call.names:
        wanted = call.vhost.name
        names = [name for name in names if name == wanted]  # others have none to be seen
    found: list[Consumer | Row] = []
    for name in names:
        found += _here(call, name)
        async for item in _of_others(call, name):
            found.append(item)

    def shown(item: Consumer | Row) -> Row:
        return item if isinstance(item, dict) else row(call, item)

    return await lists.of(call, found, shown)


async def of_queue(call: Call, queue: Queue) -> list[Row]:
    """All of one queue, wherever it lives."""
    if is_here(call.ctx, queue):
        return [row(call, consumer) for consumer in queue.consumers]
    wanted = {"name": queue.name, "vhost": queue.vhost.name}
    return [row async for row in _of_others(call, queue.vhost.name) if row["queue"] == wanted]
