"""What can be read off each live entity: one table of info keys per kind of entity.

Decides what an info key means and where its value comes from; listings, JSON and metrics all read
here. A table maps the key (RabbitMQ's word) to a function of the entity, so that a listing of
many entities computes only what was asked for. Values are immutable and in the broker's own
terms: str, int, float, bool, a field table, a tuple of names; None is "undefined", what RabbitMQ
shows as blank. Never changes an entity, never formats.

Everything here runs to completion on the broker's loop: a row is consistent in itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from mqd.amqp import properties
from mqd.amqp.fields import FieldError, Table
from mqd.broker.backlog import Sum, sum_of
from mqd.broker.channel import Channel
from mqd.broker.consumers import Consumer
from mqd.broker.definitions import BindingDefinition
from mqd.broker.entries import ConnectionEntry
from mqd.broker.exchanges.base import Exchange
from mqd.broker.message import Message
from mqd.broker.queues.base import Queue

Info = str | int | float | bool | Table | tuple[str | int, ...] | None

_QUEUE_BYTES: Final = 2_500  # an empty queue with its definition, ring and backlog
_CONSUMER_BYTES: Final = 700


class Walk:
    """What only a walk over messages can tell, kept for the length of one listing.

    Unacknowledged messages are found through the channels that hold them, once for all queues;
    ready ones queue by queue, and only when a column needs them.
    """

    def __init__(self, connections: Iterable[ConnectionEntry]) -> None:
        self._connections = connections
        self._unacked: dict[Queue, Sum] | None = None
        self._ready: tuple[Queue | None, Sum] = (None, Sum())

    def unacked(self, queue: Queue) -> Sum:
        """The queue's messages that consumers and getters hold."""
        if self._unacked is None:
            held: dict[Queue, list[Message]] = {}
            for entry in self._connections:
                for channel in entry.channels.values():
                    for holder, message, *_ in channel.unacked.values():
                        held.setdefault(holder, []).append(message)
            self._unacked = {holder: sum_of(messages) for holder, messages in held.items()}
        return self._unacked.get(queue, Sum())

    def ready(self, queue: Queue) -> Sum:
        """The queue's ready messages."""
        if self._ready[0] is not queue:
            self._ready = (queue, queue.ready_sum())
        return self._ready[1]


def _policy_name(policy: object | None) -> str | None:
    name = getattr(policy, "name", None)
    return str(name) if name is not None else None


def _head_timestamp(queue: Queue) -> int | None:
    """Of the next message, in seconds, when its publisher set one."""
    message = next(iter(queue.resident()), None)
    if message is None:
        return None
    try:
        return properties.decode(message.header).timestamp
    except FieldError:
        return None


def _capacity(queue: Queue) -> float:
    """Whether a message that arrived now could leave at once: 0.0 or 1.0.

    LIMIT: RabbitMQ shows the share of recent time in which it could.
    """
    return float(any(not c.outlet.congested and not c.is_full() for c in queue.consumers))


def _members(queue: Queue) -> tuple[str, ...] | None:
    """The nodes that have a copy; None of a queue that is not replicated."""
    return (queue.vhost.broker.node,) if queue.kind in ("quorum", "stream") else None


QueueInfo = Callable[[Queue, Walk], Info]

QUEUE: Final[Mapping[str, QueueInfo]] = {
    "name": lambda q, w: q.definition.name,
    "durable": lambda q, w: q.durable,
    "auto_delete": lambda q, w: q.definition.auto_delete,
    "arguments": lambda q, w: q.definition.arguments,
    "policy": lambda q, w: _policy_name(q.policy),
    "pid": lambda q, w: q.pid,
    "owner_pid": lambda q, w: q.owner.pid if q.owner is not None else None,
    "exclusive": lambda q, w: q.definition.exclusive,
    "exclusive_consumer_pid": lambda q, w: (
        q.exclusive_consumer.channel.pid if q.exclusive_consumer is not None else None
    ),
    "exclusive_consumer_tag": lambda q, w: (
        q.exclusive_consumer.tag if q.exclusive_consumer is not None else None
    ),
    "messages_ready": lambda q, w: q.ready_count,
    "messages_unacknowledged": lambda q, w: q.unacked_count,
    "messages": lambda q, w: q.ready_count + q.unacked_count,
    "messages_ready_ram": lambda q, w: q.resident_count,
    "messages_unacknowledged_ram": lambda q, w: q.unacked_count,
    "messages_ram": lambda q, w: q.resident_count + q.unacked_count,
    "messages_persistent": lambda q, w: w.ready(q).persistent_count + w.unacked(q).persistent_count,
    "message_bytes": lambda q, w: q.ready_bytes + w.unacked(q).bytes,
    "message_bytes_ready": lambda q, w: q.ready_bytes,
    "message_bytes_unacknowledged": lambda q, w: w.unacked(q).bytes,
    "message_bytes_ram": lambda q, w: (
        sum(message.body_bytes for message in q.resident()) + w.unacked(q).bytes
    ),
    "message_bytes_persistent": lambda q, w: (
        w.ready(q).persistent_bytes + w.unacked(q).persistent_bytes
    ),
    "head_message_timestamp": lambda q, w: _head_timestamp(q),
    "disk_reads": lambda q, w: 0,
    "disk_writes": lambda q, w: 0,
    "consumers": lambda q, w: len(q.consumers),
    "consumer_utilisation": lambda q, w: _capacity(q),
    "consumer_capacity": lambda q, w: _capacity(q),
    "memory": lambda q, w: _QUEUE_BYTES + q.resident_bytes + _CONSUMER_BYTES * len(q.consumers),
    "slave_pids": lambda q, w: None,  # no mirrored queues
    "synchronised_slave_pids": lambda q, w: None,
    "state": lambda q, w: "running",
    "type": lambda q, w: q.definition.type,
    "leader": lambda q, w: next(iter(_members(q) or ()), None),
    "members": lambda q, w: _members(q),
    "online": lambda q, w: _members(q),
}

