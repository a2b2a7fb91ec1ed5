"""A queue whose messages leave one by one, in order, for good: what classic and quorum share.

Decides what happens to a message that arrives, is asked for, acknowledged, refused or handed back,
when consumers are served, and what goes when the queue is full. Never decides who may do that
(`mqd.broker.channel`), how long a message is kept on disc (the store port), where it is in memory
(`mqd.broker.backlog`) or where a dead one goes (`mqd.broker.dead_letter`).

Order: messages leave in order of arrival; one handed back goes where it was (see backlog). A
message that finds the queue empty and a consumer ready is sent at once and never waits.

A full queue: whether a new message may come is looked at before anybody is served with it; what
has to go at the head goes after it came, so that a length of 0 drops all that no consumer takes
(RabbitMQ: queue length limit documentation; observed: 3.10.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from mqd.broker import expiry
from mqd.broker.backlog import Backlog, Sum
from mqd.broker.consumers import Consumer
from mqd.broker.dead_letter import EXPIRED, MAXLEN
from mqd.broker.dead_letter import REJECTED as REFUSED
from mqd.broker.definitions import QueueDefinition
from mqd.broker.message import Message
from mqd.broker.priorities import PriorityBacklog
from mqd.broker.queues.base import REJECTED
from mqd.broker.queues.once import TakesOnce
from mqd.broker.queues.rules import Overflow, QueueRules
from mqd.names import Pid
from mqd.policies.applied import Applied

if TYPE_CHECKING:
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost

_DRAIN_MESSAGES_MAX = 512  # a turn's share of a backlog, so that other connections get theirs
_DRAIN_BYTES_MAX = 1_048_576
# Messages and KiB between two pauses, however often it is asked to drain: a client may hand back
# all it has as often as a read holds basic.recover.
_SERVED_MAX = 16_384


class OrderedQueue(TakesOnce):
    """See the file's charter.

    counts_deliveries: messages that come back count how often they did, and show it.
    trusts_counts: one that has such a count was delivered before.
    refusals: what makes a full queue refuse; with anything else its oldest messages go.
    """

    counts_deliveries: ClassVar[bool] = False
    trusts_counts: ClassVar[bool] = False
    refusals: ClassVar[tuple[Overflow, ...]] = (
        Overflow.REJECT_PUBLISH,
        Overflow.REJECT_PUBLISH_DLX,
    )

    __slots__ = (
        "_bounded",
        "_draining",
        "_leaving",
        "_served",
        "backlog",
        "ttl_ms",
    )

    def __init__(
        self,
        definition: QueueDefinition,
        vhost: VHost,
        pid: Pid,
        owner: ConnectionEntry | None,
        policy: Applied | None = None,
    ) -> None:
        super().__init__(definition, vhost, pid, owner, policy)
        self.backlog = self.new_backlog()
        self.ttl_ms = self.rules.message_ttl_ms
        self._bounded = False
        self._bound()
        self._draining = False
        self._served = 0
        self._leaving: dict[int, Message] = {}  # dead letters not yet on disc elsewhere, by id()

    def new_backlog(self) -> Backlog | PriorityBacklog:
        """Where its ready messages are."""
        settings = self.vhost.settings
        return Backlog(
            self.vhost.spool,
            settings.queue_memory_messages_max,
            settings.queue_memory_bytes_max,
            self.vhost.broker.room,
            self.vhost.broker.shelf,
        )

    @property
    def ready_count(self) -> int:
        return len(self.backlog)

    @property
    def ready_bytes(self) -> int:
        return self.backlog.ready_bytes

    def ready_sum(self) -> Sum:
        return self.backlog.ready_sum()

    @property
    def resident_count(self) -> int:
        return self.backlog.resident_count

    @property
    def resident_bytes(self) -> int:
        return self.backlog.resident_bytes

    def resident(self) -> Iterable[Message]:
        return self.backlog.resident()

    @property
    def arrived_count(self) -> int:
        """How many messages came by now."""
        return self.backlog.arrived_count + self.counts.passed

    def told(self) -> Mapping[str, int]:
        ready, back = len(self.backlog), self.backlog.returned_count
        return self.counts.told(self.arrived_count, ready, self.unacked_count, back)

    # -- in -----------------------------------------------------------------------------------

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        bounded = self._bounded
        if bounded and self.refuses(names, content, persistent):
            return REJECTED
        backlog = self.backlog
        ring = self.ring
        consumer = ring.next() if not backlog else None
        if consumer is None:
            message = Message(names, content, persistent)
            batch = self._keep(message) if persistent and self.durable else 0
            if self.ttl_ms is None and not content[19] & 1:
                backlog.push(message)
            else:
                self._push_timed(message)
            if bounded:
                self._trim()
            return batch
        if consumer.no_ack:
            consumer.send(names, content, False)
            if len(ring.members) > 1:
                ring.served(consumer)
            self.counts.passed += 1
            return 0
        message = Message(names, content, persistent)
        batch = self._keep(message) if persistent and self.durable else 0
        if self.ttl_ms is not None or content[19] & 1:
            expiry.stamp(message, self.ttl_ms, self._now_ms())
        tag = consumer.send(names, content, False)
        consumer.unacked += 1
        self.unacked_count += 1
        consumer.channel.unacked[tag] = (self, message, backlog.skip(message), consumer)
        if len(ring.members) > 1:
            ring.served(consumer)
        return batch

    def publish_again(self, names: bytes, content: bytes, persistent: bool, returns: int) -> int:
        if self._bounded and self.refuses(names, content, persistent):
            return REJECTED
        message = Message(names, content, persistent)
        message.delivery_count = returns
        if self.ttl_ms is not None or content[19] & 1:
            expiry.stamp(message, self.ttl_ms, self._now_ms())
        batch = self.take_in(message, True)
        self.drain()
        return batch

    def _keep(self, message: Message) -> int:
        message.stored = True
        return self.store.append(self.definition.id, message)

    def recover(self, message: Message, delivered: bool) -> None:
        """A message that the store kept from an earlier run."""
        self.counts.again += 1
        message.stored = True
        if self.ttl_ms is not None or expiry.has_expiration(message.content):
            expiry.restamp(message, self.ttl_ms, self._now_ms())
        if message.expires_ms:
            self.watch()
        if delivered:
            self.backlog.push_redelivered(message)
        else:
            self.backlog.push(message)

    def take_in(self, message: Message, delivered: bool) -> int:
        self.counts.again += 1
        again = message.copy()
        again.delivery_count = message.delivery_count
        again.expires_ms = message.expires_ms
        batch = self._keep(again) if self.durable and again.persistent else 0
        if delivered and not (self.trusts_counts and again.delivery_count):
            self.backlog.push_redelivered(again)  # and so are those before it
        else:
            self.backlog.push(again)
        if again.expires_ms:
            self.watch()
        return batch

    # -- full ---------------------------------------------------------------------------------

    def refuses(self, names: bytes, content: bytes, persistent: bool) -> bool:
        """Whether the queue refuses a message because it is full."""
        rules = self.rules
        if rules.overflow is Overflow.DROP_HEAD:
            return False
        message = Message(names, content, persistent)
        length, size = rules.max_length, rules.max_length_bytes
        if (length is None or len(self.backlog) < length) and (
            size is None or self.backlog.ready_bytes + message.body_bytes <= size
        ):
            return False
        if rules.overflow is Overflow.REJECT_PUBLISH_DLX and rules.dead_letter_exchange is not None:
            self.vhost.dead_letters.take(self, message, MAXLEN)
        return True

    def _trim(self) -> None:
        """Let go of the oldest messages until the queue is as short as it has to be."""
        if self.rules.overflow not in self.refusals:
            self.shorten()

    def shorten(self) -> None:
        """The same, whatever is done with messages that are too many."""
        length, size = self.rules.max_length, self.rules.max_length_bytes
        backlog = self.backlog
        letters = self.vhost.dead_letters
        while backlog and (
            (length is not None and len(backlog) > length)
            or (size is not None and backlog.ready_bytes > size)
        ):
            if letters.is_behind:
                letters.put_off(self, self._excess())
                self._drain_later()  # which trims
                return
            self.bury(backlog.pop()[1], MAXLEN)

    def _excess(self) -> int:
        """About how many messages it has too many."""
        length, size = self.rules.max_length, self.rules.max_length_bytes
        count = len(self.backlog)
        over = count - length if length is not None else 0
        if size is not None and self.backlog.ready_bytes > size:
            over = max(over, count - count * size // self.backlog.ready_bytes)
        return over

    def bury(self, message: Message, reason: str) -> None:
        """A message that was taken out will not be delivered: dead-letter it, or drop it."""
        self.counts.dropped += 1
        if self.rules.dead_letter_exchange is None:
            self._forget(message)
            return
        if message.stored:
            self._leaving[id(message)] = message
        self.vhost.dead_letters.take(self, message, reason)

    def left(self, message: Message, batch: int) -> None:
        if not message.stored:
            return
        if batch:
            self.vhost.when_durable(batch, lambda: self._gone(message))
        else:
            self._gone(message)

    def _gone(self, message: Message) -> None:
        """A dead letter is safe elsewhere."""
        if self._leaving.pop(id(message), None) is not None and not self.deleted:
            self._forget(message)

    # -- rules and time -----------------------------------------------------------------------

    def rules_changed(self, before: QueueRules) -> None:
        """Lengths hold at once, a time to live for the messages that come (observed: 3.10.8)."""
        self.ttl_ms = self.rules.message_ttl_ms
        self._bound()
        if self._bounded:
            self._trim()

    def _bound(self) -> None:
        self._bounded = self.rules.is_bounded
        if self.rules.max_length_bytes is not None:
            self.backlog.count_bodies()

    def _push_timed(self, message: Message) -> None:
        now_ms = self._now_ms()
        expiry.stamp(message, self.ttl_ms, now_ms)
        self.backlog.push(message)
        self.watch()
        self.expire(now_ms)

    def watch(self) -> None:
        """Time matters for something in it."""
        self.timed = True
        self.vhost.broker.timed.add(self)

    def expire(self, now_ms: int) -> bool:
        backlog = self.backlog
        letters = self.vhost.dead_letters
        while backlog:
            expires_ms = backlog.peek().expires_ms
            if not expires_ms:
                return True
            if expires_ms > now_ms:
                self.vhost.broker.deadlines.at(self, expires_ms)
                return True
            if letters.is_behind:
                self.vhost.broker.deadlines.at(self, now_ms + 1)
                return False
            self.bury(backlog.pop()[1], EXPIRED)
        self.timed = False
        return True

    # -- out ----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Serve the consumers from the backlog, at most a turn's share of it."""
        if self._bounded and not self.counts_deliveries:
            self._trim()  # what was handed back may be too much
        if self.timed and not self.expire(self._now_ms()):
            self._drain_later()
            return
        backlog = self.backlog
        ring = self.ring
        share = _DRAIN_MESSAGES_MAX if self._served < _SERVED_MAX else 0
        count = size = silent = 0
        counted = self.trusts_counts
        while backlog:
            consumer = ring.next()
            if consumer is None:
                break
            if count >= share or size >= _DRAIN_BYTES_MAX:
                self._drain_later()
                break
            position, message, redelivered = backlog.pop()
            if self.timed and not self.expire(self._now_ms()):
                share = 0  # the next one is over
            content = message.content
            if counted and message.delivery_count:
                redelivered = True
                content = self.shown(message)
            tag = consumer.send(message.names, content, redelivered)
            count += 1
            size += len(content)
            if consumer.no_ack:
                silent += 1
                self._forget(message)
            else:
                consumer.unacked += 1
                self.unacked_count += 1
                consumer.channel.unacked[tag] = (self, message, position, consumer)
            if len(ring.members) > 1:
                ring.served(consumer)
        self._served += count + (size >> 10)
        self.counts.silent += silent
        if self._bounded and self.counts_deliveries:
            self._trim()  # quorum queues serve first (observed: 3.10.8)

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
            while not self.expire(self._now_ms()):  # few ask while that many are over
                self.bury(self.backlog.pop()[1], EXPIRED)
        if not self.backlog:
            return None
        taken = self.backlog.pop()
        self.unacked_count += 1
        self.counts.fetched += 1
        if self.timed:
            self.expire(self._now_ms())  # what get-ok counts does not hold what is over
        return taken

    # -- settling -----------------------------------------------------------------------------

    def _forget(self, message: Message) -> None:
        if message.stored:
            self.store.settle(self.definition.id, message)

    def acked(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        self.unacked_count -= 1
        if message.stored and not self.deleted:
            self.store.settle(self.definition.id, message)
        if consumer is not None:
            self.released(consumer, drain=drain)

    def refused(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        """Rejected without requeue: dead-lettered, or dropped."""
        self.unacked_count -= 1
        self.counts.refused += 1
        if not self.deleted:
            self.bury(message, REFUSED)
        if consumer is not None:
            self.released(consumer, drain=drain)

    def returned(
        self, position: int, message: Message, consumer: Consumer | None, *, lost: bool = False
    ) -> None:
        """To where it was; a queue that is full then lets the oldest go."""
        if consumer is not None:
            self.released(consumer, drain=False)
        self.unacked_count -= 1
        self.counts.returned += 1
        if not self.deleted:
            self.backlog.put_back(position, message)
            if message.expires_ms:
                self.watch()

    def released(self, consumer: Consumer, *, drain: bool = True) -> None:
        """The consumer holds one message less."""
        consumer.unacked -= 1
        if consumer.channel.global_prefetch_count:
            return  # the channel offers what it can take now, in the order they were stopped in
        # A congested one is offered too: the ring has it called when its peer reads again.
        if not consumer.ringed and consumer.active:
            queue = consumer.queue  # another object when the queue has moved since
            queue.offer_again(consumer)
            if drain and (self.backlog or queue is not self):
                queue.drain()

    def purge(self) -> int:
        if self.durable and self.backlog:
            self.store.settle_all(self.definition.id, self._kept_messages())
        self.counts.forgone += self.backlog.returned_count
        count = self.backlog.clear()
        self.counts.emptied += count
        return count

    def discard(self) -> None:
        if self.durable:
            self.store.settle_all(self.definition.id, ())
        self.backlog.clear()

    def take_delivered(self) -> Iterator[Message]:
        return self.backlog.take_delivered()

    def _kept_messages(self) -> Iterable[Message]:
        """Those that a purge leaves: delivered ones, and dead letters on their way."""
        yield from self._leaving.values()
        for entry in self.vhost.holders():
            for channel in entry.channels.values():
                entries = list(channel.unacked.values())
                if channel.tx is not None:
                    entries += [entry for _, entry, _ in channel.tx.settled]
                entries += [entry for entry, _ in channel.committed]
                for queue, message, _, _ in entries:
                    if queue is self and message.stored:
                        yield message
