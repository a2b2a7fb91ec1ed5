"""The `SharedStore` port over one shard: the messages of a vhost's queues that are in it.

Decides what a queue is answered: which ticket to wait for. Never decides when anything is written
(`shard`) and never speaks to the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mqd.broker.message import Message
from mqd.broker.ports import StreamLog, Unlanded
from mqd.broker.seen import ByOrigin, Seen, seen_of
from mqd.broker.tickets import Tickets
from mqd.cluster.shards.replay import QueueState
from mqd.cluster.shards.shard import Pending, QueueLog, Shard
from mqd.cluster.shards.upkeep import Upkeep


def _ignore() -> None:
    """Nobody waits for batches here."""


class ShardStore:
    """See the file's charter, and `mqd.broker.ports.SharedStore`."""

    def __init__(
        self,
        shard: Shard,
        tickets: Tickets,
        origin: bytes,
        end_turn: Callable[[], None],
        upkeep: Upkeep,
    ) -> None:
        """origin: of the messages that this node numbers. end_turn(): something may have to be
        sent to clients."""
        self.durable_batch = 0
        self.on_durable: Callable[[], None] = _ignore
        self.on_relief: Callable[[], None] = _ignore
        self.shard = shard
        self._tickets = tickets
        self._origin = origin
        self._end_turn = end_turn
        self._upkeep = upkeep

    def _queue(self, queue_id: int) -> QueueLog:
        found = self.shard.queues.get(queue_id)
        if found is None:
            state = self.shard.states.pop(queue_id, None) or QueueState(queue_id)
            found = self.shard.adopt(state, self._tickets, self._end_turn)
        return found

    def attach(self, queue_id: int, arrived: Callable[[Message], None]) -> Iterable[Message]:
        queue = self._queue(queue_id)
        queue.arrived = arrived
        found = list(queue.state.in_order())
        queue.state.messages.clear()
        for message in found:
            message.stored = True
            if message.expires_ms:
                message.expires_ms = max(message.expires_ms - self.shard.wall_offset_ms(), 1)
        return found

    def enqueue(self, queue_id: int, message: Message, moved: bool = False) -> int:
        ticket = self._tickets.new()
        pending = Pending(message, ticket, self._origin, ticket, moved)
        self.shard.append(self._queue(queue_id), pending)
        return ticket

    def enqueue_from(self, queue_id: int, message: Message, origin: bytes, number: int) -> int:
        ticket = self._tickets.new()
        self.shard.append(self._queue(queue_id), Pending(message, ticket, origin, number))
        return ticket

    def known(self, queue_id: int, origin: bytes, number: int) -> int | None:
        queue = self._queue(queue_id)
        seen = queue.state.origins.get(origin)
        if seen is None or number not in seen:
            return None
        if (origin, number) not in queue.open:
            return 0
        ticket = self._tickets.new()
        queue.again.append((ticket, origin))  # it goes with the next frame, behind the message
        self.shard.touch(queue)
        return ticket

    def know(self, queue_id: int, origins: ByOrigin, late: Iterable[tuple[bytes, int]]) -> None:
        queue = self._queue(queue_id)
        late = list(late)
        for origin, seen in origins.items():
            seen_of(queue.state.origins, origin).add_all(seen.ranges())
            first = Seen(seen.ranges())
            if queue.new:
                first.drop(number for one, number in late if one == origin)
            queue.known[origin] = first
        if queue.new:
            queue.new[-1].also = late
            queue.open.update(late)
        self.shard.touch(queue)

    def numbers(self, queue_id: int) -> ByOrigin:
        queue = self._queue(queue_id)
        found: ByOrigin = {}
        for origin, seen in queue.state.origins.items():
            found[origin] = Seen(seen.ranges())
            found[origin].drop(number for one, number in queue.open if one == origin)
        return found

    def pending(self, queue_id: int) -> list[tuple[int, Message]]:
        queue = self._queue(queue_id)
        own = []
        unlanded, again = self.shard.take_over(queue)
        for one in unlanded:
            if one.origin != self._origin:
                self._tickets.misplaced(one.ticket)
                continue
            if one.ticket != one.number:
                self._tickets.forget(one.ticket)
            one.message.delivery_count += one.moved  # others may have come before it by now
            own.append((one.number, one.message))
        for ticket, origin in again:
            if origin == self._origin:
                self._tickets.forget(ticket)
            else:
                self._tickets.misplaced(ticket)
        return own

    def take_over(self, queue_id: int) -> tuple[Sequence[Unlanded], Sequence[int]]:
        unlanded, again = self.shard.take_over(self._queue(queue_id))
        found = [Unlanded(one.origin, one.number, one.ticket, one.message) for one in unlanded]
        return found, [ticket for ticket, _ in again]

    def prove(self, queue_id: int, proved: Callable[[bool], None]) -> None:
        self.shard.proofs.ask(self.shard, self._queue(queue_id), proved)

    def settle(self, queue_id: int, message: Message) -> None:
        self.shard.settle(self._queue(queue_id), message)

    def returned(self, queue_id: int, message: Message) -> None:
        self.shard.returned(self._queue(queue_id), message)

    def settle_all(self, queue_id: int, keep: Iterable[Message]) -> None:
        self.shard.settle_all(self._queue(queue_id), list(keep))

    def drop(self, queue_id: int) -> None:
        queue = self._queue(queue_id)
        self.shard.forget(queue)
        for one in (*queue.flying, *queue.new):  # it was taken, and is gone with its queue
            self._tickets.done(one.ticket)
        for ticket, _ in queue.again:
            self._tickets.done(ticket)
        self._upkeep.deleted(queue_id)
        self._end_turn()

    # -- what a store of one node has besides ---------------------------------------------------

    @property
    def gathered_count(self) -> int:
        return 0

    def press(self, size: int) -> bool:
        return False

    def append(self, queue_id: int, message: Message) -> int:
        return self.enqueue(queue_id, message)

    def stream(self, queue_id: int) -> StreamLog:
        raise AssertionError("streams are on one node")

    def mark_delivered(self, queue_id: int, message: Message) -> None:
        """All that another node takes over may have been delivered."""

    def recover(self) -> Iterator[tuple[int, Message, bool]]:
        return iter(())