EXCHANGE: Final[Mapping[str, Callable[[Exchange], Info]]] = {
    "name": lambda x: x.definition.name,
    "type": lambda x: x.definition.type,
    "durable": lambda x: x.definition.durable,
    "auto_delete": lambda x: x.definition.auto_delete,
    "internal": lambda x: x.definition.internal,
    "arguments": lambda x: x.definition.arguments,
    "policy": lambda x: _policy_name(x.policy),
}

BINDING: Final[Mapping[str, Callable[[BindingDefinition], Info]]] = {
    "source_name": lambda b: b.source,
    "source_kind": lambda b: "exchange",
    "destination_name": lambda b: b.destination,
    "destination_kind": lambda b: b.destination_kind,
    "routing_key": lambda b: b.binding_key,
    "arguments": lambda b: dict(sorted(b.arguments.items())),  # rabbit_misc:sort_field_table
}


def _connection_state(entry: ConnectionEntry) -> str:
    if entry.told_to_close:
        return "closed"  # as 3.10.8 calls it until close-ok
    if entry.state != "running":
        return entry.state
    if entry.held:
        return "blocked"
    return "flow" if entry.slowed else "running"


CONNECTION: Final[Mapping[str, Callable[[ConnectionEntry], Info]]] = {
    "pid": lambda e: e.pid,
    "name": lambda e: e.name,
    "port": lambda e: e.port,
    "host": lambda e: e.host,
    "peer_port": lambda e: e.peer_port,
    "peer_host": lambda e: e.peer_host,
    "ssl": lambda e: False,
    "ssl_protocol": lambda e: None,
    "ssl_key_exchange": lambda e: None,
    "ssl_cipher": lambda e: None,
    "ssl_hash": lambda e: None,
    "peer_cert_subject": lambda e: None,
    "peer_cert_issuer": lambda e: None,
    "peer_cert_validity": lambda e: None,
    "state": _connection_state,
    "channels": lambda e: len(e.channels),
    "protocol": lambda e: e.protocol,
    "auth_mechanism": lambda e: e.auth_mechanism,
    "user": lambda e: e.user.name,
    "vhost": lambda e: e.vhost.name,
    "timeout": lambda e: e.timeout,
    "frame_max": lambda e: e.frame_max,
    "channel_max": lambda e: e.channel_max,
    "client_properties": lambda e: e.client_properties,
    "recv_oct": lambda e: e.peer.counts()[0],
    "recv_cnt": lambda e: e.peer.counts()[1],
    "send_oct": lambda e: e.peer.counts()[2],
    "send_cnt": lambda e: e.peer.counts()[3],
    "send_pend": lambda e: e.peer.counts()[4],
    "connected_at": lambda e: e.connected_at,
}

CHANNEL: Final[Mapping[str, Callable[[Channel], Info]]] = {
    "pid": lambda c: c.pid,
    "connection": lambda c: c.connection.pid,
    "name": lambda c: f"{c.connection.name} ({c.number})",
    "number": lambda c: c.number,
    "user": lambda c: c.user.name,
    "vhost": lambda c: c.vhost.name,
    "transactional": lambda c: c.transactional,
    "confirm": lambda c: c.confirming,
    "consumer_count": lambda c: len(c.consumers),
    "messages_unacknowledged": lambda c: len(c.unacked),
    "messages_uncommitted": lambda c: len(c.tx.publishes) if c.tx is not None else 0,
    "acks_uncommitted": lambda c: len(c.tx.settled) if c.tx is not None else 0,
    "messages_unconfirmed": lambda c: c.confirms.unconfirmed_count if c.confirms is not None else 0,
    "prefetch_count": lambda c: c.prefetch_count,
    "global_prefetch_count": lambda c: c.global_prefetch_count,
}


def _activity(consumer: Consumer) -> str:
    if not consumer.queue.single_active:
        return "up"
    return "waiting" if consumer.waiting else "single_active"


CONSUMER: Final[Mapping[str, Callable[[Consumer], Info]]] = {
    "queue_name": lambda c: c.queue.definition.name,
    "channel_pid": lambda c: c.channel.pid,
    "consumer_tag": lambda c: c.tag,
    "ack_required": lambda c: not c.no_ack,
    "prefetch_count": lambda c: c.channel.prefetch_count if c.no_ack else c.prefetch,
    "active": lambda c: c.active and not c.waiting,
    "activity_status": lambda c: _activity(c),
    "arguments": lambda c: c.arguments,
}


# -- what is counted ------------------------------------------------------------------------------


def queue_counts(queue: Queue) -> dict[str, int]:
    """What is in it, and what it has done (RabbitMQ's names of message_stats)."""
    return {
        "messages_ready": queue.ready_count,
        "messages_unacknowledged": queue.unacked_count,
        **queue.told(),
    }


def connection_counts(entry: ConnectionEntry) -> dict[str, int]:
    """Bytes in and out."""
    received, _, sent, _, _ = entry.peer.counts()
    return {"recv_oct": received, "send_oct": sent}


def channel_counts(channel: Channel) -> dict[str, int]:
    """What it was sent; in confirm mode what it published as well."""
    found = {"deliver_get": channel.last_tag}
    confirms = channel.confirms
    if confirms is not None:
        found["publish"] = confirms.seqno
        found["confirm"] = confirms.seqno - confirms.unconfirmed_count
    return found
