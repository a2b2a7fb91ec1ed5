"""The messages of one queue that are ready, in order, at a bounded cost of memory.

Theory. Every message of a queue has a position, counted from 0 in order of arrival. Fresh messages
leave in that order, so positions need not be stored: the first fresh one stands at `_head_at`, the
others follow. A message that was delivered and comes back (requeue, lost channel) keeps its
position and waits in a heap; all positions in the heap are smaller than `_head_at`, so whatever is
in the heap goes first, and order is restored exactly (RabbitMQ: "original position").

Fresh messages are a head in memory, then pages on disc, then a tail in memory. New ones join the
head while it is short and there is nothing behind it, else the tail; a tail that has grown to a
page is written out; an empty head takes in the next page. So memory holds the head, one tail and
a handle a page, however long the backlog (DESIGN §3), and all backlogs together no more than
their room (`mqd.broker.room`): one that is refused more pages out sooner. What came back stays in
the heap, but its contents may go to the shelf (`mqd.broker.shelf`). Pages hold persistent
messages as well: reading them back in order is cheaper than fetching them one by one from the
store.

Bodies are counted one by one only where somebody needs the sum at every step (`count_bodies`);
otherwise it is added up when it is asked for, from what is in memory and one sum a page.

A page is a scratch of this process only (ports.Spool): marshal is safe there and the fastest.

Decides order and residence. Never delivers, expires or settles.
"""

from __future__ import annotations

import heapq
import marshal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mqd import limits
from mqd.broker.message import Message, bodies_size
from mqd.broker.ports import Spool
from mqd.broker.room import Room
from mqd.broker.shelf import Shelf, restore

_OVERHEAD_BYTES = 120  # what a message object costs beside its content, measured on CPython 3.11
_PATIENCE_MESSAGES = 512  # what may come before it is looked again whether a tail can be paged

_ROOMY = Room()

