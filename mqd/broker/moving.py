"""Messages of a queue that is kept otherwise from now on: into a shared log, or out of one.

Decides in which order they go, and that none is forgotten where it was before it is safe where it
goes. What a consumer holds goes as well: it comes back redelivered, as after a failure. Numbers of
what came go too, so that what a publisher sends again is known. Never decides where a queue is
kept.

All that is in the queue goes ahead of what comes, when this node writes the log: who has queues
brought in sees to that (`mqd.cluster.shards.arrivals`). If another node writes it by then, that one
may have taken what was published later: so all that was in the queue says that it was delivered
before.

LIMIT: all messages of the queue are in memory until they are safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeGuard

from mqd.broker.message import Message
from mqd.broker.ports import MessageStore
from mqd.broker.queues.base import Queue
from mqd.broker.queues.ordered import OrderedQueue
from mqd.broker.queues.quorum import QuorumQueue
from mqd.broker.queues.sharded import Sharded
from mqd.broker.shelf import restore

if TYPE_CHECKING:
    from mqd.broker.vhost import VHost


def take_all(vhost: VHost, queue: OrderedQueue) -> list[tuple[Message, bool]]:
    """(message, may have been delivered) of all that is in the queue, in order; it is empty then.
    What a channel holds stays there as well, but without effect."""
    found: list[tuple[int, Message, bool]] = []
    for entry in vhost.holders():
        for channel in entry.channels.values():
            held = list(channel.unacked.values())
            if channel.tx is not None:
                held += [one for _, one, _ in channel.tx.settled]
            found += [
                (position, message, True) for owner, message, position, _ in held if owner is queue
            ]
    first = min((position for position, _, _ in found), default=0) - 1
    if isinstance(queue, QuorumQueue) and queue.owes:
        found += [(first, message, True) for message in queue.leaving]
    backlog = queue.backlog
    while backlog:
        found.append(backlog.pop())
    backlog.clear()
    found.sort(key=lambda one: one[0])
    for _, message, _ in found:
        restore(message)
    return [(message, delivered) for _, message, delivered in found]


def is_kept_otherwise(old: Queue, new: Queue) -> TypeGuard[OrderedQueue]:
    """Whether `new`, that takes the place of `old`, has to be given its messages: one of them is in
    a shard, the other is not."""
    was_shared = isinstance(old, Sharded)
    return isinstance(old, OrderedQueue) and was_shared != (new.definition.shard is not None)


def move(vhost: VHost, old: OrderedQueue, new: Queue) -> Move:
    """From a queue to the one that takes its place, which is kept otherwise: all that it has and
    knows. Before anything else comes to the new one."""
    messages = take_all(vhost, old)
    if isinstance(old, Sharded):
        return _out(vhost, old, messages, new)
    if not isinstance(new, Sharded):
        return Move(vhost, old.store, [(message, True) for message, _ in messages], new)
    numbered = old.numbered
    moved = Move(vhost, old.store, messages, new)
    late = numbered.late(old.store.durable_batch)
    new.shared.know(new.definition.id, numbered.origins, late)
    return moved


def _out(vhost: VHost, old: Sharded, messages: Sequence[tuple[Message, bool]], new: Queue) -> Move:
    """Also what is on its way into the log: nobody looks for it there any more."""
    queue_id = old.definition.id
    if isinstance(new, OrderedQueue):
        for origin, seen in old.shared.numbers(queue_id).items():
            new.numbered.origins[origin] = seen
    unlanded, tickets = old.shared.take_over(queue_id)
    moved = Move(vhost, old.store, messages, new, len(unlanded))
    result = 0
    for origin, number, ticket, message in unlanded:
        count = message.delivery_count
        result = new.publish_once(origin, number, message.names, message.content, True, count)
        vhost.tickets.follow(ticket, result)
        moved.answered([result])
    for ticket in tickets:
        vhost.tickets.follow(ticket, result)
    return moved


class Move:
    """Messages of one queue under way to `queue` from `store`, where they are settled when all of
    them are safe."""

    def __init__(
        self,
        vhost: VHost,
        store: MessageStore,
        messages: Iterable[tuple[Message, bool]],
        queue: Queue,
        more: int = 0,
    ) -> None:
        """more: how often `answered` will be called besides."""
        self._vhost = vhost
        self._store = store
        self._queue_id = queue.definition.id
        self._left = 1 + more
        self._failed = 0
        vhost.moves.add(self)
        for message, delivered in messages:
            self._left += 1
            vhost.tickets.each([queue.take_in(message, delivered)], self.answered)
        self._ended(True)

    def answered(self, results: Sequence[int]) -> None:
        """What a publish of one came to."""
        if results[0] < 0:
            self._ended(False)
        else:
            self._vhost.when_durable(results[0], lambda: self._ended(True))

    def _ended(self, well: bool) -> None:
        self._left -= 1
        self._failed += not well
        if self._left:
            return
        self._vhost.moves.discard(self)
        if not self._failed:
            self._store.settle_all(self._queue_id, ())
