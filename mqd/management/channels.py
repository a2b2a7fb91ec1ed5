"""Channels: reading.

Decides the JSON of one. What only Erlang has (garbage_collection, reductions) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mqd.admin.everywhere import others, rows_of
from mqd.broker.channel import Channel
from mqd.broker.snapshots import CHANNEL, channel_counts
from mqd.management import connections, consumers, lists, wire
from mqd.management.access import NOT_YOURS, is_monitor
from mqd.management.calls import Answer, Call, not_authorised, not_found
from mqd.management.samples import window_of
from mqd.rpc.v1 import channels_pb2 as pb

Json = Any
Row = dict[str, Json]

_LEFT_OUT: Final = ("pid", "connection")


def row(call: Call, channel: Channel) -> Row:
    """One of this node as it is listed."""
    entry = channel.connection
    found: Row = {name: read(channel) for name, read in CHANNEL.items() if name not in _LEFT_OUT}
    found |= {
        "connection_details": consumers.peer_of(entry),
        "node": call.node.name,
        "pending_raft_commands": 0,
        "state": "flow" if entry.slowed else "running",
        "user_who_performed_action": channel.user.name,
    }
    if call.node.management.stats:
        found["message_stats"] = _message_stats(call, channel)
    return found


def _message_stats(call: Call, channel: Channel) -> Row:
    """What it did; nothing until it has done something."""
    counts = channel_counts(channel)
    window = window_of(call.query, "msg_rates")
    stats: Row = {}
    if any(counts.values()):
        for name, value in counts.items():
            stats[name] = value
            stats[f"{name}_details"] = call.samples.of_object(channel.pid, name, window)
    return stats


def _here(call: Call) -> Iterator[Channel]:
    for entry in call.broker.connections.values():
        yield from entry.channels.values()


async def _all(call: Call) -> list[Channel | Row]:
    found: list[Channel | Row] = list(_here(call))
    for node in others(call.ctx):
        async for batch in rows_of(call.ctx, node, "Channels.List", pb.ListChannels()):
            for message in batch.rows:
                item = wire.to_json(message)
                name = str(item.get("name", ""))
                found.append(
                    {key: value for key, value in item.items() if key not in _LEFT_OUT}
                    | {
                        "connection_details": {"name": name.rpartition(" (")[0]},
                        "node": node,
                        "state": "running",
                        "user_who_performed_action": item.get("user", ""),
                    }
                )
    return found


def _of(item: Channel | Row, name: str) -> Json:
    return item.get(name, "") if isinstance(item, dict) else CHANNEL[name](item)


async def _listed(call: Call, found: list[Channel | Row]) -> Answer:
    if not is_monitor(call.user):
        found = [item for item in found if _of(item, "user") == call.user.name]
    return await lists.of(
        call,
        found,
        lambda item: item if isinstance(item, dict) else row(call, item),
        name=lambda item: str(_of(item, "name")),
        key=lambda item: _of(item, "name"),
    )


async def listing(call: Call) -> Answer:
    """Those the user may see."""
    return await _listed(call, await _all(call))


async def of_vhost(call: Call) -> Answer:
    """The same of one vhost."""
    name = call.vhost.name
    return await _listed(call, [one for one in await _all(call) if _of(one, "vhost") == name])


async def of_connection(call: Call) -> Answer:
    """Those of one connection."""
    item = await connections.found(call)
    name = item["name"] if isinstance(item, dict) else item.name
    mine = [one for one in await _all(call) if str(_of(one, "name")).startswith(f"{name} (")]
    return await _listed(call, mine)


async def show(call: Call) -> Answer:
    """One, with its consumers."""
    name = call.names["channel"]
    for item in await _all(call):
        if _of(item, "name") != name:
            continue
        if not is_monitor(call.user) and _of(item, "user") != call.user.name:
            raise not_authorised(NOT_YOURS)
        if isinstance(item, dict):
            return lists.one(call, {**item, "consumer_details": []})
        found = [consumers.row(call, one) for one in item.consumers.values()]
        more: Row = {"consumer_details": found, "deliveries": [], "publishes": []}
        return lists.one(call, row(call, item) | more)
    raise not_found()
