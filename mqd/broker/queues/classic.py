"""The classic queue: messages in, messages out, to whom and in which order.

Decides what happens to a message that arrives, is asked for, acknowledged, refused or handed back,
and when consumers are served. Never decides who may do that (`mqd.broker.channel`), how long a
message is kept on disc (the store port) or where it is in memory (`mqd.broker.backlog`).

Order: messages leave in order of arrival; one handed back goes where it was (see backlog). A
message that finds the queue empty and a consumer ready is sent at once and never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mqd.broker import expiry
from mqd.broker.backlog import Backlog
from mqd.broker.consumers import Consumer, Ring
from mqd.broker.definitions import QueueDefinition
from mqd.broker.message import Message
from mqd.broker.ports import MessageStore
from mqd.broker.priorities import PriorityBacklog
from mqd.names import Pid

if TYPE_CHECKING:
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost

_DRAIN_MESSAGES_MAX = 512  # a turn's share of a backlog, so that other connections get theirs
_DRAIN_BYTES_MAX = 1_048_576
# Messages and KiB between two pauses, however often it is asked to drain: a client may hand back
# all it has as often as a read holds basic.recover.
_SERVED_MAX = 16_384


class ClassicQueue:
    """A live queue. `ready_count + unacked_count` messages are in it."""

    __slots__ = (
        "_draining",
        "_drops_expired",
        "_served",
        "backlog",
        "consumers",
        "definition",
        "deleted",
        "expires_ms",
        "durable",
        "exclusive_consumer",
        "had_consumer",
        "owner",
        "pid",
        "policy",
        "ring",
        "store",
        "timed",
        "ttl_ms",
        "unacked_count",
        "used_ms",
        "vhost",
    )

    def __init__(
        self, definition: QueueDefinition, vhost: VHost, pid: Pid, owner: ConnectionEntry | None
    ) -> None:
        self.definition = definition
        self.vhost = vhost
        self.pid = pid
        self.owner = owner
        self.policy: object | None = None
        self.durable = definition.durable and not definition.exclusive
        self.store: MessageStore = vhost.store
        self.backlog = _backlog(definition, vhost)
        # Until dead lettering is there, a queue that has it keeps what it should dead-letter.
        self._drops_expired = "x-dead-letter-exchange" not in definition.arguments
        self.ttl_ms = expiry.argument(definition.arguments, "x-message-ttl")
        self.expires_ms = expiry.argument(definition.arguments, "x-expires")
        self.timed = False  # whether a message in it may expire
        self.used_ms = 0  # when it was last declared, asked or had a consumer
        if self.expires_ms is not None:
            self.use()
            vhost.broker.timed.add(self)
        self.consumers: list[Consumer] = []
        self.ring = Ring()
        self.exclusive_consumer: Consumer | None = None
        self.unacked_count = 0
        self.had_consumer = False
        self.deleted = False
        self._draining = False
        self._served = 0

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def ready_count(self) -> int:
        return len(self.backlog)

    # -- in -----------------------------------------------------------------------------------

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Take a message at the tail, and send it at once where that can be.

        Returns the store's batch that its confirm has to wait for, 0 for none.
        """
        backlog = self.backlog
        consumer = self.ring.next() if not backlog else None
        if consumer is None:
            message = Message(names, content, persistent)
            batch = self._keep(message) if persistent and self.durable else 0
            if self.ttl_ms is None and not content[19] & 1:
                backlog.push(message)
            else:
                self._push_timed(message)
            return batch
        if consumer.no_ack:
            consumer.send(names, content, False)
            self.ring.served(consumer)
            backlog.skip()
            return 0
        message = Message(names, content, persistent)
        batch = self._keep(message) if persistent and self.durable else 0
        if self.ttl_ms is not None or content[19] & 1:
            expiry.stamp(message, self.ttl_ms, self._now_ms())
        tag = consumer.send(names, content, False)
        consumer.unacked += 1
        self.unacked_count += 1
        consumer.channel.unacked[tag] = (self, message, backlog.skip(message), consumer)
        self.ring.served(consumer)
        return batch

    def _keep(self, message: Message) -> int:
        message.stored = True
        return self.store.append(self.definition.id, message)

    def recover(self, message: Message, delivered: bool) -> None:
        """A message that the store kept from an earlier run."""
        message.stored = True
        if self.ttl_ms is not None or expiry.has_expiration(message.content):
            expiry.stamp(message, self.ttl_ms, self._now_ms())
            self._watch()
        if delivered:
            self.backlog.push_redelivered(message)
        else:
            self.backlog.push(message)

    # -- time ---------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self.vhost.broker.clock.monotonic_ms()

    def _push_timed(self, message: Message) -> None:
        now_ms = self._now_ms()
        expiry.stamp(message, self.ttl_ms, now_ms)
        self.backlog.push(message)
        self._watch()
        self.expire(now_ms)

    def _watch(self) -> None:
        if self._drops_expired:
            self.timed = True
            self.vhost.broker.timed.add(self)

    def expire(self, now_ms: int) -> None:
        """Drop the messages at the head whose time is over."""
        if not self._drops_expired:
            return
        backlog = self.backlog
        while backlog:
            expires_ms = backlog.peek().expires_ms
            if not expires_ms or expires_ms > now_ms:
                return
            self._forget(backlog.pop()[1])
        self.timed = False

    def use(self) -> None:
        """Somebody declared it, asked it for a message, or had a consumer on it."""
        if self.expires_ms is not None:
            self.used_ms = self._now_ms()

    def tick(self, now_ms: int) -> bool:
        """Look at the time; returns whether there is anything left to look for."""
        if self.deleted:
            return False
        if self.timed:
            self.expire(now_ms)
        if self.expires_ms is None:
            return self.timed
        if not self.consumers and now_ms - self.used_ms >= self.expires_ms:
            self.vhost.delete_queue(self, lambda _: None)
            return False
        return True

    # -- out ----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Serve the consumers from the backlog, at most a turn's share of it."""
        if self.timed:
            self.expire(self._now_ms())
        backlog = self.backlog
        ring = self.ring
        share = _DRAIN_MESSAGES_MAX if self._served < _SERVED_MAX else 0
        count = size = 0
        while backlog:
            consumer = ring.next()
            if consumer is None:
                break
            if count >= share or size >= _DRAIN_BYTES_MAX:
                self._drain_later()
                break
            position, message, redelivered = backlog.pop()
            tag = consumer.send(message.names, message.content, redelivered)
            count += 1
            size += len(message.content)
            if consumer.no_ack:
                self._forget(message)
            else:
                consumer.unacked += 1
                self.unacked_count += 1
                consumer.channel.unacked[tag] = (self, message, position, consumer)
            ring.served(consumer)
        self._served += count + (size >> 10)

    def _drain_later(self) -> None:
        if not self._draining:
            self._draining = True
            self.vhost.turn.later.append(self._drain_again)

    def _drain_again(self) -> None:
        self._draining = False
        self._served = 0
        if not self.deleted:
            self.drain()

    def get(self) -> tuple[int, Message, bool] | None:
        """Take the next message for basic.get: (position, message, redelivered)."""
        self.use()
        if self.timed:
            self.expire(self._now_ms())
        if not self.backlog:
            return None
        taken = self.backlog.pop()
        self.unacked_count += 1
        return taken

    # -- settling -----------------------------------------------------------------------------

    def _forget(self, message: Message) -> None:
        if message.stored:
            self.store.settle(self.definition.id, message)

    def acked(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        """A delivered message is done with; its consumer may take another."""
        self.unacked_count -= 1
        if message.stored and not self.deleted:
            self.store.settle(self.definition.id, message)
        if consumer is not None:
            self.released(consumer, drain=drain)

    def refused(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        """Rejected without requeue: dropped."""
        self.acked(message, consumer, drain=drain)

    def returned(self, position: int, message: Message, consumer: Consumer | None) -> None:
        """Handed back, to where it was. The caller drains when all are back."""
        if consumer is not None:
            self.released(consumer, drain=False)
        self.unacked_count -= 1
        if not self.deleted:
            self.backlog.put_back(position, message)
            if message.expires_ms:
                self._watch()

    def released(self, consumer: Consumer, *, drain: bool = True) -> None:
        """The consumer holds one message less."""
        consumer.unacked -= 1
        # A congested one is offered too: the ring has it called when its peer reads again.
        if not consumer.ringed and consumer.active:
            self.offer_again(consumer)
            if drain and self.backlog:
                self.drain()

    def purge(self) -> int:
        """Drop what is ready; what is delivered stays with its consumers."""
        if self.durable and self.backlog:
            self.store.settle_all(self.definition.id, self._unacked_messages())
        return self.backlog.clear()

    def _unacked_messages(self) -> Iterable[Message]:
        for entry in self.vhost.connections():
            for channel in entry.channels.values():
                entries = list(channel.unacked.values())
                if channel.tx is not None:
                    entries += [entry for _, entry, _ in channel.tx.settled]
                entries += [entry for entry, _ in channel.committed]
                for queue, message, _, _ in entries:
                    if queue is self and message.stored:
                        yield message

    # -- consumers ----------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        self.consumers.append(consumer)
        self.had_consumer = True
        if consumer.exclusive:
            self.exclusive_consumer = consumer
        self.ring.add(consumer)

    def remove_consumer(self, consumer: Consumer) -> None:
        """The consumer takes no more; what it holds stays with its channel. Twice is once."""
        if not consumer.active:
            return
        consumer.active = False
        self.consumers.remove(consumer)
        self.use()
        self.ring.discard(consumer)
        if self.exclusive_consumer is consumer:
            self.exclusive_consumer = None

    def offer_again(self, consumer: Consumer) -> None:
        """A consumer that left the ring may be able to take messages again."""
        if consumer.active and not self.deleted:
            self.ring.add(consumer)

    def resumer(self, consumer: Consumer) -> Callable[[], None]:
        """What to call when the consumer's connection reads again."""

        def resume() -> None:
            self.offer_again(consumer)
            if self.backlog and not self.deleted:
                self.drain()

        return resume


def _backlog(definition: QueueDefinition, vhost: VHost) -> Backlog | PriorityBacklog:
    messages_max = vhost.settings.queue_memory_messages_max
    bytes_max = vhost.settings.queue_memory_bytes_max
    top = expiry.argument(definition.arguments, "x-max-priority")
    if top:
        return PriorityBacklog(vhost.spool, messages_max, bytes_max, top)
    return Backlog(vhost.spool, messages_max, bytes_max)
