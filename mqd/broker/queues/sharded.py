"""Queues whose messages are in a log that several nodes have: any of them may go on with it.

Decides what differs for such a queue: a message is in it when the log has it, no sooner. Until
then its publisher waits and nobody is delivered it, since another node might have to go on without.
Everything else is the kind's. Never knows how the log is kept (`mqd.broker.ports.SharedStore`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from mqd.broker import expiry
from mqd.broker.definitions import QueueDefinition
from mqd.broker.message import Message
from mqd.broker.ports import SharedStore
from mqd.broker.queues.base import Queue
from mqd.broker.queues.classic import ClassicQueue
from mqd.broker.queues.ordered import OrderedQueue
from mqd.broker.queues.quorum import QuorumQueue
from mqd.broker.tickets import REJECTED
from mqd.names import Pid
from mqd.policies.applied import Applied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost


class Sharded(OrderedQueue):
    """See the file's charter."""

    must_prove = True

    __slots__ = ()

    def __init__(
        self,
        definition: QueueDefinition,
        vhost: VHost,
        pid: Pid,
        owner: ConnectionEntry | None,
        policy: Applied | None,
        shared: SharedStore,
    ) -> None:
        super().__init__(definition, vhost, pid, owner, policy)
        self.store = shared
        for message in shared.attach(definition.id, self.arrived):
            self.recover(message, True)  # nobody knows what was delivered

    @property
    def shared(self) -> SharedStore:
        """`store`, as what it is."""
        return cast("SharedStore", self.store)

    @property
    def gives_tickets(self) -> bool:
        return True

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Whatever the publisher says, the message is kept."""
        if self._bounded and self.refuses(names, content, True):
            return REJECTED
        return self.shared.enqueue(self.definition.id, self._new(names, content))

    def publish_once(
        self,
        origin: bytes,
        number: int,
        names: bytes,
        content: bytes,
        persistent: bool,
        returns: int = 0,
    ) -> int:
        known = self.shared.known(self.definition.id, origin, number)
        if known is not None:
            return known
        if self._bounded and self.refuses(names, content, True):
            return REJECTED
        message = self._new(names, content)
        message.delivery_count = returns
        return self.shared.enqueue_from(self.definition.id, message, origin, number)

    def _new(self, names: bytes, content: bytes) -> Message:
        message = Message(names, content, True)
        message.stored = True
        if self.ttl_ms is not None or content[19] & 1:
            expiry.stamp(message, self.ttl_ms, self._now_ms())
        return message

    def take_in(self, message: Message, delivered: bool) -> int:
        again = Message(message.names, message.content, True)
        again.stored = True
        again.expires_ms = message.expires_ms
        again.delivery_count = message.delivery_count + delivered
        return self.shared.enqueue(self.definition.id, again, moved=True)

    def arrived(self, message: Message) -> None:
        """The log has it. Whoever calls ends the turn."""
        if self.deleted:
            return
        backlog = self.backlog
        redelivered = message.delivery_count > 0  # where it was before
        consumer = self.ring.next() if not backlog else None
        if consumer is None:
            backlog.push(message)
            if message.expires_ms:
                self.watch()
                self.expire(self._now_ms())
            if self._bounded:
                self._trim()
            return
        content = self.shown(message) if redelivered else message.content
        tag = consumer.send(message.names, content, redelivered)
        if consumer.no_ack:
            self.counts.passed += 1
            self._forget(message)
        else:
            consumer.unacked += 1
            self.unacked_count += 1
            consumer.channel.unacked[tag] = (self, message, backlog.skip(message), consumer)
        self.ring.served(consumer)

    def prove(self, proved: Callable[[bool], None]) -> None:
        self.shared.prove(self.definition.id, proved)

    def discard(self) -> None:
        super().discard()
        self.shared.drop(self.definition.id)

    def take_delivered(self) -> Iterator[Message]:
        """What another node takes over may all have been delivered."""
        return iter(())

    def pending(self) -> list[tuple[int, Message]]:
        """(number, message) of those of this node's that the log does not have yet, for what takes
        the place of this queue."""
        return self.shared.pending(self.definition.id)


class ShardedQuorum(Sharded, QuorumQueue):
    """A quorum queue of a cluster."""

    __slots__ = ()


class ShardedClassic(Sharded, ClassicQueue):
    """A classic queue that a policy mirrors."""

    trusts_counts = True
    __slots__ = ()

    def get(self) -> tuple[int, Message, bool] | None:
        taken = super().get()
        return (*taken[:2], True) if taken is not None and taken[1].delivery_count else taken


SHARDED: Final[Mapping[str, type[Sharded]]] = {
    kind.kind: kind for kind in (ShardedQuorum, ShardedClassic)
}


def is_shared(queue: Queue) -> bool:
    """Whether its messages are in a shard that this node writes."""
    return isinstance(queue, Sharded)
