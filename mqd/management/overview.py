"""GET /overview: the cluster on one page.

Decides its keys (observed: 3.10.8) and which of them who may see. Numbers of messages are those of
this node's queues, objects are counted over all members.
"""

from __future__ import annotations

from typing import Any, Final

from mqd.admin import reports
from mqd.admin.everywhere import others
from mqd.management.about import name_of_cluster
from mqd.management.access import is_monitor, login_vhosts
from mqd.management.calls import Answer, Call, reply
from mqd.management.query import columns_of, cut
from mqd.management.samples import CHURN, window_of

Json = Any

_RETENTION: Final = {
    "global": [600, 3600, 28800, 86400],
    "basic": [600, 3600],
    "detailed": [600],
}
DESCRIPTIONS: Final = {
    "direct": "AMQP direct exchange, as per the AMQP specification",
    "fanout": "AMQP fanout exchange, as per the AMQP specification",
    "headers": "AMQP headers exchange, as per the AMQP specification",
    "topic": "AMQP topic exchange, as per the AMQP specification",
    "x-consistent-hash": "Consistent Hashing Exchange",
    "x-delayed-message": "Delayed Message Exchange.",
    "x-modulus-hash": "Modulus Hashing Exchange",
    "x-random": "AMQP random exchange. Like a direct exchange, but randomly chooses who to route "
    "to.",
    "x-recent-history": "Recent History Exchange.",
}
# counts of messages that a node alone has: RabbitMQ's names
MESSAGES: Final = (
    "ack",
    "confirm",
    "deliver",
    "deliver_get",
    "deliver_no_ack",
    "get",
    "get_no_ack",
    "publish",
    "redeliver",
)
QUEUE_TOTALS: Final = ("messages", "messages_ready", "messages_unacknowledged")


def exchange_types(call: Call) -> list[Json]:
    """Those that can be declared."""
    return [
        {"name": name, "description": DESCRIPTIONS.get(name, name), "enabled": True}
        for name in sorted(call.broker.exchange_types)
    ]


def contexts(call: Call) -> list[Json]:
    """What is served over HTTP."""
    host = call.node.management.host
    return [
        {
            **({"ip": host} if host else {}),
            "ssl_opts": [],
            "node": call.node.name,
            "description": "RabbitMQ Management",
            "path": call.node.management.path_prefix or "/",
            "cowboy_opts": "[]",
            "port": str(call.node.management.port),
        }
    ]


def listeners(call: Call) -> list[Json]:
    """Of this node."""
    options = {"backlog": 128, "nodelay": True, "linger": [True, 0], "exit_on_close": False}
    return [
        {
            "node": call.node.name,
            "protocol": one.protocol,
            "ip_address": one.interface.strip("[]"),
            "port": one.port,
            "socket_opts": options if one.protocol == "amqp" else [],
        }
        for one in call.node.listeners()
    ]


async def show(call: Call) -> Answer:
    """What is true of all, and with monitoring the numbers of all."""
    settings = call.node.management
    found: dict[str, Json] = {
        "management_version": call.node.version,
        "rates_mode": settings.rates_mode,
        "sample_retention_policies": _RETENTION,
        "exchange_types": exchange_types(call),
        "product_version": call.node.version,
        "product_name": reports.PRODUCT,
        "rabbitmq_version": call.node.version,
        "cluster_name": name_of_cluster(call),
        "erlang_version": reports.ERLANG_VERSION,
        "erlang_full_version": reports.OTP_RELEASE,
        "release_series_support_status": "supported",
        "disable_stats": not settings.stats,
        "enable_queue_totals": settings.queue_totals,
    }
    found |= _numbers(call) if settings.stats or settings.queue_totals else {}
    if is_monitor(call.user):
        found["node"] = call.node.name
        found["listeners"] = listeners(call)
        found["contexts"] = contexts(call)
    return reply(cut(found, columns_of(call.query)))


def _numbers(call: Call) -> dict[str, Json]:
    monitor = is_monitor(call.user)
    names = sorted(call.broker.vhosts) if monitor else login_vhosts(call)
    counts = {"object_totals": object_totals(call, names)}
    if not monitor:
        return {**counts, "queue_totals": queue_totals(call, names), "message_stats": {}}
    if not call.node.management.stats:
        return {**counts, "queue_totals": queue_totals(call, names)}
    return {
        "message_stats": message_stats(call),
        "churn_rates": churn(call),
        "queue_totals": queue_totals(call, names, rates=True),
        **counts,
        "statistics_db_event_queue": 0,
    }


def object_totals(call: Call, names: list[str]) -> dict[str, int]:
    """Of these vhosts, on all members."""
    broker = call.broker
    vhosts = [broker.vhosts[name] for name in names]
    entries = [entry for entry in broker.connections.values() if entry.vhost.name in names]
    elsewhere = broker.elsewhere
    away = bool(others(call.ctx))
    channels = sum(len(entry.channels) for entry in entries)
    if away:
        channels += sum(map(elsewhere.channels_of_user, call.state.users))
    return {
        "channels": channels,
        "connections": len(entries) + sum(map(elsewhere.in_vhost, names)),
        "consumers": sum(len(queue.consumers) for v in vhosts for queue in v.queues.values()),
        "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
        "queues": sum(len(vhost.queues) for vhost in vhosts),
    }


def queue_totals(call: Call, names: list[str], *, rates: bool = False) -> dict[str, Json]:
    """Messages in queues, now; with their rates as they were sampled."""
    ready = unacked = 0
    for name in names:
        for queue in call.broker.vhosts[name].queues.values():
            if not queue.is_remote:
                ready += queue.ready_count
                unacked += queue.unacked_count
    now = (ready + unacked, ready, unacked)
    window = window_of(call.query, "lengths")
    found: dict[str, Json] = {}
    for name, value in zip(QUEUE_TOTALS, now, strict=True):
        found[name] = value
        if rates:
            found[f"{name}_details"] = call.samples.of_total(name, window)
    return found


def message_stats(call: Call) -> dict[str, Json]:
    """What has happened since the plugin runs; empty until something has."""
    totals = call.samples.totals()
    window = window_of(call.query, "msg_rates")
    if not any(totals.get(name) for name in MESSAGES):
        return {}
    found: dict[str, Json] = {}
    for name in MESSAGES:
        found[name] = totals.get(name, 0)
        found[f"{name}_details"] = call.samples.of_total(name, window)
    return found


def churn(call: Call) -> dict[str, Json]:
    """Births and deaths since the plugin runs."""
    totals = call.samples.totals()
    found: dict[str, Json] = {}
    for name in (*CHURN.values(), "queue_declared"):
        found[name] = totals.get(name, 0)
        found[f"{name}_details"] = call.samples.of_total(name)
    return found
