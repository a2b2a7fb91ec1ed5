"""Messages of a queue that is kept otherwise from now on: into a shared log, or out of one.

Decides in which order they go, and that none is forgotten where it was before it is safe where it
goes. What a consumer holds goes as well: it comes back redelivered, as after a failure. Never
decides where a queue is kept.

LIMIT: all messages of the queue are in memory until they are safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mqd.broker.message import Message
from mqd.broker.ports import MessageStore
from mqd.broker.queues.base import Queue
from mqd.broker.queues.ordered import OrderedQueue
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
    backlog = queue.backlog
    while backlog:
        found.append(backlog.pop())
    backlog.clear()
    found.sort(key=lambda one: one[0])
    for _, message, _ in found:
        restore(message)
    return [(message, delivered) for _, message, delivered in found]


def is_kept_otherwise(old: Queue, new: Queue) -> bool:
    """Whether `new`, that takes the place of `old`, has to be given its messages: one of them is in
    a shard, the other is not."""
    was_shared = isinstance(old, Sharded)
    return was_shared != (new.definition.shard is not None)


class Move:
    """Messages of one queue under way to `queue` from `store`, where they are settled when all of
    them are safe."""

    def __init__(
        self,
        vhost: VHost,
        store: MessageStore,
        messages: Iterable[tuple[Message, bool]],
        queue: Queue,
    ) -> None:
        self._vhost = vhost
        self._store = store
        self._queue_id = queue.definition.id
        self._left = 1
        self._failed = 0
        vhost.moves.add(self)
        for message, delivered in messages:
            self._left += 1
            vhost.tickets.each([queue.take_in(message, delivered)], self._answered)
        self._ended(True)

    def _answered(self, results: Sequence[int]) -> None:
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
