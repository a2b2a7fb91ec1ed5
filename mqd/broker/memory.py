"""The broker's ports in memory: for tests, and for a broker that is to keep nothing.

Decides nothing of its own: what is given is kept in dictionaries, and a proposal is applied and
done at once. Never used where a durable message has to be durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.message import Message
from mqd.broker.ports import Done

if TYPE_CHECKING:
    from mqd.broker.broker import Broker


class MemoryStore:
    """A MessageStore whose batches are durable when `commit` is called, or at once.

    kept: what a restart would find: queue id → index → message; counts: the delivery counts it
    would find, by queue id and index. As in the real store a message
    has a segment once its commit began; from then on its place is its identity, since a backlog
    brings it back from a page as another object.
    """

    def __init__(
        self, *, commit_at_once: bool = True, wall_ms: Callable[[], int] = lambda: 0
    ) -> None:
        self.durable_batch = 0
        self.on_durable: Callable[[], None] = lambda: None
        self.on_relief: Callable[[], None] = lambda: None
        self.gathered_max = 1 << 30  # messages from which on `press` says so
        self.kept: dict[int, dict[int, Message]] = {}
        self.counts: dict[tuple[int, int], int] = {}
        self.wall_ms = wall_ms
        self.streams: dict[int, MemoryStream] = {}
        self.delivered: dict[int, list[Message]] = {}
        self.commits_at_once = commit_at_once
        self.batch = 1
        self._index = 0
        self._gathered: list[Message] = []

    def append(self, queue_id: int, message: Message) -> int:
        self._index += 1
        message.index = self._index
        self.kept.setdefault(queue_id, {})[message.index] = message
        if self.commits_at_once:
            message.segment = self.durable_batch = self.batch
            return 0
        self._gathered.append(message)
        return self.batch

    @property
    def gathered_count(self) -> int:
        return len(self._gathered) + sum(len(one._gathered) for one in self.streams.values())

    def press(self, size: int) -> bool:
        del size
        return len(self._gathered) >= self.gathered_max

    def commit(self) -> None:
        """Everything so far is durable now."""
        gathered, self._gathered = self._gathered, []
        self.on_relief()
        for message in gathered:
            message.segment = self.batch
        for stream in list(self.streams.values()):
            stream.commit()
        self.durable_batch = self.batch
        self.batch += 1
        self.on_durable()

    def settle(self, queue_id: int, message: Message) -> None:
        kept = self.kept.get(queue_id, {})
        assert message.segment or kept.get(message.index) is message, "settled by a copy"
        message.settled = True
        kept.pop(message.index, None)
        self.counts.pop((queue_id, message.index), None)

    def returned(self, queue_id: int, message: Message) -> None:
        assert not message.settled, "a settled message needs no count"
        self.counts[queue_id, message.index] = message.delivery_count

    def settle_all(self, queue_id: int, keep: Iterable[Message]) -> None:
        kept = {message.index: message for message in keep}
        for each in [each for each in self.counts if each[0] == queue_id and each[1] not in kept]:
            del self.counts[each]
        if kept:
            self.kept[queue_id] = kept
        else:
            self.kept.pop(queue_id, None)

    def stream(self, queue_id: int) -> MemoryStream:
        return self.streams.setdefault(queue_id, MemoryStream(self, queue_id))

    def mark_delivered(self, queue_id: int, message: Message) -> None:
        self.delivered.setdefault(queue_id, []).append(message)

    def recover(self) -> Iterator[tuple[int, Message, bool]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class MemoryPage:
    """All of a stream that can be read."""

    first: int
    messages: list[Message]

    @property
    def end(self) -> int:
        return self.first + len(self.messages)


class MemoryStream:
    """A StreamLog in a list. chunks: (first offset, wall-clock ms) of what each commit added.

    `rules` is what it was told to keep; it keeps all, unless `drop` is called.
    """

    def __init__(self, store: MemoryStore, queue_id: int) -> None:
        self.on_growth: Callable[[], None] = lambda: None
        self.first_offset = 0
        self.chunks: list[tuple[int, int]] = []
        self.rules: tuple[int | None, int | None, int | None] = (None, None, None)
        self._store = store
        self._queue_id = queue_id
        self._messages: list[Message] = []
        self._gathered: list[Message] = []

    @property
    def next_offset(self) -> int:
        return self.first_offset + len(self._messages)

    @property
    def bytes(self) -> int:
        return sum(len(message.content) for message in self._messages)

    @property
    def segment_count(self) -> int:
        return 1 if self._messages else 0

    @property
    def last_chunk_offset(self) -> int:
        return self.chunks[-1][0] if self.chunks else self.next_offset

    def append(self, message: Message) -> int:
        self._gathered.append(message)
        if self._store.commits_at_once:
            self.commit()
            return 0
        return self._store.batch

    def commit(self) -> None:
        """What gathered can be read."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            self.chunks.append((self.next_offset, self._store.wall_ms()))
            self._messages += gathered
            self.on_growth()

    def drop(self, count: int) -> None:
        """As retention does."""
        del self._messages[:count]
        self.first_offset += count

    def read(self, offset: int) -> MemoryPage | None:
        if offset >= self.next_offset:
            return None
        return MemoryPage(self.first_offset, list(self._messages))

    def offset_of(self, wall_ms: int) -> int:
        found = [first for first, at_ms in self.chunks if at_ms >= wall_ms]
        return max(found[0], self.first_offset) if found else self.next_offset

    def keep(self, bytes_max: int | None, age_max_s: int | None, segment_bytes: int | None) -> None:
        self.rules = (bytes_max, age_max_s, segment_bytes)

    def delete(self) -> None:
        self._store.streams.pop(self._queue_id, None)


class MemorySpool:
    """A Spool in a dictionary."""

    def __init__(self) -> None:
        self.pages: dict[int, bytes] = {}
        self._handle = 0

    def write(self, page: bytes) -> int:
        self._handle += 1
        self.pages[self._handle] = page
        return self._handle

    def take(self, handle: int) -> bytes:
        return self.pages.pop(handle)

    def read(self, handle: int, start: int = 0, size: int | None = None) -> bytes:
        return self.pages[handle][start : None if size is None else start + size]

    def drop(self, handle: int) -> None:
        del self.pages[handle]


class MemoryTopology:
    """A Topology that applies what is proposed, at once. Set `broker` before the first call."""

    broker: Broker

    def __init__(self) -> None:
        self._queue_id = 0

    def new_queue_id(self) -> int:
        self._queue_id += 1
        return self._queue_id

    def put_exchange(self, definition: ExchangeDefinition, done: Done) -> None:
        self.broker.apply_put_exchange(definition)
        done(None)

    def delete_exchange(
        self, vhost: str, name: str, done: Done, *, if_unused: bool = False
    ) -> None:
        self.broker.apply_delete_exchange(vhost, name)
        done(None)

    def put_queue(self, definition: QueueDefinition, done: Done) -> None:
        self.broker.apply_put_queue(definition)
        done(None)

    def delete_queue(self, definition: QueueDefinition, done: Done) -> None:
        self.broker.apply_delete_queue(definition.vhost, definition.name)
        done(None)

    def put_binding(self, definition: BindingDefinition, done: Done) -> None:
        self.broker.apply_put_binding(definition)
        done(None)

    def delete_binding(self, definition: BindingDefinition, done: Done) -> None:
        self.broker.apply_delete_binding(definition)
        done(None)
