"""Messages that wait for their time: what x-delayed-message exchanges of a vhost have put off.

Decides when each comes back to its exchange, in order of time, then of arrival, and what of them
is in memory. How long one waits is the exchange's business. What waits for a durable exchange is
in the vhost's store, whatever its delivery mode (the plugin keeps all of them on disc), under the
queue id of nobody. It is settled when what it was routed to is on disc, so that no crash loses it;
one that comes in between may bring it twice.

Theory. A heap holds what is due first. When it grows too large its later half is written to the
spool as a run: pages in order, of which only the handle and the first message's time stay in
memory. A page is read back when its first message is due, so that memory holds the heap and one
page a run, however many wait. Pages are a scratch of this process; after a restart the store tells
all that waits again.

Messages of an exchange whose plugin is not enabled are parked until it is, and so are those of one
that leads to such an exchange: due at a time that never comes, they are written out before others.
"""

from __future__ import annotations

import heapq
import logging
import marshal
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mqd import limits
from mqd.amqp.replies import ChannelError
from mqd.broker import headers as said
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.delayed_message import delay_ms, waited
from mqd.broker.message import Message
from mqd.broker.routing import route

if TYPE_CHECKING:
    from mqd.broker.vhost import VHost

QUEUE_ID: Final = 0  # under which the store keeps them: no queue has it
_OVERHEAD_BYTES = 300  # what a waiting message costs beside its content
_TURN_MESSAGES_MAX = 512
_PARKED_MS: Final = 1 << 62  # due then: never
_DUE = struct.Struct(">Q")  # wall clock, ms; then the exchange, a short string, then the names

Entry = tuple[int, int, Message]  # (due by the monotonic clock, order, message)
Row = tuple[int, int, bytes, bytes, bool, bool, int, int]

log = logging.getLogger("mqd.exchange")


class Keeper:
    """Takes messages for one exchange, as a queue would."""

    __slots__ = ("_delays", "_durable", "_exchange", "deleted")

    def __init__(self, delays: Delays, exchange: str, durable: bool) -> None:
        self._delays = delays
        self._exchange = exchange
        self._durable = durable
        self.deleted = False

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        return self._delays.keep(self._exchange, self._durable, names, content, persistent)


