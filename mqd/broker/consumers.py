"""A consumer, and the ring in which a queue's consumers take turns.

Theory. A ring holds the consumers that may be offered a message now, next one first. Whoever has
been given one goes to the back; whoever has as many unacknowledged messages as its prefetch count
allows, or whose connection is congested, leaves the ring and comes back at the tail when that ends
(RabbitMQ: rabbit_queue_consumers). A consumer with a higher priority goes before all others.

Decides whose turn it is and encodes what one consumer is sent. Never takes from a queue.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mqd.amqp.fields import Table
from mqd.amqp.outlet import Outlet
from mqd.broker.message import Message, content_of

if TYPE_CHECKING:
    from mqd.broker.channel import Channel
    from mqd.broker.queues.base import Queue

_TAG = struct.Struct(">Q").pack
_ENVELOPE = struct.Struct(">BHI")
_DELIVER = b"\x00\x3c\x00\x3c"


class Sender:
    """Puts basic.deliver frames for one consumer tag into its connection's outlet."""

    __slots__ = (
        "_channel_id",
        "_middle",
        "_names",
        "_prefix",
        "_tail",
        "channel",
        "outlet",
        "tag",
    )

    def __init__(self, tag: str, channel: Channel) -> None:
        self.tag = tag
        self.channel = channel
        self.outlet: Outlet = channel.outlet
        self._channel_id = struct.pack(">H", channel.number)
        raw = tag.encode()
        self._middle = _DELIVER + bytes((len(raw),)) + raw
        self._names = b""
        self._prefix = b""
        self._tail = b""

    def send(self, names: bytes, content: bytes, redelivered: bool) -> int:
        """Queue basic.deliver with its content; returns the delivery tag."""
        channel = self.channel
        tag = channel.last_tag = channel.last_tag + 1
        if names is not self._names:
            self._address(names)
        outlet = self.outlet
        frames = outlet.frames
        if not frames:
            outlet.turn.outlets.append(outlet)
        if content[1:3] != self._channel_id or (
            len(content) > outlet.frame_bytes_max and outlet.frame_bytes_max
        ):
            content = readdress(content, channel.number, outlet.frame_bytes_max)
        if redelivered:
            frames += (self._prefix, _TAG(tag), b"\x01", self._tail[1:], content)
        else:
            frames += (self._prefix, _TAG(tag), self._tail, content)
        return tag

    def _address(self, names: bytes) -> None:
        """Prepare what is the same in every delivery from one exchange with one routing key."""
        self._names = names
        at = 1 + names[0]
        shown = at + 1 + names[at]  # `shown_bytes`, written out: keys may differ at each message
        middle = self._middle
        self._prefix = _ENVELOPE.pack(1, self.channel.number, len(middle) + 9 + shown) + middle
        self._tail = b"\x00" + names[:shown] + b"\xce"


class Consumer(Sender):
    """One basic.consume. prefetch 0 means no limit; unacked counts what it holds now; limited
    says that it has to be asked whether it is full."""

    __slots__ = (
        "active",
        "arguments",
        "exclusive",
        "limited",
        "no_ack",
        "parked",
        "prefetch",
        "priority",
        "queue",
        "ringed",
        "unacked",
        "waiting",
    )

    def __init__(
        self,
        tag: str,
        channel: Channel,
        queue: Queue,
        *,
        no_ack: bool,
        exclusive: bool,
        prefetch: int,
        arguments: Table,
    ) -> None:
        super().__init__(tag, channel)
        self.queue = queue
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.prefetch = 0 if no_ack else prefetch
        self.arguments = arguments
        priority = arguments.get("x-priority")
        self.priority: int = priority[1] if priority is not None else 0
        self.unacked = 0
        self.limited = self.prefetch != 0 or channel.global_prefetch_count != 0
        self.active = True
        self.waiting = False  # another one is its queue's single active consumer
        self.ringed = False
        self.parked = False  # until its connection reads again

    def is_full(self) -> bool:
        """Whether its own prefetch or its channel's lets it take nothing more.

        A full channel stops consumers without acks too (observed: 3.10.8).
        """
        return (self.prefetch != 0 and self.unacked >= self.prefetch) or self.channel.is_full()


def readdress(content: bytes, channel_id: int, frame_bytes_max: int) -> bytes:
    """`Message.content` for a channel of another number, or a peer with smaller frames."""
    starts: list[int] = []
    pos = 0
    while pos < len(content):
        starts.append(pos)
        end = pos + 8 + int.from_bytes(content[pos + 3 : pos + 7], "big")
        if frame_bytes_max and end - pos > frame_bytes_max:
            message = Message(b"", content)
            return content_of(message.header, message.body, channel_id, frame_bytes_max)
        pos = end
    ours = struct.pack(">H", channel_id)
    if content[1:3] == ours:
        return content
    parts: list[bytes] = []
    for start, end in zip(starts, [*starts[1:], pos], strict=True):
        parts += (content[start : start + 1], ours, content[start + 3 : end])
    return b"".join(parts)


class Ring:
    """The consumers of one queue that may be offered a message now: `members`, next one first."""

    __slots__ = ("_ranked", "members")

    def __init__(self) -> None:
        self.members: list[Consumer] = []  # short; a deque would cost 600 bytes a queue
        self._ranked = False

    def __len__(self) -> int:
        return len(self.members)

    def add(self, consumer: Consumer) -> None:
        """At the tail of those of its priority."""
        if consumer.ringed:
            return
        consumer.ringed = True
        members = self.members
        if consumer.priority:
            self._ranked = True
        if self._ranked:
            index = sum(1 for member in members if member.priority >= consumer.priority)
            members.insert(index, consumer)
        else:
            members.append(consumer)

    def discard(self, consumer: Consumer) -> None:
        if consumer.ringed:
            consumer.ringed = False
            self.members.remove(consumer)

    def next(self) -> Consumer | None:
        """Who is offered the next message, or None. Those who cannot take one leave the ring."""
        members = self.members
        while members:
            consumer = members[0]
            if consumer.outlet.congested:
                del members[0]
                consumer.ringed = False
                if not consumer.parked:
                    consumer.parked = True
                    consumer.outlet.park(consumer.queue.resumer(consumer))
            elif consumer.limited and consumer.is_full():
                del members[0]
                consumer.ringed = False
                if consumer.channel.global_prefetch_count:
                    consumer.channel.stopped[consumer] = None
            else:
                return consumer
        return None

    def served(self, consumer: Consumer) -> None:
        """The consumer at the head has been given a message; one that is alone stays there, so
        then this need not be called."""
        members = self.members
        if self._ranked:
            del members[0]
            consumer.ringed = False
            self.add(consumer)
        else:
            members.append(members.pop(0))
