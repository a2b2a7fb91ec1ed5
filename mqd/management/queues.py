"""Queues: reading, declaring, deleting, purging.

Decides the JSON of one: RabbitMQ's keys, read off the same tables as the tools' listings. What only
Erlang has (garbage_collection, reductions, backing_queue_status) is left out. What is declared,
deleted and purged is, by the rules and in the words of AMQP, as the user who asks.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from mqd.admin import mirroring
from mqd.admin.copies import copies_of
from mqd.admin.everywhere import others, rows_of
from mqd.admin.homes import DOWN, homeless, is_between_homes, is_here, state_of
from mqd.broker import elsewhere, topology
from mqd.broker.queues.base import Queue
from mqd.broker.snapshots import QUEUE, QueueInfo, Walk
from mqd.errors import MqdError
from mqd.management import channel as channels
from mqd.management import consumers, fields, lists, wire
from mqd.management.access import listed_vhosts
from mqd.management.calls import Answer, Call, bad_request, created, done, not_found
from mqd.management.fields import malformed
from mqd.management.query import wanted_by
from mqd.management.samples import window_of
from mqd.rpc.v1 import mirroring_pb2
from mqd.rpc.v1 import queues_pb2 as pb

Json = Any
Row = dict[str, Json]

_PLAIN: Final = ("name", "durable", "auto_delete", "exclusive", "policy", "state", "type")
_LENGTHS: Final = ("messages", "messages_ready", "messages_unacknowledged")
_SIZES: Final = (
    "messages_ready_ram",
    "messages_unacknowledged_ram",
    "messages_ram",
    "messages_persistent",
    "message_bytes",
    "message_bytes_ready",
    "message_bytes_unacknowledged",
    "message_bytes_ram",
    "message_bytes_persistent",
)
_OF_CONSUMERS: Final = ("consumer_utilisation", "consumer_capacity", "exclusive_consumer_tag")
_NUMBERS: Final = (
    *_LENGTHS,
    *_SIZES,
    "head_message_timestamp",
    "consumers",
    "memory",
    *_OF_CONSUMERS,
)
_NOT_OF_QUORUM: Final = frozenset(
    (
        "messages_ready_ram",
        "messages_unacknowledged_ram",
        "head_message_timestamp",
        "exclusive_consumer_tag",
    )
)
_OF_STREAMS: Final = (*_LENGTHS, "consumers", "memory")
# of a queue without messages: no need to look at each
_NONE: Final[Row] = dict.fromkeys((*_LENGTHS, *_SIZES), 0) | {"head_message_timestamp": None}
_OF_COPIES: Final = ("leader", "members", "online")


class Rows:
    """Rows of one answer. wanted: top-level names; None: all."""

    def __init__(self, call: Call, wanted: set[str] | None = None) -> None:
        self._call = call
        self._wanted = wanted
        settings = call.node.management
        self._stats = settings.stats
        self._shows_numbers = settings.stats or settings.queue_totals
        broker = call.broker
        self._walk = Walk((*broker.connections.values(), *broker.served))
        self._msg_rates = window_of(call.query, "msg_rates")
        self._lengths = window_of(call.query, "lengths")
        self._plain = self._chosen(_PLAIN)
        self._numbers = self._chosen(_NUMBERS if settings.stats else _LENGTHS)
        self._of_streams = self._chosen(_OF_STREAMS if settings.stats else _LENGTHS)
        self._of_empty = [one for one in self._numbers if one[0] not in _NONE]
        self._none = {name: value for name, value in _NONE.items() if name in dict(self._numbers)}

    def _chosen(self, names: Iterable[str]) -> list[tuple[str, QueueInfo]]:
        return [(name, QUEUE[name]) for name in names if self._wants(name)]

    def _wants(self, name: str) -> bool:
        return self._wanted is None or name in self._wanted

    def of(self, queue: Queue | Row) -> Row:
        """One as it is listed. A row of another member is there already."""
        if isinstance(queue, dict):
            return queue
        walk = self._walk
        definition = queue.definition
        found: Row = {name: read(queue, walk) for name, read in self._plain}
        found["vhost"] = queue.vhost.name
        found["node"] = queue.home or definition.node
        if self._wants("arguments"):
            found["arguments"] = fields.shown(definition.arguments) if definition.arguments else {}
        if queue.owner is not None and self._wants("owner_pid_details"):
            found["owner_pid_details"] = consumers.peer_of(queue.owner)
        applied = queue.policy
        if self._wants("operator_policy"):
            found["operator_policy"] = applied.operator_name if applied else None
        if self._wants("effective_policy_definition"):
            found["effective_policy_definition"] = dict(applied.definition) if applied else {}
        if self._call.node.cluster is not None and "state" in found:
            found["state"] = state_of(self._call.ctx, queue)
        if self._shows_numbers:
            self._put_numbers(queue, found)
        return found

    def _put_numbers(self, queue: Queue, found: Row) -> None:
        walk = self._walk
        reads = self._of_streams
        if queue.kind != "stream":
            reads = self._numbers
            if not queue.ready_count and not queue.unacked_count:
                found |= self._none
                reads = self._of_empty
        for name, read in reads:
            found[name] = read(queue, walk)
        if not self._stats:
            return
        for name in _LENGTHS:
            if self._wants(name) or self._wants(f"{name}_details"):
                found[f"{name}_details"] = self._length_detail(queue, name)
        if self._wants("message_stats"):
            found["message_stats"] = self._message_stats(queue)
        if queue.kind == "stream":
            self._copies(queue, found)
            return
        active = queue.active_consumer
        name = "single_active_consumer_tag"
        if queue.kind == "quorum":
            for one in _NOT_OF_QUORUM:
                found.pop(one, None)
            self._copies(queue, found)
            name = "single_active_consumer_ctag"
        if self._wants(name):
            found[name] = active.tag if active is not None else None

    def _length_detail(self, queue: Queue, name: str) -> Json:
        samples = self._call.samples
        if name != "messages":
            return samples.of_object(queue.pid, name, self._lengths)
        parts = [samples.of_object(queue.pid, one, None)["rate"] for one in _LENGTHS[1:]]
        return {"rate": round(sum(parts), 4)}

    def _message_stats(self, queue: Queue) -> Row:
        """What it has done; nothing until it has done something."""
        counts = queue.told()
        stats: Row = {}
        if any(counts.values()):
            for name, value in counts.items():
                stats[name] = value
                detail = self._call.samples.of_object(queue.pid, name, self._msg_rates)
                stats[f"{name}_details"] = detail
        return stats

    def _copies(self, queue: Queue, found: Row) -> None:
        if not any(map(self._wants, _OF_COPIES)):
            return
        copies = copies_of(self._call.ctx, queue)
        if queue.kind == "quorum":
            found["leader"] = copies.leader
        found["members"] = list(copies.members)
        found["online"] = list(copies.online)

    def down(self, queue: Queue) -> Row:
        """One that no running member serves, known by its definition alone."""
        found: Row = {name: read(queue) for name, read in DOWN.items() if name != "pid"}
        found["arguments"] = fields.shown(queue.definition.arguments)
        found |= {"vhost": queue.vhost.name, "type": queue.definition.type, "exclusive": False}
        return {**found, "node": queue.home or queue.definition.node}


async def _all(call: Call, rows: Rows) -> list[Queue | Row]:
    """Queues of this node, rows of those of others."""
    names = [call.vhost.name] if "vhost" in call.names else listed_vhosts(call)
    found: list[Queue | Row] = []
    for name in names:
        queues = list(call.broker.vhosts[name].queues.values())
        if call.node.cluster is None:
            found += queues
            continue
        found += [q for q in queues if is_here(call.ctx, q) or is_between_homes(call.ctx, q)]
        found += [rows.down(queue) for queue in homeless(call.ctx, queues)]
        async for row in _of_others(call, name):
            found.append(row)
    return found


async def _of_others(call: Call, vhost: str) -> AsyncIterator[Row]:
    """As the other members list theirs for the tools."""
    for node in others(call.ctx):
        request = pb.ListQueues(vhost=vhost, columns=_ASKED, local=True)
        async for batch in rows_of(call.ctx, node, "Queues.List", request):
            for message in batch.rows:
                row = wire.to_json(message)
                row |= {"vhost": vhost, "node": node}
                for name in _LENGTHS:
                    row[f"{name}_details"] = {"rate": 0.0}
                yield row


_ASKED: Final = (*_PLAIN, "arguments", *_NUMBERS, *_OF_COPIES)


def _key(item: Queue | Row) -> tuple[str, str]:
    if isinstance(item, dict):
        return item["vhost"], item["name"]
    return item.vhost.name, item.name


async def listing(call: Call) -> Answer:
    """Of all vhosts, or of one."""
    rows = Rows(call, wanted_by(call.query))
    found = await _all(call, rows)
    return await lists.of(
        call,
        found,
        rows.of,
        name=lambda item: _key(item)[1],
        key=_key,
        sorting=lambda column: Rows(call, {column}).of,
    )


def found(call: Call) -> Queue:
    """The queue in the path. Raises Refused."""
    queue = call.vhost.queues.get(call.names["queue"])
    if queue is None:
        raise not_found()
    return queue


async def show(call: Call) -> Answer:
    """One, with its consumers."""
    queue = found(call)
    rows = Rows(call, wanted_by(call.query))
    if is_here(call.ctx, queue) or is_between_homes(call.ctx, queue):
        row = rows.of(queue)
    else:
        row = rows.down(queue)
        async for other in _of_others(call, queue.vhost.name):
            if other["name"] == queue.name:
                row = other
    row |= {"deliveries": [], "incoming": []}
    row["consumer_details"] = await consumers.of_queue(call, queue)
    return lists.one(call, row)


async def put(call: Call) -> Answer:
    """Declare."""
    body = call.json()
    name = fields.checked_name("queue", call.names["queue"])
    if call.names["vhost"] not in call.broker.vhosts:
        raise not_found("vhost_not_found")
    node = fields.text(body, "node")
    if node and node not in (call.node.name, *others(call.ctx)):
        raise bad_request(f"Node {node} could not be contacted")
    durable = fields.flag(body, "durable", False)
    auto_delete = fields.flag(body, "auto_delete", False)
    arguments = fields.arguments(body)
    is_new = topology.clean_name(name) not in call.vhost.queues
    with channels.opened(call) as channel, channels.plainly():
        await channels.answered(
            channel,
            lambda done: topology.declare_queue(
                channel,
                name,
                durable=durable,
                exclusive=False,
                auto_delete=auto_delete,
                arguments=arguments,
                done=done,
            ),
        )
    return created(is_new)


async def delete(call: Call) -> Answer:
    name = found(call).name
    if_unused, if_empty = call.flag("if-unused"), call.flag("if-empty")
    with channels.opened(call) as channel, channels.plainly():
        await channels.answered(
            channel,
            lambda done: elsewhere.delete(
                channel, name, if_unused=if_unused, if_empty=if_empty, done=done
            ),
        )
    return done()


async def purge(call: Call) -> Answer:
    """What is ready goes."""
    name = found(call).name
    with channels.opened(call) as channel, channels.plainly():
        await channels.answered(channel, lambda done: elsewhere.purge(channel, name, done))
    return done()


async def act(call: Call) -> Answer:
    """Of mirrors: they are always in sync here."""
    action = call.required("action")["action"]
    queue = found(call)
    request = mirroring_pb2.SyncQueue(vhost=queue.vhost.name, queue=queue.name)
    if action not in ("sync", "cancel_sync"):
        raise malformed("unknown", action)
    with contextlib.suppress(MqdError):  # 3.10.8 says nothing of a queue without mirrors
        await (mirroring.sync if action == "sync" else mirroring.cancel_sync)(call.ctx, request)
    return done()
