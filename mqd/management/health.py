"""Health checks: 200 and "ok", or 503 and what is wrong.

Decides the JSON of each (observed: 3.10.8). What is wrong is judged by the same functions that
serve the tools' checks.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from mqd.admin import copies, diagnostics, reports
from mqd.admin.everywhere import others
from mqd.amqp.properties import Properties, encode
from mqd.broker import elsewhere, topology
from mqd.broker.message import content_of
from mqd.broker.publish import Target
from mqd.management import channel as channels
from mqd.management.calls import Answer, Call, bad_request, not_found, reply
from mqd.rpc.v1 import diagnostics_pb2

Json = Any

_ALIVENESS: Final = "aliveness-test"
_UNITS: Final = ("days", "weeks", "months", "years")
# what people call the protocols that listeners carry
_SAME: Final = {
    "amqp": "amqp091 amqp0.9.1 amqp0-9-1 amqp0_9_1 amqp10 amqp1.0 amqp1-0 amqp1_0",
    "amqp/ssl": "amqps",
    "http": "http1 http1.1 http_api management management_ui ui",
    "clustering": "cli distribution",
}


def _ok(**more: Json) -> Answer:
    return reply({"status": "ok", **more})


def _failed(reason: str, **more: Json) -> Answer:
    return reply({"status": "failed", "reason": reason, **more}, 503)


async def aliveness(call: Call) -> Answer:
    """Declares a queue, publishes to it and takes the message out again, as the user."""
    call.vhost  # noqa: B018 - whether it is there
    with channels.opened(call) as channel:
        declare = partial(
            topology.declare_queue,
            channel,
            _ALIVENESS,
            durable=False,
            exclusive=False,
            auto_delete=False,
            arguments={},
        )
        await channels.answered(channel, lambda done: declare(done=done))
        channels.not_alarmed(channel)
        body = b"test_message"
        content = content_of(encode(Properties(), len(body)), body, 1, 0)
        channel.select_tx()  # which tells when the message is where it has to be
        Target(channel, "", _ALIVENESS, False).publish(content, 0)
        await channels.answered(channel, channel.commit)
        taken = await channels.answered(
            channel, lambda done: elsewhere.get(channel, _ALIVENESS, no_ack=True, done=done)
        )
        if taken is None:
            return _failed("the message that was published is not there")
    return _ok()


async def node(call: Call) -> Answer:
    """The check of old: alarms of this node."""
    if call.names.get("node", call.node.name) != call.node.name:
        raise not_found()
    found = reports.own_alarms(call.ctx)
    if found:
        listed = ", ".join(alarm.resource for alarm in found)
        return reply({"status": "failed", "reason": f"resource alarms are in effect: {listed}"})
    return _ok()


def _alarms(found: list[Any], where: str) -> Answer:
    if not found:
        return _ok()
    rows = [{"node": alarm.node, "resource": alarm.resource} for alarm in found]
    return _failed(f"There are alarms in effect in the {where}", alarms=rows)


async def alarms(call: Call) -> Answer:
    """Of all members."""
    return _alarms(reports.alarms(call.ctx), "cluster")


async def local_alarms(call: Call) -> Answer:
    """Of this node."""
    return _alarms(reports.own_alarms(call.ctx), "node")


async def certificates(call: Call) -> Answer:
    """No listener has one."""
    if not call.names["within"].isdigit():
        raise bad_request("Invalid expiration value.")
    if call.names["unit"] not in _UNITS:
        listed = ", ".join(_UNITS)
        raise bad_request(f"Time unit not recognised. Supported units: {listed}.")
    return _ok()


async def port_listener(call: Call) -> Answer:
    """Whether this node listens there."""
    text = call.names["port"]
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise bad_request("Invalid port")
    ports = [one.port for one in call.node.listeners()]
    if int(text) in ports:
        return _ok(port=int(text))
    return _failed("No active listener", missing=int(text), ports=ports)


async def protocol_listener(call: Call) -> Answer:
    """Whether this node listens for it, by any of its names."""
    name = call.names["protocol"].lower()
    wanted = next((known for known, same in _SAME.items() if name in same.split()), name)
    protocols = [one.protocol for one in call.node.listeners()]
    if wanted in protocols:
        return _ok(protocol=wanted)
    return _failed("No active listener", missing=wanted, protocols=protocols)


async def virtual_hosts(call: Call) -> Answer:
    """Whether all run, on every member."""
    request = diagnostics_pb2.CheckVirtualHostsRequest()
    down = (await diagnostics.check_virtual_hosts(call.ctx, request)).down
    if not down:
        return _ok()
    return _failed("Some virtual hosts are down", **{"virtual-hosts": list(down)})


async def mirror_sync_critical(call: Call) -> Answer:
    """Whether mirrored queues would be gone with this node."""
    return _critical(call, copies.critical_mirrors, "in-sync mirrors")


async def quorum_critical(call: Call) -> Answer:
    """Whether quorum queues would have no majority without this node."""
    return _critical(call, copies.critical, "quorum")


def _critical(call: Call, judge: Any, what: str) -> Answer:
    if not others(call.ctx) and call.node.cluster is None:
        return _ok(reason="single node cluster")
    queues = [
        {
            "name": queue.name,
            "readable_name": str(queue.definition.resource),
            "type": queue.kind,
            "virtual_host": queue.vhost.name,
        }
        for queue in judge(call.ctx)
    ]
    if not queues:
        return _ok()
    return _failed(
        f"There are queues that would lose their {what} if the target node is shut down",
        queues=queues,
    )
