"""Client connections: reading and closing.

Decides the JSON of one and whose they are for whom. Closing is `mqd.admin.connections`' work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from mqd.admin import connections
from mqd.admin.everywhere import others, rows_of
from mqd.broker.entries import ConnectionEntry
from mqd.broker.snapshots import CONNECTION, connection_counts
from mqd.management import fields, lists, wire
from mqd.management.access import NOT_YOURS, is_administrator, is_monitor
from mqd.management.calls import Answer, Call, done, not_authorised, not_found
from mqd.management.samples import window_of
from mqd.rpc.v1 import connections_pb2 as pb

Json = Any
Row = dict[str, Json]

_PROTOCOL: Final = "AMQP 0-9-1"
_REASON: Final = "Closed via management plugin"
_LEFT_OUT: Final = ("client_properties", "protocol", "pid")


def row(call: Call, entry: ConnectionEntry) -> Row:
    """One of this node as it is listed."""
    found: Row = {name: read(entry) for name, read in CONNECTION.items() if name not in _LEFT_OUT}
    found |= {
        "client_properties": fields.shown(entry.client_properties),
        "node": call.node.name,
        "protocol": _PROTOCOL,
        "type": "network",
        "user_who_performed_action": entry.user.name,
    }
    if entry.user_provided_name:
        found["user_provided_name"] = entry.user_provided_name
    if call.node.management.stats:
        window = window_of(call.query, "data_rates")
        for name in connection_counts(entry):
            found[f"{name}_details"] = call.samples.of_object(entry.pid, name, window)
    return found


def _row_of(call: Call, item: ConnectionEntry | Row) -> Row:
    if isinstance(item, dict):
        return {name: value for name, value in item.items() if name != "pid"}
    return row(call, item)


async def _all(call: Call) -> list[ConnectionEntry | Row]:
    """Of this node and, as they list theirs for the tools, of the other members."""
    found: list[ConnectionEntry | Row] = list(call.broker.connections.values())
    found += [item async for item in _of_others(call)]
    return found


async def _of_others(call: Call) -> AsyncIterator[Row]:
    for node in others(call.ctx):
        async for batch in rows_of(call.ctx, node, "Connections.List", pb.ListConnections()):
            for message in batch.rows:
                yield wire.to_json(message) | {
                    "node": node,
                    "protocol": _PROTOCOL,
                    "type": "network",
                    "user_who_performed_action": message.user,
                    "recv_oct_details": {"rate": 0.0},
                    "send_oct_details": {"rate": 0.0},
                }


def _of(item: ConnectionEntry | Row, name: str) -> str:
    if isinstance(item, dict):
        return str(item.get(name, ""))
    return str(CONNECTION[name](item))


def _visible(call: Call, found: list[ConnectionEntry | Row]) -> list[ConnectionEntry | Row]:
    if is_monitor(call.user):
        return found
    return [item for item in found if _of(item, "user") == call.user.name]


async def _listed(call: Call, found: list[ConnectionEntry | Row]) -> Answer:
    return await lists.of(
        call,
        _visible(call, found),
        lambda item: _row_of(call, item),
        name=lambda item: _of(item, "name"),
        key=lambda item: _of(item, "name"),
    )


async def listing(call: Call) -> Answer:
    """Those the user may see."""
    return await _listed(call, await _all(call))


async def of_vhost(call: Call) -> Answer:
    """The same of one vhost."""
    name = call.vhost.name
    return await _listed(call, [one for one in await _all(call) if _of(one, "vhost") == name])


async def of_user(call: Call) -> Answer:
    """The same of one user."""
    name = call.names["user"]
    return await _listed(call, [one for one in await _all(call) if _of(one, "user") == name])


async def found(call: Call) -> ConnectionEntry | Row:
    """The connection in the path. Raises Refused."""
    name = call.names["connection"]
    for item in await _all(call):
        if _of(item, "name") == name:
            if not is_monitor(call.user) and _of(item, "user") != call.user.name:
                raise not_authorised(NOT_YOURS)
            return item
    raise not_found()


async def show(call: Call) -> Answer:
    return lists.one(call, _row_of(call, await found(call)))


def _reason(call: Call) -> str:
    return call.headers.get("X-Reason", _REASON)


async def close(call: Call) -> Answer:
    """One's own; an administrator anybody's."""
    item = await found(call)
    if not is_administrator(call.user) and _of(item, "user") != call.user.name:
        raise not_authorised(NOT_YOURS)
    await _close(call, [item])
    return done()


async def close_of_user(call: Call) -> Answer:
    """All of one user; there may be none."""
    name = call.names["user"]
    if not is_administrator(call.user) and name != call.user.name:
        raise not_authorised(NOT_YOURS)
    await _close(call, [one for one in await _all(call) if _of(one, "user") == name])
    return done()


async def _close(call: Call, items: list[ConnectionEntry | Row]) -> None:
    for item in items:
        pid = item["pid"] if isinstance(item, dict) else item.pid
        request = pb.CloseConnection(pid=pid, explanation=_reason(call))
        await connections.close(call.ctx, request)
