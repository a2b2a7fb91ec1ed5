"""Time to live, of messages and of queues.

Decides when a message or a queue is over (RabbitMQ: rabbit_amqqueue_process; TTL documentation).
A message lives as long as the lesser of its queue's x-message-ttl and its own expiration says,
counted from its arrival; it goes when it is at the head, and is never delivered afterwards. A queue
with x-expires goes when it had no consumer, no get and no declare for that long. Never reads a
clock: whoever calls says what time it is.

Over a restart a message keeps its end, which the store knows by the wall clock, and the time during
which the node is down counts. Should that clock have been set back meanwhile, the message lives at
longest as if it had come with the restart; set forward, it ends earlier (RabbitMQ keeps wall-clock
times as well). What ended while the node was down ends when it starts, as anything else does:
dead-lettered where its queue does that.
"""

from __future__ import annotations

from mqd.amqp import properties
from mqd.amqp.fields import Table
from mqd.broker.message import Message


def argument(arguments: Table, name: str) -> int | None:
    """A queue argument that is a number, None where it is not given."""
    field = arguments.get(name)
    return field[1] if field is not None and isinstance(field[1], int) else None


def has_expiration(content: bytes) -> bool:
    """Whether `Message.content` has the expiration property: one bit of its first flag word."""
    return bool(content[19] & 1)


def stamp(message: Message, queue_ttl_ms: int | None, now_ms: int) -> None:
    """Say until when the message lives."""
    ttl_ms = queue_ttl_ms
    if has_expiration(message.content):
        own_ms = int(properties.expiration(message.header) or 0)
        ttl_ms = own_ms if ttl_ms is None else min(ttl_ms, own_ms)
    if ttl_ms is not None:
        message.expires_ms = max(now_ms + ttl_ms, 1)


def restamp(message: Message, queue_ttl_ms: int | None, now_ms: int) -> None:
    """The same for a message of an earlier run; `expires_ms` is what the store kept of that, 0 for
    a message that had no end or came from an mqd that did not keep it."""
    kept_ms = message.expires_ms
    stamp(message, queue_ttl_ms, now_ms)
    if kept_ms:
        message.expires_ms = min(kept_ms, message.expires_ms)
