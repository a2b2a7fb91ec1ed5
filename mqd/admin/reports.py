"""Parts of a node's state that several reports show.

Decides what mqd says where RabbitMQ names Erlang, and how alarms, listeners and memory are laid
out. Never judges: whether an alarm fails a check is the tool's decision.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from mqd.admin import values
from mqd.admin.context import AdminContext, ListenerInfo, NodeControl
from mqd.admin.everywhere import others
from mqd.broker.broker import Broker
from mqd.config.erlang import Atom, Plain
from mqd.rpc.v1 import diagnostics_pb2 as pb

if TYPE_CHECKING:
    from mqd.cluster.fanout.standings import Standing

PRODUCT: Final = "RabbitMQ"  # what clients, scripts and dashboards look for
ERLANG_VERSION: Final = "25.2.3"  # of the 3.10.8 that mqd is compared with; some tools parse it
OTP_RELEASE: Final = f"Erlang/OTP {ERLANG_VERSION}"

# RabbitMQ 3.10.8 lists them all, 0 or not. What mqd has no such thing as stays 0.
MEMORY_CATEGORIES: Final = (
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "queue_slave_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
)


def alarms(ctx: AdminContext) -> list[pb.Alarm]:
    """Resource alarms in effect, this node's and then the other members'."""
    found = own_alarms(ctx)
    cluster = ctx.node.cluster
    for node in others(ctx):
        assert cluster is not None
        names = sorted(cluster.standing(node).alarms)
        found += [pb.Alarm(resource=name, node=node) for name in names]
    return found


def own_alarms(ctx: AdminContext) -> list[pb.Alarm]:
    """Those of this node, by name; that of file descriptors keeps new clients waiting."""
    files = ctx.node.file_descriptors()
    full = {"file_descriptor"} if files.sockets_used >= files.sockets_limit else set()
    names = sorted({*_blocking(ctx.broker), *full})
    return [pb.Alarm(resource=name, node=ctx.node.name) for name in names]


def _blocking(broker: Broker) -> set[str]:
    return {name for name, nodes in broker.alarmed.items() if broker.node in nodes}


def standing(node: NodeControl, broker: Broker) -> Standing:
    """What the other members are told of this one, also while its app starts."""
    from mqd.cluster.fanout.standings import Standing  # only members tell

    return Standing(frozenset(_blocking(broker)), node.in_maintenance)


def listeners(ctx: AdminContext) -> list[pb.Listener]:
    """Listening sockets of this node."""
    return [
        pb.Listener(
            node=ctx.node.name,
            interface=listener.interface,
            port=listener.port,
            protocol=listener.protocol,
            purpose=listener.purpose,
            host=_host(ctx, listener),
            options=values.erlang_term(_options(ctx, listener)),
        )
        for listener in ctx.node.listeners()
    ]


def _host(ctx: AdminContext, listener: ListenerInfo) -> str:
    """What the address is called; asked of nobody, since an answer may take its time."""
    address = ip_address(listener.interface.strip("[]"))
    if address.is_unspecified:
        return socket.gethostname()
    return "localhost" if address.is_loopback else ctx.node.name.rpartition("@")[2]


def _options(ctx: AdminContext, listener: ListenerInfo) -> Plain:
    """Of sockets: of AMQP as configured, of HTTP in the words of RabbitMQ's web server."""
    if listener.protocol == "amqp":
        return ctx.node.environment.get("rabbit", {}).get("tcp_listen_options", [])
    if listener.protocol != "http":
        return []
    return [
        (Atom("cowboy_opts"), [(Atom("sendfile"), Atom("false"))]),
        (Atom("port"), listener.port),
    ]


def memory_parts(ctx: AdminContext) -> list[pb.MemoryPart]:
    """Bytes by category, largest first; the sum is the process's memory.

    binary is message bodies, as in RabbitMQ. What no category claims is other_proc.
    """
    use = ctx.node.memory()
    bodies = sum(
        queue.resident_bytes
        for vhost in ctx.broker.vhosts.values()
        for queue in vhost.queues.values()
    ) + sum(vhost.delays.resident_bytes for vhost in ctx.broker.vhosts.values())
    sizes = dict.fromkeys(MEMORY_CATEGORIES, 0) | {"binary": bodies} | dict(use.parts)
    claimed = sum(size for name, size in sizes.items() if name != "other_proc")
    sizes["other_proc"] = max(0, use.total_bytes - claimed)
    return [
        pb.MemoryPart(name=name, bytes=size)
        for name, size in sorted(sizes.items(), key=lambda part: (-part[1], part[0]))
    ]
