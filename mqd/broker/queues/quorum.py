"""The quorum queue: every message is kept on disc, and knows how often it came back.

Decides what 3.10.8's quorum queues do differently (RabbitMQ: quorum queues documentation;
observed: 3.10.8): all messages are persistent; one that is handed back counts that, shows it as
x-delivery-count, and is dead-lettered (delivery_limit) when it came back too often; where it comes
back to depends on there being such a limit; a full queue refuses messages late and takes them again
late; exclusive consumers are not alone; what dies may be owed until it is safe elsewhere. Never
decides how its log is made safe.

A log behind it. What changes a quorum queue for good goes through the `MessageStore` port: append
(a message came), settle (it is done with), returned (it came back once more), settle_all (purge).
Each is a record; the effects are this object's, at once, but for confirms, which wait for the batch
that append named. So a replicated log can stand behind the port, with this object on the node that
writes it (DESIGN §5): deliveries are no records, what was not settled comes back after a failure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from mqd.amqp import properties
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.broker.backlog import Backlog
from mqd.broker.consumers import Consumer
from mqd.broker.dead_letter import DELIVERY_LIMIT, Had
from mqd.broker.definitions import QueueDefinition
from mqd.broker.message import Message, replace_header
from mqd.broker.queues.ordered import OrderedQueue
from mqd.broker.queues.rules import Overflow
from mqd.broker.shelf import restore
from mqd.names import Pid
from mqd.policies.applied import Applied

if TYPE_CHECKING:
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost

_FRONT: Final = -(1 << 62)  # positions before all others: what came back waits there, in that order
_ROOM_AGAIN: Final = 0.8  # of the length: from there on a queue that was full takes messages
_LOG_BEGINS: Final = 2
_OWED_RETRY_MS: Final = 1000
_OWED_TRIED_MAX: Final = 256  # at a time, the one that waited longest first


class QuorumQueue(OrderedQueue):
    """See the file's charter."""

    kind = "quorum"
    takes_global_prefetch = False
    knows_exclusive = False
    deletes_on_condition = False
    counts_deliveries = True
    trusts_counts = True
    refusals = (Overflow.REJECT_PUBLISH,)  # reject-publish-dlx drops the head (observed: 3.10.8)

    __slots__ = ("_came_back", "_fresh", "_full", "_owed", "_owed_bytes", "_owed_ms")

    def __init__(
        self,
        definition: QueueDefinition,
        vhost: VHost,
        pid: Pid,
        owner: ConnectionEntry | None,
        policy: Applied | None = None,
    ) -> None:
        super().__init__(definition, vhost, pid, owner, policy)
        self._came_back = _FRONT
        self._full = False
        self._owed: deque[tuple[Message, str, Had]] = deque()  # dead letters not taken by all yet
        self._owed_bytes = 0
        self._owed_ms = 0
        self._fresh = (0, 0)  # of the owed, the last ones: messages and bytes that are in memory

    # -- in -----------------------------------------------------------------------------------

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Whatever the publisher says, the message is kept."""
        return super().publish(names, content, True)

    def refuses(self, names: bytes, content: bytes, persistent: bool) -> bool:
        """A queue is full when it holds more than its length, and until it has room again: so it
        takes one message too many. Dead letters that it owes count (all observed: 3.10.8)."""
        rules = self.rules
        if rules.overflow not in self.refusals:
            return False
        length, size = rules.max_length, rules.max_length_bytes
        share = _ROOM_AGAIN if self._full else 1
        count = self.ready_count + len(self._owed)
        bodies = self.ready_bytes + self._owed_bytes if size is not None else 0
        self._full = (length is not None and count > int(length * share)) or (
            size is not None and bodies > int(size * share)
        )
        return self._full

    # -- out ----------------------------------------------------------------------------------

    def get(self) -> tuple[int, Message, bool] | None:
        if self.single_active:
            raise ChannelError(
                ReplyCode.RESOURCE_LOCKED,
                f"cannot obtain access to locked {self.definition.resource}. basic.get operations "
                "are not supported by quorum queues with single active consumer",
            )
        taken = super().get()
        if taken is not None and taken[1].delivery_count:
            return (*taken[:2], True)
        return taken

    def shown(self, message: Message) -> bytes:
        """With the header x-delivery-count: how often it came back."""
        count = ("long", message.delivery_count)
        header = properties.with_header(message.header, "x-delivery-count", count)
        return replace_header(message.content, header)

    def returned(
        self, position: int, message: Message, consumer: Consumer | None, *, lost: bool = False
    ) -> None:
        """To the front when there is a limit to how often, or when its channel is gone, else to
        the end, so that one that always fails does not hold up the others."""
        if consumer is not None:
            self.released(consumer, drain=False)
        self.unacked_count -= 1
        if self.deleted:
            return
        self.counts.returned += 1
        message.delivery_count += 1
        self.store.returned(self.definition.id, message)
        limit = self.rules.delivery_limit
        if limit is not None and message.delivery_count > limit:
            self.bury(message, DELIVERY_LIMIT)
            return
        if limit is not None or lost:
            self._came_back += 1
            self.backlog.put_back(self._came_back, message)
        else:
            restore(message)
            self.counts.moved += 1
            self.backlog.push(message)
        if message.expires_ms:
            self.watch()

    # -- what can be seen ---------------------------------------------------------------------

    def ready_at(self, place: int) -> Message | None:
        """The ready message that is delivered after `place` others; it stays."""
        return self._unranked.at(place)

    @property
    def log_index(self) -> int:
        """How long its log is: a new queue's has two entries, the first publisher is one
        (observed: 3.10.8), and so is every message that comes or is sent back to the end."""
        count = self.arrived_count
        return _LOG_BEGINS + count + (1 if count else 0)

    def shed(self) -> None:
        """Put on disc all but what is delivered next."""
        self._unranked.shed()

    @property
    def _unranked(self) -> Backlog:
        """The backlog of a kind that has no priorities."""
        assert isinstance(self.backlog, Backlog)
        return self.backlog

    # -- dead letters that are owed -----------------------------------------------------------

    @property
    def owes(self) -> bool:
        """Whether a dead letter stays here until the queues it goes to have it: the strategy
        at-least-once, which 3.10.8 takes for at-most-once unless the queue rejects what it has no
        room for."""
        rules = self.rules
        return (
            rules.dead_letter_at_least_once
            and rules.overflow is Overflow.REJECT_PUBLISH
            and rules.dead_letter_exchange is not None
        )

    def stuck(self, message: Message, reason: str, had: Had) -> None:
        """Not every queue took it: keep it and try again."""
        if self.deleted:
            return
        self._owed.append((message, reason, had))
        self._owed_bytes += message.body_bytes
        count, size = self._fresh
        self._fresh = (count + 1, size + len(message.content))
        if self._fresh[1] > self.vhost.settings.queue_memory_bytes_max:
            self._shelve_owed()
        self.watch()

    def _shelve_owed(self) -> None:
        """They may be there for long: their contents need not be in memory."""
        newest = islice(reversed(self._owed), self._fresh[0])
        self.vhost.broker.shelf.put_all([message for message, *_ in newest])
        self._fresh = (0, 0)

    def discard(self) -> None:
        self._owed.clear()
        self._owed_bytes = 0
        super().discard()

    @property
    def leaving(self) -> Iterable[Message]:
        """Dead letters that are not safe elsewhere, those that are owed among them."""
        return self._leaving.values()

    @property
    def owed_count(self) -> int:
        """Dead letters that are kept here."""
        return len(self._owed)

    def tick(self, now_ms: int) -> bool:
        if self._owed and not self.deleted and now_ms >= self._owed_ms:
            self._owed_ms = now_ms + _OWED_RETRY_MS
            for _ in range(min(len(self._owed), _OWED_TRIED_MAX)):
                message, reason, had = self._owed.popleft()
                self._owed_bytes -= message.body_bytes
                self.vhost.dead_letters.take(self, message, reason, had)  # it may come back
        return super().tick(now_ms) or bool(self._owed)