Row = tuple[bytes, bytes, bool, bool, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sum:
    """Messages added up; bytes are those of their bodies."""

    count: int = 0
    bytes: int = 0
    persistent_count: int = 0
    persistent_bytes: int = 0

    def plus(self, other: Sum) -> Sum:
        return Sum(
            self.count + other.count,
            self.bytes + other.bytes,
            self.persistent_count + other.persistent_count,
            self.persistent_bytes + other.persistent_bytes,
        )


def sum_of(messages: Iterable[Message]) -> Sum:
    """These messages added up."""
    count = size = persistent_count = persistent_bytes = 0
    for message in messages:
        body_bytes = message.body_bytes
        count += 1
        size += body_bytes
        if message.persistent:
            persistent_count += 1
            persistent_bytes += body_bytes
    return Sum(count, size, persistent_count, persistent_bytes)


class Backlog:
    """Ready messages of a queue. `len()` counts them; taking from an empty one is an error."""

    __slots__ = (
        "_flagged_to",
        "_head",
        "_head_at",
        "_bodies",
        "_counts_bodies",
        "_head_bytes",
        "_limit_bytes",
        "_limit_messages",
        "_paged",
        "_patience",
        "_pages",
        "_returned",
        "_returned_bytes",
        "_returned_mark_bytes",
        "_room",
        "_shelf",
        "_spool",
        "_tail",
        "_tail_bytes",
        "_tail_mark_bytes",
        "lease_bytes",
    )

    def __init__(
        self,
        spool: Spool,
        limit_messages: int,
        limit_bytes: int,
        room: Room = _ROOMY,
        shelf: Shelf | None = None,
    ) -> None:
        """shelf: where contents of messages that came back may go."""
        self._spool = spool
        self._room = room
        self._shelf = shelf
        self.lease_bytes = min(room.step_bytes, limit_bytes)
        self._limit_messages = limit_messages
        self._limit_bytes = limit_bytes
        self._head: deque[Message] = deque()
        self._head_at = 0
        self._head_bytes = 0
        self._pages: list[tuple[int, Sum, int]] = []  # handle, what is in it, what it takes
        self._counts_bodies = False
        self._bodies = 0
        self._paged = 0
        self._tail: list[Message] = []
        self._tail_bytes = 0
        self._tail_mark_bytes = self.lease_bytes  # from where it is asked what to do with the tail
        self._returned: list[tuple[int, Message]] = []
        self._returned_bytes = 0
        self._returned_mark_bytes = self.lease_bytes  # from where the room is told of them
        self._flagged_to = 0
        self._patience = 0  # do not try to page out a shorter tail

    def __len__(self) -> int:
        return len(self._returned) + len(self._head) + self._paged + len(self._tail)

    def __bool__(self) -> bool:
        return bool(self._head or self._returned or self._paged or self._tail)

    def push(self, message: Message) -> None:
        """A new message at the tail."""
        size = len(message.content) + _OVERHEAD_BYTES
        if self._counts_bodies:
            self._bodies += message.body_bytes
        if (
            not self._tail
            and not self._pages
            and len(self._head) < self._limit_messages
            and (self._head_bytes < self.lease_bytes or self._may_grow())
        ):
            self._head.append(message)
            self._head_bytes += size
            return
        self._tail.append(message)
        self._tail_bytes += size
        if (
            len(self._tail) >= limits.PAGE_MESSAGES_MAX or self._tail_bytes >= self._tail_mark_bytes
        ) and len(self._tail) >= self._patience:
            self._shorten_tail()

    def push_redelivered(self, message: Message) -> None:
        """A message from an earlier run that may have been delivered then.

        Only while nothing was pushed otherwise: such messages come first.
        """
        self.push(message)
        self._flagged_to = self._head_at + len(self) - len(self._returned)

    def pop(self) -> tuple[int, Message, bool]:
        """The next message: (position, message, redelivered)."""
        if self._returned:
            position, message = self._pop_returned()
            restore(message)
            return position, message, True
        if not self._head:
            self._refill()
        message = self._head.popleft()
        self._head_bytes -= len(message.content) + _OVERHEAD_BYTES
        position = self._head_at
        self._head_at = position + 1
        if self._counts_bodies:
            self._bodies -= message.body_bytes
        return position, message, position < self._flagged_to

    def _pop_returned(self) -> tuple[int, Message]:
        position, message = heapq.heappop(self._returned)
        if not self._returned:
            self._returned_mark_bytes = self._room.step_bytes
        self._returned_bytes -= len(message.content) + _OVERHEAD_BYTES
        if self._counts_bodies:
            self._bodies -= message.body_bytes
        return position, message

    def peek(self) -> Message:
        """What `pop` would take; its content may be on the shelf (`mqd.broker.shelf`)."""
        if self._returned:
            return self._returned[0][1]
        if not self._head:
            self._refill()
        return self._head[0]

    def at(self, place: int) -> Message | None:
        """The message that `pop` would return after `place` others; all stay where they are."""
        for part in (sorted(self._returned), self._head):
            if place < len(part):
                entry = part[place]
                return entry[1] if isinstance(entry, tuple) else entry
            place -= len(part)
        for handle, page, _ in self._pages:
            if place < page.count:
                return _message_of(marshal.loads(self._spool.read(handle))[place])  # noqa: S302
            place -= page.count
        return self._tail[place] if place < len(self._tail) else None

    @property
    def arrived_count(self) -> int:
        """How many came by now."""
        return self._head_at + len(self) - len(self._returned)

    @property
    def returned_count(self) -> int:
        """How many of those that came back wait."""
        return len(self._returned)

    def put_back(self, position: int, message: Message) -> None:
        """A message taken by `pop` returns to where it was."""
        heapq.heappush(self._returned, (position, message))
        self._returned_bytes += len(message.content) + _OVERHEAD_BYTES
        if self._counts_bodies:
            self._bodies += message.body_bytes
        if self._returned_bytes > self._returned_mark_bytes:
            self._count_returned()

    def skip(self, message: Message | None = None) -> int:
        """The position of a message that never waited: it arrived and was delivered at once."""
        del message  # a backlog with priorities looks at it
        position = self._head_at
        self._head_at = position + 1
        return position

    def take_delivered(self) -> Iterator[Message]:
        """Take out, first to last, those that were delivered before: for an orderly end."""
        while self._returned:
            yield self._pop_returned()[1]
        while len(self) and self._head_at < self._flagged_to:
            yield self.pop()[1]

    def clear(self) -> int:
        """Forget everything that is ready; returns how many there were."""
        count = len(self)
        self._head_at += count - len(self._returned)
        self._returned.clear()
        self._head.clear()
        self._tail.clear()
        self._head_bytes = self._tail_bytes = self._returned_bytes = 0
        self._paged = self._patience = self._bodies = 0
        for handle, *_ in self._pages:
            self._spool.drop(handle)
        self._pages.clear()
        self._room.leave(self)
        return count

    def count_bodies(self) -> None:
        """From now on `ready_bytes` is asked for at every step."""
        if not self._counts_bodies:
            self._bodies = self.ready_bytes
            self._counts_bodies = True

    @property
    def ready_bytes(self) -> int:
        """Bytes of the bodies of all ready messages, paged ones included."""
        if self._counts_bodies:
            return self._bodies
        in_memory = bodies_size(self._head) + bodies_size(self._tail)
        handed_back = bodies_size(message for _, message in self._returned)
        return in_memory + handed_back + sum(page.bytes for _, page, _ in self._pages)

    def ready_sum(self) -> Sum:
        """All ready messages, paged ones included, added up."""
        total = sum_of(self.resident())
        for _, page, _ in self._pages:
            total = total.plus(page)
        return total

    @property
    def resident_count(self) -> int:
        """How many of them are in memory."""
        return len(self) - self._paged

    @property
    def resident_bytes(self) -> int:
        """About what they cost."""
        return self._head_bytes + self._tail_bytes + self._returned_bytes

    def resident(self) -> Iterator[Message]:
        """Those in memory, for statistics; order is not promised."""
        yield from self._head
        yield from self._tail
        for _, message in self._returned:
            yield message

    # -- memory -------------------------------------------------------------------------------

    def _may_grow(self) -> bool:
        """Whether the head may, which has what it was granted."""
        return self._head_bytes < self._limit_bytes and self._lease_more()

    def _lease_more(self) -> bool:
        lease_bytes = self.lease_bytes
        wanted = min(
            max(2 * lease_bytes, lease_bytes + self._room.step_bytes),
            self._limit_bytes + limits.PAGE_BYTES_MAX,
        )
        return wanted > lease_bytes and self._room.lease(self, wanted)

    def _shorten_tail(self) -> None:
        """The tail is as long as a page, or has what the backlog was granted."""
        if (
            len(self._tail) < limits.PAGE_MESSAGES_MAX
            and self._tail_bytes < limits.PAGE_BYTES_MAX
            and (self._head_bytes + self._tail_bytes < self.lease_bytes or self._lease_more())
        ):
            self._mark_tail()
        else:
            self._page_out()

    def _count_returned(self) -> None:
        """They have come back already: what the room cannot grant goes to the shelf."""
        room = self._room
        room.lease(self, self.resident_bytes, must=True)
        if room.leased_bytes > room.total_bytes:
            self.shed()
        self._returned_mark_bytes = self._returned_bytes + max(
            self._returned_bytes, self.lease_bytes
        )

    def _mark_tail(self) -> None:
        """No page is smaller than a step: handles have to be kept as well."""
        left_bytes = self.lease_bytes - self._head_bytes
        self._tail_mark_bytes = min(max(left_bytes, self._room.step_bytes), limits.PAGE_BYTES_MAX)

    def shed(self) -> None:
        """Put on disc all but the first step of it, where that is worth a page."""
        step_bytes = self._room.step_bytes
        if self._shelf is not None and self._returned_bytes >= step_bytes:
            messages = [message for _, message in self._returned]
            self._returned_bytes -= self._shelf.put_all(messages)
        if self._tail_bytes >= step_bytes:
            self._page_out()
        if self._head_bytes < 2 * step_bytes or self._pending_from(self._head) < len(self._head):
            return
        head = list(self._head)
        kept = kept_bytes = 0
        while kept_bytes < step_bytes:
            kept_bytes += len(head[kept].content) + _OVERHEAD_BYTES
            kept += 1
        pages = []
        while kept < len(head):
            count = size = 0
            for message in head[kept : kept + limits.PAGE_MESSAGES_MAX]:
                count += 1
                size += len(message.content) + _OVERHEAD_BYTES
                if size >= limits.PAGE_BYTES_MAX:
                    break
            pages.append(self._write(head[kept : kept + count], size))
            del head[kept : kept + count]
        self._pages[:0] = pages
        self._head = deque(head)
        self._head_bytes = kept_bytes

    def _page_out(self) -> None:
        """Write out the tail, but what waits for a commit to begin: the store is about to say
        where it keeps that, and a page cannot be told later."""
        tail = self._tail
        end = self._pending_from(tail)
        if not end or end < len(tail) // 2:
            self._patience = len(tail) + min(_PATIENCE_MESSAGES, len(tail))
            return
        self._tail = tail[end:]
        left_bytes = sum(len(m.content) + _OVERHEAD_BYTES for m in self._tail)
        self._pages.append(self._write(tail[:end], self._tail_bytes - left_bytes))
        self._tail_bytes = left_bytes
        self._patience = 0
        self._mark_tail()

    def _write(self, messages: list[Message], size: int) -> tuple[int, Sum, int]:
        rows: list[Row] = [
            (
                m.names,
                m.content,
                m.persistent,
                m.stored,
                m.expires_ms,
                m.delivery_count,
                m.segment,
                m.index,
            )
            for m in messages
        ]
        self._paged += len(rows)
        return self._spool.write(marshal.dumps(rows)), sum_of(messages), size

    @staticmethod
    def _pending_from(messages: Sequence[Message]) -> int:
        """Where among them stands the first message of a commit that has not begun; commits
        begin in order, so all after it wait as well."""
        end = len(messages)
        for index, message in zip(range(end - 1, -1, -1), reversed(messages), strict=True):
            if message.stored:
                if message.segment:
                    return end
                end = index
        return end

    def _refill(self) -> None:
        if not self._pages:
            self._head.extend(self._tail)
            self._head_bytes = self._tail_bytes
            self._tail = []
            self._tail_bytes = self._patience = 0
            self._mark_tail()
            return
        handle, page, size = self._pages.pop(0)
        self._room.lease(self, size + self._tail_bytes, must=True)
        self._paged -= page.count
        rows: list[Row] = marshal.loads(self._spool.take(handle))  # noqa: S302 - our own page
        self._head.extend(map(_message_of, rows))
        self._head_bytes = size
        self._mark_tail()


def _message_of(row: Row) -> Message:
    names, content, persistent, stored, expires_ms, returns, segment, index = row
    message = Message(names, content, persistent)
    message.stored = stored
    message.expires_ms = expires_ms
    message.delivery_count = returns
    message.segment = segment
    message.index = index
    return message
