"""What objects look like while clients work: their keys, and the kinds of their values.

Decides which traffic there is, which objects are looked at and what of them counts.
`python -m tests.management.shapes PORT AMQP_PORT NODE` asks a RabbitMQ that runs, and keeps it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
from pika.adapters.blocking_connection import BlockingConnection

from tests.unit.management.api import Api

Json = Any

RECORDED = Path(__file__).with_name("shapes-3.10.8.json")
SETTLE_S = 60.0  # RabbitMQ samples every 5 s

# only Erlang has them: mqd-differences(7)
LEFT_OUT = frozenset(
    (
        "backing_queue_status",
        "garbage_collection",
        "reductions",
        "reductions_details",
        "ra_open_file_metrics",
        "metrics_gc_queue_length",
        "user_who_performed_action",
        "idle_since",
        "slave_nodes",
        "synchronised_slave_nodes",
        "recoverable_slaves",
        "message_bytes_paged_out",
        "messages_paged_out",
        "message_bytes_dlx",
        "messages_dlx",
        "open_files",
        "readers",
        "segments",
    )
)
# counts that mqd does not keep
NOT_COUNTED = frozenset(
    (
        "confirm",
        "disk_reads",
        "disk_writes",
        "drop_unroutable",
        "get_empty",
        "return_unroutable",
        "publish_in",
        "publish_out",
    )
)


@contextlib.contextmanager
def traffic(port: int) -> Iterator[str]:
    """Clients at work; the name by which the listings call their connection."""
    parameters = pika.ConnectionParameters(
        "127.0.0.1", port, client_properties={"connection_name": "shapes"}
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare("hx", durable=True)
        for name, arguments in (
            ("hq", {"x-message-ttl": 3_600_000}),
            ("hqq", {"x-queue-type": "quorum"}),
            ("hqs", {"x-queue-type": "stream"}),
        ):
            channel.queue_declare(name, durable=True, arguments=arguments)
            channel.queue_bind(name, "hx", name)
            for _ in range(20):
                channel.basic_publish("hx", name, b"x", pika.BasicProperties(delivery_mode=2))
        channel.basic_get("hq", auto_ack=True)
        channel.basic_get("hq")
        channel.basic_qos(prefetch_count=3)
        for name in ("hq", "hqq"):
            channel.basic_consume(name, lambda *_: None)
        _turn(connection)
        yield _name_of(connection)


def _turn(connection: BlockingConnection) -> None:
    connection.process_data_events(0.1)


def _name_of(connection: BlockingConnection) -> str:
    sock = connection._impl._transport._sock  # type: ignore[attr-defined]
    ours, theirs = sock.getsockname(), sock.getpeername()
    return f"{ours[0]}:{ours[1]} -> {theirs[0]}:{theirs[1]}"


def paths(node: str, connection: str) -> dict[str, str]:
    """What is looked at, by what it is called here."""
    name = quote(connection, safe="")
    return {
        "overview": "/overview",
        "node": f"/nodes/{node}",
        "nodes": "/nodes",
        "connection": f"/connections/{name}",
        "connections": "/connections",
        "channel": f"/channels/{quote(connection + ' (1)', safe='')}",
        "channels": "/channels",
        "consumers": "/consumers",
        "exchange": "/exchanges/%2F/hx",
        "queue": "/queues/%2F/hq",
        "quorum queue": "/queues/%2F/hqq",
        "stream": "/queues/%2F/hqs",
        "queues": "/queues/%2F",
        "vhost": "/vhosts/%2F",
    }


def shape(value: Json) -> Json:
    """Keys, and kinds of values; of a list its first."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool) or value is None:
        return "nothing" if value is None else "bool"
    return "number" if isinstance(value, int | float) else "text"


def seen(api: Api, node: str, connection: str) -> dict[str, Json]:
    """All of them now."""
    return {name: shape(api.get(path)) for name, path in paths(node, connection).items()}


def settled(api: Api, node: str, connection: str) -> dict[str, Json]:
    """Once the node has counted all of it."""
    end = time.monotonic() + SETTLE_S
    while True:
        found = seen(api, node, connection)
        counted = [found[name].get("message_stats") for name in ("queue", "overview", "channel")]
        if (all(counted) and found["connection"].get("channels")) or time.monotonic() > end:
            return found


def main() -> None:
    port, amqp_port, node = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with traffic(amqp_port) as connection:
        found = settled(Api(port), node, connection)
    RECORDED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