class Delays:
    """All that waits in one vhost. `len()` counts it."""

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._heap: list[Entry] = []
        self._heap_bytes = 0
        self._runs: list[tuple[int, int, deque[tuple[int, int, int, int]]]] = []
        self._paged = 0
        self._order = 0
        self._patience = 0  # do not try to write out a smaller heap
        self._firing = False

    def __len__(self) -> int:
        return len(self._heap) + self._paged

    @property
    def resident_bytes(self) -> int:
        """About what those in memory cost."""
        return self._heap_bytes

    # -- in -----------------------------------------------------------------------------------

    def keep(
        self, exchange: str, durable: bool, names: bytes, content: bytes, persistent: bool
    ) -> int:
        """Put a message off; returns the store's batch that its confirm waits for."""
        clock = self._vhost.broker.clock
        delay = delay_ms(Offered(names, content).headers().get("x-delay"))
        name = exchange.encode("utf-8", "surrogateescape")
        mark = _DUE.pack(clock.wall_ms() + delay) + bytes((len(name),)) + name
        message = Message(mark + names, content, persistent)
        batch = 0
        if durable:
            message.stored = True
            batch = self._vhost.store.append(QUEUE_ID, message)
        self._push(clock.monotonic_ms() + delay, message)
        return batch

    def recover(self, message: Message) -> None:
        """One that the store kept from an earlier run."""
        vhost = self._vhost
        exchange = vhost.exchanges.get(_exchange_of(message))
        if exchange is None:
            vhost.store.settle(QUEUE_ID, message)
        elif exchange.is_there:
            self._push(self._due_ms(message), message)
        else:
            self._push(_PARKED_MS, message)

    def _due_ms(self, message: Message) -> int:
        """By the monotonic clock, now at the earliest."""
        clock = self._vhost.broker.clock
        left: int = _DUE.unpack_from(message.names)[0] - clock.wall_ms()
        return clock.monotonic_ms() + max(left, 0)

    def _push(self, due_ms: int, message: Message) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due_ms, self._order, message))
        self._heap_bytes += len(message.content) + _OVERHEAD_BYTES
        settings = self._vhost.settings
        if (
            len(self._heap) > settings.queue_memory_messages_max
            or self._heap_bytes > settings.queue_memory_bytes_max
        ) and len(self._heap) > self._patience:
            self._write_out()
        if due_ms < _PARKED_MS:
            self._vhost.broker.wake_at(due_ms)

    def look_again(self) -> None:
        """Exchange types came or went: what is parked may have its time now."""
        parked = [message for due_ms, _, message in self._heap if due_ms == _PARKED_MS]
        if parked:
            self._heap = [entry for entry in self._heap if entry[0] != _PARKED_MS]
            heapq.heapify(self._heap)
            self._heap_bytes -= sum(len(m.content) + _OVERHEAD_BYTES for m in parked)
        for message in parked:
            self._unpark(message)
        runs, self._runs = self._runs, []
        pages = []
        for _, _, run in runs:
            while run and run[-1][0] == _PARKED_MS:
                pages.append(run.pop())
            if run:
                heapq.heappush(self._runs, (*run[0][:2], run))
        for _, _, handle, count in pages:
            self._paged -= count
            for _, _, message in self._take_page(handle):
                self._unpark(message)

    def _unpark(self, message: Message) -> None:
        exchange = self._vhost.exchanges.get(_exchange_of(message))
        is_there = exchange is None or exchange.is_there
        self._push(self._due_ms(message) if is_there else _PARKED_MS, message)

    # -- out ----------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        """When the next one is due by the monotonic clock; None when none waits."""
        firsts = [parts[0][0] for parts in (self._heap, self._runs) if parts]
        due_ms = min(firsts, default=_PARKED_MS)
        return due_ms if due_ms < _PARKED_MS else None

    def fire(self, now_ms: int) -> None:
        """Route what is due, at most a turn's share of it; the rest in the next turn."""
        for _ in range(_TURN_MESSAGES_MAX):
            message = self._pop(now_ms)
            if message is None:
                break
            self._route(message)
        due_ms = self.next_due_ms()
        if due_ms is None:
            return
        if due_ms > now_ms:
            self._vhost.broker.wake_at(due_ms)
        elif not self._firing:
            self._firing = True
            self._vhost.turn.later.append(self._fire_again)

    def _fire_again(self) -> None:
        self._firing = False
        self.fire(self._vhost.broker.clock.monotonic_ms())

    def _pop(self, now_ms: int) -> Message | None:
        while self._runs and self._runs[0][0] <= now_ms:
            if self._heap and self._heap[0][:2] < self._runs[0][:2]:
                break
            self._read_page()
        if not self._heap or self._heap[0][0] > now_ms:
            return None
        message = heapq.heappop(self._heap)[2]
        self._heap_bytes -= len(message.content) + _OVERHEAD_BYTES
        return message

    def _route(self, message: Message) -> None:
        vhost = self._vhost
        name = _exchange_of(message)
        names = message.names[_DUE.size + 1 + message.names[_DUE.size] :]
        exchange = vhost.exchanges.get(name)
        batch = 0
        if exchange is not None:
            content = waited(message.content)
            plain = Message(names, content)
            try:
                keys = [*said.routing_keys(plain.routing_key, plain.header), *plain.hidden_keys]
                offered = Offered(names, content, message.persistent)
                found = route(vhost.exchanges, exchange, keys, offered)
            except ChannelError as error:  # the type of an exchange on the way is not there
                log.warning(
                    "exchange '%s': a delayed message goes on waiting: %s", name, error.text
                )
                self._push(_PARKED_MS, message)
                return
            queues = vhost.reach(found)
            batches = vhost.dead_letters.publish(queues, names, content, message.persistent)
            batch = vhost.tickets.all_of([one for one in batches if one >= 0])
        if message.stored:
            vhost.when_durable(batch, lambda: vhost.store.settle(QUEUE_ID, message))

    # -- residence ----------------------------------------------------------------------------

    def _write_out(self) -> None:
        """The later half, of what does not wait for a commit to begin: the store is about to say
        where it keeps that, and a page cannot be told later."""
        entries = sorted(self._heap)
        known = [entry for entry in entries if not entry[2].stored or entry[2].segment]
        later = known[len(known) // 2 :]
        if len(later) <= len(entries) // 4:
            self._patience = len(entries) * 5 // 4
            return
        gone = {entry[1] for entry in later}
        self._heap = [entry for entry in entries if entry[1] not in gone]
        self._heap_bytes = sum(len(entry[2].content) + _OVERHEAD_BYTES for entry in self._heap)
        self._patience = 0
        pages = deque(map(self._write_page, _cut(later)))
        heapq.heappush(self._runs, (*pages[0][:2], pages))
        self._paged += len(later)

    def _write_page(self, entries: Sequence[Entry]) -> tuple[int, int, int, int]:
        rows: list[Row] = [
            (due, order, m.names, m.content, m.persistent, m.stored, m.segment, m.index)
            for due, order, m in entries
        ]
        handle = self._vhost.spool.write(marshal.dumps(rows))
        return entries[0][0], entries[0][1], handle, len(rows)

    def _read_page(self) -> None:
        pages = heapq.heappop(self._runs)[2]
        _, _, handle, count = pages.popleft()
        if pages:
            heapq.heappush(self._runs, (*pages[0][:2], pages))
        self._paged -= count
        for entry in self._take_page(handle):
            heapq.heappush(self._heap, entry)
            self._heap_bytes += len(entry[2].content) + _OVERHEAD_BYTES

    def _take_page(self, handle: int) -> Iterator[Entry]:
        rows: list[Row] = marshal.loads(self._vhost.spool.take(handle))  # noqa: S302 - our own
        for due, order, names, content, persistent, stored, segment, index in rows:
            message = Message(names, content, persistent)
            message.stored, message.segment, message.index = stored, segment, index
            yield due, order, message

    def discard(self) -> None:
        """The vhost is deleted."""
        for _, _, pages in self._runs:
            for _, _, handle, _ in pages:
                self._vhost.spool.drop(handle)
        self._runs, self._heap = [], []
        self._heap_bytes = self._paged = 0


def _exchange_of(message: Message) -> str:
    start = _DUE.size + 1
    end = start + message.names[_DUE.size]
    return message.names[start:end].decode("utf-8", "surrogateescape")


def _cut(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Into pages, in order; what is parked is in pages of its own."""
    pages: list[Sequence[Entry]] = []
    start = size = 0
    for at, (due_ms, _, message) in enumerate(entries):
        cost = len(message.content) + _OVERHEAD_BYTES
        if at > start and (
            at - start >= limits.PAGE_MESSAGES_MAX
            or size + cost > limits.PAGE_BYTES_MAX
            or due_ms == _PARKED_MS != entries[start][0]
        ):
            pages.append(entries[start:at])
            start, size = at, 0
        size += cost
    pages.append(entries[start:])
    return pages
