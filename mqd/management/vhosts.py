"""Virtual hosts: reading, making, deleting.

Decides the JSON of one and what a PUT may say of it. What is changed is changed by
`mqd.admin.vhosts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mqd.admin import permissions, vhosts
from mqd.admin.everywhere import others
from mqd.management import fields, lists
from mqd.management.access import visible_vhosts
from mqd.management.calls import Answer, Call, bad_request, created, done, not_found
from mqd.management.overview import MESSAGES, queue_totals
from mqd.management.samples import LENGTHS, of_vhost
from mqd.metadata.commands import VhostRecord
from mqd.rpc.v1 import permissions_pb2
from mqd.rpc.v1 import vhosts_pb2 as pb

Json = Any


def row(call: Call, name: str) -> dict[str, Json]:
    """One as it is listed."""
    record = call.state.vhosts[name]
    live = call.broker.vhosts.get(name)
    here = {call.node.name: "running" if live is not None else "stopped"}
    found: dict[str, Json] = {
        "name": name,
        "description": record.description,
        "tags": _tags(record),
        "default_queue_type": record.default_queue_type or "undefined",
        "metadata": {"description": record.description, "tags": _tags(record)},
        "tracing": live is not None and live.tracing,
        "cluster_state": dict.fromkeys(others(call.ctx), "running") | here,
    }
    if live is not None and call.node.management.stats:
        _put_numbers(call, name, found)
    return found


def _put_numbers(call: Call, name: str, found: dict[str, Json]) -> None:
    """Of messages and bytes; as long as there is nothing, nothing is told."""
    samples, kept = call.samples, call.samples.in_vhost(name)
    if call.broker.vhosts[name].queues:
        found |= queue_totals(call, [name])
        rates = {one: samples.of_object(of_vhost(name), one) for one in LENGTHS}
        found |= {f"{one}_details": detail for one, detail in rates.items()}
        total = sum(detail["rate"] for detail in rates.values())
        found["messages_details"] = {"rate": round(total, 4)}
    stats = {one: kept.get(one, 0) for one in MESSAGES}
    if any(stats.values()):
        found["message_stats"] = stats | _details(call, name, stats)
    octets = {one: kept[one] for one in ("recv_oct", "send_oct") if one in kept}
    found |= octets | _details(call, name, octets)


def _details(call: Call, vhost: str, names: Iterable[str]) -> dict[str, Json]:
    return {f"{one}_details": call.samples.of_object(of_vhost(vhost), one) for one in names}


def _tags(record: VhostRecord) -> list[str]:
    if record.tags_text is not None:
        return [tag.strip() for tag in record.tags_text.split(",") if tag.strip()]
    return list(record.tags)


async def listing(call: Call) -> Answer:
    """Those the user may see."""
    return await lists.of(
        call, visible_vhosts(call), lambda name: row(call, name), name=lambda name: name
    )


async def show(call: Call) -> Answer:
    return lists.one(call, row(call, _name(call)))


def _name(call: Call) -> str:
    """Of the path. Raises Refused when there is none."""
    name = call.names["vhost"]
    if name not in call.state.vhosts:
        raise not_found()
    return name


async def put(call: Call) -> Answer:
    """A new one, which who makes it may use, or another description, tags, queue type; tracing on
    or off."""
    body = call.json()
    name = fields.checked_name("name", call.names["vhost"])
    tags = body.get("tags", "")
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        tags = ",".join(tags)
    if not isinstance(tags, str):
        raise bad_request("tags_not_string_or_list")
    kind = fields.text(body, "default_queue_type", fields.text(body, "defaultqueuetype"))
    kind = "" if kind == "undefined" else kind
    is_new = name not in call.state.vhosts
    if is_new:
        await vhosts.add(
            call.ctx,
            pb.AddVhost(
                name=name,
                description=fields.text(body, "description"),
                tags=tags,
                default_queue_type=kind,
            ),
        )
        await permissions.set_(
            call.ctx,
            permissions_pb2.SetPermissions(
                username=call.user.name, vhost=name, configure=".*", write=".*", read=".*"
            ),
        )
    else:
        change = pb.UpdateVhost(name=name)
        if "description" in body:
            change.description = fields.text(body, "description")
        if "tags" in body:
            change.tags = tags
        if kind:
            change.default_queue_type = kind
        await vhosts.update(call.ctx, change)
    if "tracing" in body:
        switch = vhosts.trace_on if fields.flag(body, "tracing", False) else vhosts.trace_off
        await switch(call.ctx, pb.TraceVhost(vhost=name))
    return created(is_new)


async def delete(call: Call) -> Answer:
    """With everything in it."""
    await vhosts.delete(call.ctx, pb.DeleteVhost(name=_name(call)))
    return done()


async def start(call: Call) -> Answer:
    """It runs already, on every member that does."""
    name, node = call.names["vhost"], call.names["node"]
    if node not in (call.node.name, *others(call.ctx)):
        raise bad_request(f"Request to node {node} failed with nodedown")
    if name not in call.broker.vhosts:
        reason = f'{{no_such_vhost,<<"{name}">>}}'
        raise bad_request(f"Request to node {node} failed with {reason}")
    return done()
