"""Which queue has to look at the clock next, and when.

Decides nothing but order: a heap of queues by the time at which their first message or they
themselves are over, so that a time to live ends when it ends and not at the next of the broker's
ticks (RabbitMQ: TTL documentation; retries by TTL and dead-letter exchange are built on it). A
queue has one valid entry, its `due_ms`; an older one is passed over when it comes up. Entries of
deleted queues are swept out when they are the most: a client that declares a queue for each
request, to live for an hour unused, must not fill the memory with them. Never reads a clock and
never says what is over: `Queue.tick` does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mqd.broker.queues.base import Queue

_SWEEP_MIN = 256  # entries of deleted queues that are not worth a sweep


class Deadlines:
    """wake_at: asks for a call of `run` at a time of the monotonic clock, in milliseconds."""

    __slots__ = ("_deleted", "_heap", "_order", "_wake_at")

    def __init__(self, wake_at: Callable[[int], None]) -> None:
        self._heap: list[tuple[int, int, Queue]] = []
        self._deleted = 0
        self._order = count()  # queues do not compare
        self._wake_at = wake_at

    def at(self, queue: Queue, due_ms: int) -> None:
        """The queue has to look at that time; asked for the same or a later one, it has no need."""
        if queue.due_ms and queue.due_ms <= due_ms:
            return
        queue.due_ms = due_ms
        heapq.heappush(self._heap, (due_ms, next(self._order), queue))
        self._wake_at(due_ms)

    def gone(self, queue: Queue) -> None:
        """The queue was deleted: it has no deadline any more."""
        if not queue.due_ms:
            return
        queue.due_ms = 0
        self._deleted += 1
        if self._deleted > _SWEEP_MIN and self._deleted * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].due_ms == entry[0]]
            heapq.heapify(self._heap)
            self._deleted = 0

    def run(self, now_ms: int) -> None:
        """Have every queue look whose time has come, once. The caller ends the turn."""
        heap = self._heap
        looking: list[Queue] = []
        while heap and heap[0][0] <= now_ms:
            due_ms, _, queue = heapq.heappop(heap)
            if queue.due_ms == due_ms:
                queue.due_ms = 0
                looking.append(queue)
            elif queue.deleted:
                self._deleted = max(0, self._deleted - 1)
        for queue in looking:
            queue.tick(now_ms)
        if self._heap:
            self._wake_at(self._heap[0][0])
