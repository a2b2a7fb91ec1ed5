"""From the log of a shard to the messages that its queues have.

Decides what every record means, in order: the one reading of the log, after which any node has the
same queues as the one that wrote. Never reads the log itself and never changes a live queue.

What an older writer appended after a newer epoch does not count (the engine refuses such appends
already: `writer`). A number that was enqueued once is not enqueued again.

LIMIT: the messages of a shard are in memory until its queues have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mqd.broker.message import Message
from mqd.broker.seen import ByOrigin, seen_of
from mqd.cluster.ports import Entry
from mqd.cluster.shards import records
from mqd.cluster.shards.index import QueueIndex
from mqd.cluster.shards.records import FIRST_NUMBER, Part, Record, number_of
from mqd.storage.format import Damaged


@dataclass(slots=True)
class QueueState:
    """One queue. origins: by origin, the numbers that are in."""

    id: int
    next_number: int = FIRST_NUMBER
    messages: dict[int, Message] = field(default_factory=dict)
    origins: ByOrigin = field(default_factory=dict)
    index: QueueIndex = field(default_factory=QueueIndex)
    parts: list[Part] = field(default_factory=list)
    part_seq: int = 0
    part_bytes: int = 0

    def in_order(self) -> Iterator[Message]:
        """Its messages, the oldest first."""
        return (self.messages[number] for number in sorted(self.messages))


class Replay:
    """Takes the entries of a log one after the other."""

    def __init__(self, log: str) -> None:
        self.queues: dict[int, QueueState] = {}
        self.epoch = 0
        self.frames = 0
        self.ignored = 0  # entries of older epochs
        self._log = log

    def take(self, entry: Entry) -> None:
        """The next entry of the log. Raises Damaged; the state is as if it were not there."""
        self.frames += 1
        record = records.read(entry.data)
        if record.opens is not None:
            self.epoch = max(self.epoch, record.epoch)
            return
        if record.epoch < self.epoch:
            self.ignored += 1
            return
        queue_id = _queue_of(self._log, entry.subject)
        state = self.queues.get(queue_id)
        if state is None:
            state = self.queues[queue_id] = QueueState(queue_id)
        _apply(state, record, entry.seq, len(entry.data))


def _queue_of(log: str, subject: str) -> int:
    try:
        return int(subject.removeprefix(f"{log}."))
    except ValueError:
        raise Damaged(f"no queue has the subject {subject}") from None


def subject_of(log: str, queue_id: int) -> str:
    """Of the queue's frames."""
    return f"{log}.{queue_id}"


def _apply(state: QueueState, record: Record, seq: int, size: int) -> None:
    """size: of the frame; it counts for its messages, or for itself."""
    index = state.index
    if record.enqueued:
        _enqueue(state, record.enqueued, seq, size)
    elif record.kept:
        _keep(state, record.kept, seq, size)
    elif record.part is not None:
        _part(state, record.part, seq, size)
    else:
        index.told(size)
    for origin, ranges in record.origins.items():
        seen_of(state.origins, origin).add_all(ranges)
    for number, count in record.returns.items():
        message = state.messages.get(number)
        if message is not None:
            message.delivery_count = max(message.delivery_count, count)
    if record.purge is not None:
        for number in index.purged(record.purge.through, record.purge.kept):
            state.messages.pop(number, None)
    for first, count in record.settled:
        for number in range(first, first + count):
            index.settled(number)
            state.messages.pop(number, None)
    if record.checkpoint is not None:
        state.next_number = max(state.next_number, record.checkpoint.next_number)
        for origin, ranges in record.checkpoint.origins.items():
            seen_of(state.origins, origin).add_all(ranges)


def _enqueue(state: QueueState, messages: list[Message], seq: int, size: int) -> None:
    first = number_of(messages[0])
    if first < state.next_number:
        state.index.told(size)
        return  # in already: sent again after an answer was lost
    state.index.enqueued(first, len(messages), size, seq)
    for message in messages:
        state.messages[number_of(message)] = message
    state.next_number = first + len(messages)


def _keep(state: QueueState, messages: list[Message], seq: int, size: int) -> None:
    state.index.kept([number_of(message) for message in messages], size, seq)
    for message in messages:
        number = number_of(message)
        state.messages[number] = message
        state.next_number = max(state.next_number, number + 1)


def _part(state: QueueState, part: Part, seq: int, size: int) -> None:
    """The pieces of a message follow each other among the frames of its queue. A message is there
    when all of them are: a writer may have ended before."""
    parts = state.parts
    known = not part.keeps and part.number < state.next_number
    follows = parts and (parts[-1].number, parts[-1].index) == (part.number, part.index - 1)
    if known or not (part.index == 0 or follows):
        state.index.told(size)
        return
    if part.index == 0:
        parts.clear()
        state.part_seq, state.part_bytes = seq, 0
    parts.append(part)
    state.part_bytes += size
    if len(parts) < part.count:
        return
    message = records.joined(parts)
    parts.clear()
    if part.keeps:
        _keep(state, [message], state.part_seq, state.part_bytes)
    else:
        _enqueue(state, [message], state.part_seq, state.part_bytes)
