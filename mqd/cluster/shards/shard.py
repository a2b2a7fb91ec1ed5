"""The queues of one shard on the node that writes it: what gathers, and when it is appended.

Decides which frames a turn makes, when a settled message is told of, and when a queue's frames are
compacted. Never decides what a queue does with a message, and never calls the engine but to compact
(`log` appends).

Theory. As in `mqd.storage.messages`: what is appended and settled is pushed onto lists, and at the
end of the turn each queue that has news makes frames of it, as far as the window of appends has
room. While it has none the lists gather, so frames grow as the engine is slow; there is no batch
size but a frame's. Nobody waits to hear that a message is settled: such news rides with the next
messages, or goes after a lull.

Every message that comes has an origin and a number of that origin: those of the node it came from,
or of this one. They are in the frame of the message, never earlier, so that a message that is sent
again after a failure is known if and only if it is in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mqd.broker.homes import Flow
from mqd.broker.message import Message
from mqd.broker.seen import ByOrigin, seen_of
from mqd.broker.tickets import Tickets
from mqd.cluster.shards import records
from mqd.cluster.shards.index import GARBAGE_BYTES_MIN
from mqd.cluster.shards.log import ShardLog
from mqd.cluster.shards.proofs import Proofs
from mqd.cluster.shards.records import Checkpoint, Origins, Purge, give_number, number_of
from mqd.cluster.shards.replay import QueueState, subject_of
from mqd.cluster.shards.writer import Frame
from mqd.limits import SETTLED_LULL_S, SHARD_GATHERED_BYTES_MAX

_TOLD_MAX = 16  # origins that a checkpoint has: it has to fit an entry
_SETTLED_MAX = 4096  # of a queue: more of them wait for no lull


@dataclass(slots=True, eq=False)
class Pending:
    """A message that has not landed. number: that it has at its origin. moved: it was in the queue
    before that was in this log. also: more numbers that are known to have come when it landed."""

    message: Message
    ticket: int
    origin: bytes
    number: int
    moved: bool = False
    also: Sequence[tuple[bytes, int]] = ()


@dataclass(slots=True, eq=False)
class QueueLog:
    """One queue. `state.messages` is empty: its queue has them.

    counts: delivery counts above 0 of messages that are not settled. flying: what was put into
    frames that have not landed, in order. again: (ticket, origin) of messages that came again.
    known: numbers that came before the queue was in this log. open: those that have not landed.
    arrived(message): it landed.
    """

    state: QueueState
    subject: str
    tickets: Tickets
    end_turn: Callable[[], None]
    arrived: Callable[[Message], None] = lambda message: None
    new: list[Pending] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    returns: dict[int, int] = field(default_factory=dict)
    purge: Purge | None = None
    counts: dict[int, int] = field(default_factory=dict)
    flying: list[Pending] = field(default_factory=list)
    again: list[tuple[int, bytes]] = field(default_factory=list)
    told_again: int = 0  # of `again`, the first ones: those that are in frames
    known: ByOrigin = field(default_factory=dict)
    open: set[tuple[bytes, int]] = field(default_factory=set)
    is_dirty: bool = False


class Shard:
    """See the file's charter. log: set before the first message comes."""

    log: ShardLog

    def __init__(
        self, name: str, wall_offset_ms: Callable[[], int], flow: Flow | None = None
    ) -> None:
        """name: of its log. wall_offset_ms(): what the wall clock shows more than the other. flow:
        who publishes waits while too much of it has gathered."""
        self.name = name
        self.queues: dict[int, QueueLog] = {}
        self.states: dict[int, QueueState] = {}  # as the log has them: queues that nobody asked for
        self.gathered_bytes = 0  # of messages that have not landed
        self.fat: dict[QueueLog, None] = {}  # those with so much garbage:
        self.fat_bytes = GARBAGE_BYTES_MIN
        self.wall_offset_ms = wall_offset_ms
        self.proofs = Proofs()
        self._flow = flow if flow is not None else Flow()
        self._presses = False  # whether somebody may wait
        self._loop = asyncio.get_running_loop()
        self._dirty: dict[QueueLog, None] = {}  # with messages or news to tell at once
        self._lull: asyncio.TimerHandle | None = None
        self._resting: dict[QueueLog, None] = {}  # with news that can wait
        self._woken = False

    def adopt(self, state: QueueState, tickets: Tickets, end_turn: Callable[[], None]) -> QueueLog:
        """A queue as the log has it; its messages are the caller's to take."""
        queue = QueueLog(state, subject_of(self.name, state.id), tickets, end_turn)
        for number, message in state.messages.items():
            if message.delivery_count:
                queue.counts[number] = message.delivery_count
        self.queues[state.id] = queue
        return queue

    def forget(self, queue: QueueLog) -> None:
        """It is no more: nothing is told of it."""
        self.queues.pop(queue.state.id, None)
        self._dirty.pop(queue, None)
        self._resting.pop(queue, None)
        self.fat.pop(queue, None)
        queue.is_dirty = True  # `touch` leaves it alone

    def take_over(self, queue: QueueLog) -> tuple[list[Pending], list[tuple[int, bytes]]]:
        """What has not landed, in order, and what `again` has: somebody else's from now on."""
        taken = [*queue.flying, *queue.new], queue.again
        self.gathered_bytes -= sum(len(one.message.content) for one in queue.new)
        queue.flying, queue.new, queue.again = [], [], []
        queue.told_again = 0
        queue.open.clear()
        return taken

    def relieve(self) -> None:
        """Nobody has to wait for it."""
        if self._presses:
            self._presses = False
            self._flow.relieve()

    # -- what its queues say ------------------------------------------------------------------

    def append(self, queue: QueueLog, pending: Pending) -> None:
        """A message came, whose ticket waits for it to land."""
        state = queue.state
        message = pending.message
        give_number(message, state.next_number)
        state.next_number += 1
        queue.open.add((pending.origin, pending.number))
        seen_of(queue.state.origins, pending.origin).add(pending.number)
        queue.new.append(pending)
        self.gathered_bytes += len(message.content)
        if self.gathered_bytes > SHARD_GATHERED_BYTES_MAX:
            self._presses = True
            self._flow.hits += 1
        if message.delivery_count:
            queue.counts[number_of(message)] = message.delivery_count
        self.touch(queue)

    def touch(self, queue: QueueLog) -> None:
        """It has something to be told at once."""
        if not queue.is_dirty:
            queue.is_dirty = True
            self._dirty[queue] = None
            if not self._woken:
                self._woken = True
                self._loop.call_soon(self.flush)

    def settle(self, queue: QueueLog, message: Message) -> None:
        if message.settled:
            return
        message.settled = True
        number = number_of(message)
        queue.counts.pop(number, None)
        queue.returns.pop(number, None)
        queue.settled.append(number)
        self._tell(queue)

    def returned(self, queue: QueueLog, message: Message) -> None:
        number = number_of(message)
        queue.counts[number] = queue.returns[number] = message.delivery_count
        self._tell(queue)

    def settle_all(self, queue: QueueLog, keep: Sequence[Message]) -> None:
        kept = frozenset(map(number_of, keep))
        pending = queue.flying or queue.new  # these are in no queue yet
        end = number_of(pending[0].message) if pending else queue.state.next_number
        queue.purge = Purge(end - 1, kept)
        queue.settled.clear()
        queue.counts = {number: n for number, n in queue.counts.items() if number in kept}
        self._tell(queue)

    def _tell(self, queue: QueueLog) -> None:
        """It has news that nobody waits for."""
        if queue.is_dirty:
            return
        if len(queue.settled) >= _SETTLED_MAX:
            self.touch(queue)
            return
        self._resting[queue] = None
        if self._lull is None:
            self._lull = self._loop.call_later(SETTLED_LULL_S, self._end_lull)

    def _end_lull(self) -> None:
        self._lull = None
        resting, self._resting = self._resting, {}
        for queue in resting:
            self.touch(queue)

    # -- frames -------------------------------------------------------------------------------

    def flush(self) -> None:
        """Make frames of what has gathered, as far as there is room."""
        self._woken = False
        log = self.log
        while self._dirty and log.writer.room:
            queue = next(iter(self._dirty))
            del self._dirty[queue]
            queue.is_dirty = False
            self._resting.pop(queue, None)
            self._frames(queue)
        self.proofs.look(self)
        log.send()

    def has_to_tell(self, queue: QueueLog) -> bool:
        """Whether it has something that is in no frame yet, and is to be in one soon."""
        return queue in self._dirty

    def wasted(self, queue: QueueLog, size: int) -> None:
        """A frame was offered that says nothing of the queue, whose subject it has."""
        index = queue.state.index
        index.told(size)
        if index.garbage_bytes > self.fat_bytes:
            self.fat[queue] = None

    def _frames(self, queue: QueueLog) -> None:
        """All that the queue has to tell."""
        new, queue.new = queue.new, []
        again = queue.again[queue.told_again :]
        queue.told_again += len(again)
        queue.flying += new
        known, queue.known = queue.known, {}
        for origin, seen in known.items():
            self._tell_frame(queue, [records.origin_section({origin: seen.ranges()})])
        first, more = _news(queue)
        runs = records.cut([pending.message for pending in new])
        start = 0
        for run in runs[:-1]:
            end = start + len(run)
            self._enqueue(queue, new[start:end])
            start = end
        if runs:
            self._enqueue(queue, new[start:], first, again)
        elif first or again:
            self._tell_frame(queue, first, again)
        for section in more:
            self._tell_frame(queue, [section])
        self._forget(queue)

    def _forget(self, queue: QueueLog) -> None:
        """What the frames told is settled."""
        index = queue.state.index
        purge, queue.purge = queue.purge, None
        if purge is not None:
            index.purged(purge.through, purge.kept)
        for number in queue.settled:
            index.settled(number)
        queue.settled = []
        if index.garbage_bytes > self.fat_bytes:
            self.fat[queue] = None

    def _tell_frame(
        self, queue: QueueLog, sections: list[bytes], again: Sequence[tuple[int, bytes]] = ()
    ) -> None:
        queue.state.index.told(sum(map(len, sections)))

        def landed(seq: int) -> None:
            self._end_tickets(queue, (), len(again))

        self.log.offer(Frame(queue.subject, sections, landed))

    def _enqueue(
        self,
        queue: QueueLog,
        run: Sequence[Pending],
        news: Sequence[bytes] = (),
        again: Sequence[tuple[int, bytes]] = (),
    ) -> None:
        """One frame of messages, or several of one message."""
        messages = [pending.message for pending in run]
        bodies = records.messages_sections(queue.state.id, messages, self.wall_offset_ms())
        size = sum(map(len, bodies))
        held = queue.state.index.enqueued(number_of(messages[0]), len(run), size)
        tickets = [pending.ticket for pending in run]
        marks = [(pending.origin, pending.number) for pending in run]
        marks += [mark for pending in run for mark in pending.also]
        content_bytes = sum(len(message.content) for message in messages)

        def begun(seq: int) -> None:
            held.seq = held.seq or seq

        def landed(seq: int) -> None:
            held.seq = held.seq or seq
            self.gathered_bytes -= content_bytes
            if self._presses and self.gathered_bytes <= SHARD_GATHERED_BYTES_MAX // 2:
                self.relieve()
            if not queue.flying or queue.flying[0] is not run[0]:
                return  # taken over
            del queue.flying[: len(run)]
            queue.open.difference_update(marks)
            for message in messages:
                queue.arrived(message)
            self._end_tickets(queue, tickets, len(again))

        for body in bodies[:-1]:
            self.log.offer(Frame(queue.subject, [body], begun))
        last = [bodies[-1]]
        last.append(records.origin_section(_origins(marks)))
        self.log.offer(Frame(queue.subject, [*last, *news], landed))

    def _end_tickets(self, queue: QueueLog, ended: Sequence[int], again_count: int) -> None:
        done = queue.tickets.done
        for ticket in ended:
            done(ticket)
        if again_count and queue.told_again:
            for ticket, _ in queue.again[:again_count]:
                done(ticket)
            del queue.again[:again_count]
            queue.told_again -= again_count
        queue.end_turn()

    # -- compaction: what `upkeep` asks -------------------------------------------------------

    def repeat(
        self, queue: QueueLog, messages: Sequence[Message], landed: Callable[[int], None]
    ) -> None:
        """Append once more those of these messages that are still live, and a checkpoint, whose
        sequence `landed` gets when all are permanent."""
        if queue.is_dirty:
            del self._dirty[queue]
            queue.is_dirty = False
        self._frames(queue)  # a checkpoint knows all that came before
        state = queue.state
        live = set(state.index.live())
        again = [message for message in messages if number_of(message) in live]
        for message in again:
            message.delivery_count = queue.counts.get(number_of(message), 0)
        for run in records.cut(again):
            self._keep(queue, run)
        latest = list(state.origins.items())[-_TOLD_MAX:]
        point = Checkpoint(state.next_number, {origin: seen.ranges() for origin, seen in latest})
        section = records.checkpoint_section(point)
        state.index.told(len(section))
        self.log.offer(Frame(queue.subject, [section], landed))
        self.log.send()

    def _keep(self, queue: QueueLog, run: Sequence[Message]) -> None:
        # What was read from the log has times of the wall clock already.
        bodies = records.messages_sections(queue.state.id, run, 0, keeps=True)
        numbers = [number_of(message) for message in run]
        held = queue.state.index.kept(numbers, sum(map(len, bodies)))

        def landed(seq: int) -> None:
            held.seq = held.seq or seq

        for body in bodies:
            self.log.offer(Frame(queue.subject, [body], landed))


def _news(queue: QueueLog) -> tuple[list[bytes], list[bytes]]:
    """What is settled and has come back: sections of the first frame, and of one each."""
    first = []
    if queue.returns:
        first.append(records.return_section(queue.returns))
        queue.returns = {}
    if queue.purge is not None:
        first.append(records.purge_section(queue.purge))
    settles = records.settle_sections(queue.settled)
    return first + settles[:1], settles[1:]


def _origins(marks: Sequence[tuple[bytes, int]]) -> Origins:
    """The numbers, by origin."""
    numbers: dict[bytes, list[int]] = {}
    for origin, number in marks:
        numbers.setdefault(origin, []).append(number)
    return {origin: records.ranges_of(those) for origin, those in numbers.items()}
