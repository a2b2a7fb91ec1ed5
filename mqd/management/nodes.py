"""Nodes: reading.

Decides the JSON of one: of this node everything it knows of itself, of the other members what they
tell for the tools. What only Erlang has is left out.
"""

from __future__ import annotations

import os
from typing import Any, Final

from mqd.admin import reports
from mqd.admin.everywhere import ask, others
from mqd.management import lists, overview
from mqd.management.calls import Answer, Call, not_found, reply
from mqd.management.samples import CHURN, running, window_of
from mqd.metadata.commands import RAM
from mqd.rpc.v1 import diagnostics_pb2 as pb

Json = Any
Row = dict[str, Json]

_TASKS_LIMIT: Final = 1_048_576
_MACHINE: Final = (
    "fd_used",
    "sockets_used",
    "mem_used",
    "disk_free",
    "proc_used",
    "context_switches",
    "gc_num",
)
_MECHANISMS: Final = {
    "AMQPLAIN": "QPid AMQPLAIN mechanism",
    "PLAIN": "SASL PLAIN authentication mechanism",
}


def _own(call: Call) -> Row:
    node = call.node
    files, memory, disk = node.file_descriptors(), node.memory(), node.disk()
    alarms = {alarm.resource for alarm in reports.own_alarms(call.ctx)}
    window = window_of(call.query, "node_stats")
    now = {
        "fd_used": files.used,
        "sockets_used": files.sockets_used,
        "mem_used": memory.total_bytes,
        "disk_free": disk.free_bytes,
        **running(),
    }
    found: Row = {
        "applications": _applications(call),
        "auth_mechanisms": [
            {"name": name, "description": _MECHANISMS.get(name, name), "enabled": True}
            for name in call.broker.settings.auth_mechanisms
        ],
        "cluster_links": [],
        "config_files": list(node.config_files),
        "contexts": [
            {key: value for key, value in one.items() if key not in ("node", "ssl_opts")}
            for one in overview.contexts(call)
        ],
        "db_dir": str(node.data_directory),
        "disk_free_alarm": "disk" in alarms,
        "disk_free_limit": disk.limit_bytes,
        "enabled_plugins": [plugin.name for plugin in node.running_plugins],
        "exchange_types": overview.exchange_types(call),
        "fd_total": files.limit,
        "log_files": list(node.log_files),
        "mem_alarm": "memory" in alarms,
        "mem_calculation_strategy": memory.strategy,
        "mem_limit": memory.limit_bytes,
        "name": node.name,
        "net_ticktime": 60,
        "os_pid": str(node.pid),
        "partitions": _partitions(call),
        "proc_total": _TASKS_LIMIT,
        "processors": os.cpu_count() or 1,
        "rates_mode": node.management.rates_mode,
        "run_queue": 0,
        "running": True,
        "being_drained": node.in_maintenance,
        "sockets_total": files.sockets_limit,
        "type": _kind(call, node.name),
        "uptime": node.clock.monotonic_ms() - node.started_at_ms,
    }
    for name in _MACHINE:
        found[name] = now[name]
        found[f"{name}_details"] = call.samples.of_total(name, window)
    totals = call.samples.totals()
    for name in (*CHURN.values(), "queue_declared"):
        found[name] = totals.get(name, 0)
        found[f"{name}_details"] = call.samples.of_total(name, window)
    return found


def _applications(call: Call) -> list[Json]:
    version = call.node.version
    plugins = [
        {"name": plugin.name, "description": plugin.description, "version": plugin.version}
        for plugin in call.node.running_plugins
    ]
    return [{"name": "rabbit", "description": "RabbitMQ", "version": version}, *plugins]


def _partitions(call: Call) -> list[str]:
    return list(call.node.membership.partitions) if call.node.cluster is not None else []


def _kind(call: Call, name: str) -> str:
    cluster = call.node.cluster
    member = cluster.members.get(name) if cluster is not None else None
    return "ram" if member is not None and member.kind == RAM else "disc"


async def _other(call: Call, name: str) -> Row:
    """What another member tells of itself; little when it does not run."""
    found: Row = {
        "name": name,
        "type": _kind(call, name),
        "running": False,
        "partitions": [],
    }
    if name not in others(call.ctx):
        return found
    told = await ask(call.ctx, name, "Diagnostics.Status", pb.StatusRequest())
    if told is None:
        return found
    alarms = {alarm.resource for alarm in told.alarms}
    numbers = {
        "fd_used": told.file_descriptors_used,
        "sockets_used": told.sockets_used,
        "mem_used": told.memory_total_bytes,
        "disk_free": told.disk_free_bytes,
        "proc_used": told.tasks_used,
    }
    found |= {
        "running": True,
        "being_drained": told.under_maintenance,
        "config_files": list(told.config_files),
        "db_dir": told.data_directory,
        "disk_free_alarm": "disk" in alarms,
        "disk_free_limit": told.disk_free_limit_bytes,
        "enabled_plugins": [plugin.name for plugin in told.active_plugins],
        "fd_total": told.file_descriptors_limit,
        "log_files": list(told.log_files),
        "mem_alarm": "memory" in alarms,
        "mem_calculation_strategy": told.memory_strategy,
        "mem_limit": told.memory_watermark_bytes,
        "net_ticktime": told.net_ticktime_s,
        "os_pid": str(told.pid),
        "proc_total": told.tasks_limit,
        "sockets_total": told.sockets_limit,
        "uptime": told.uptime_s * 1000,
        **numbers,
    }
    return found | {f"{name}_details": {"rate": 0.0} for name in numbers}


def _names(call: Call) -> list[str]:
    cluster = call.node.cluster
    return sorted(cluster.members) if cluster is not None else [call.node.name]


async def _row(call: Call, name: str) -> Row:
    return _own(call) if name == call.node.name else await _other(call, name)


async def listing(call: Call) -> Answer:
    """All members."""
    rows = [await _row(call, name) for name in _names(call)]
    return await lists.of(call, rows, lambda row: row)


def _name(call: Call) -> str:
    name = call.names["node"]
    if name not in _names(call):
        raise not_found()
    return name


async def show(call: Call) -> Answer:
    """One; with `memory=true`, where its memory is."""
    name = _name(call)
    row = await _row(call, name)
    if call.flag("memory") and name == call.node.name:
        row["memory"] = _memory(call)
    return lists.one(call, row)


def _memory(call: Call) -> Json:
    parts: Row = {part.name: part.bytes for part in reports.memory_parts(call.ctx)}
    total = call.node.memory().total_bytes
    return {**parts, "strategy": "rss", "total": {"rss": total, "allocated": total, "erlang": 0}}


async def memory(call: Call) -> Answer:
    """Where the memory of this node is."""
    if _name(call) != call.node.name:
        raise not_found()
    return reply({"memory": _memory(call)})


async def memory_relative(call: Call) -> Answer:
    """The same in percent."""
    if _name(call) != call.node.name:
        raise not_found()
    parts = {part.name: part.bytes for part in reports.memory_parts(call.ctx)}
    total = max(1, sum(parts.values()))
    found: Row = {name: round(size * 100 / total) for name, size in parts.items()}
    return reply({"memory": {**found, "total": 100}})
