"""A backlog with priorities: one backlog a level, the highest that is not empty goes first.

Decides which level a message belongs to (RabbitMQ: rabbit_priority_queue; a message without a
priority has 0, one above the queue's maximum has the maximum) and how a level and a position in it
make one position. Within a level everything is as in `mqd.broker.backlog`.
"""

from __future__ import annotations

from collections.abc import Iterator

from mqd.amqp import properties
from mqd.broker.backlog import Backlog, Sum
from mqd.broker.message import Message
from mqd.broker.ports import Spool
from mqd.broker.room import Room
from mqd.broker.shelf import Shelf

_ROOMY = Room()
_LEVELS_MAX = 256


class PriorityBacklog:
    """The calls of `Backlog`. A level costs nothing until a message comes for it."""

    __slots__ = ("_count", "_counts_bodies", "_levels", "_limits", "_spool", "_top")

    def __init__(
        self,
        spool: Spool,
        limit_messages: int,
        limit_bytes: int,
        top: int,
        room: Room = _ROOMY,
        shelf: Shelf | None = None,
    ) -> None:
        """top: x-max-priority, 1 to 255. Each level has limits of its own, all share the room."""
        self._spool = spool
        self._limits = (limit_messages, limit_bytes, room, shelf)
        self._top = top
        self._levels: dict[int, Backlog] = {}
        self._count = 0
        self._counts_bodies = False

    def __len__(self) -> int:
        return self._count

    def _level_of(self, message: Message) -> tuple[int, Backlog]:
        level = min(properties.priority(message.header) or 0, self._top)
        found = self._levels.get(level)
        if found is None:
            found = self._levels[level] = Backlog(self._spool, *self._limits)
            if self._counts_bodies:
                found.count_bodies()
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        return level, found

    def _first(self) -> tuple[int, Backlog]:
        for level, backlog in self._levels.items():
            if backlog:
                return level, backlog
        raise IndexError("the queue is empty")

    def push(self, message: Message) -> None:
        self._level_of(message)[1].push(message)
        self._count += 1

    def push_redelivered(self, message: Message) -> None:
        self._level_of(message)[1].push_redelivered(message)
        self._count += 1

    def pop(self) -> tuple[int, Message, bool]:
        level, backlog = self._first()
        position, message, redelivered = backlog.pop()
        self._count -= 1
        return position * _LEVELS_MAX + level, message, redelivered

    def peek(self) -> Message:
        return self._first()[1].peek()

    def put_back(self, position: int, message: Message) -> None:
        within, level = divmod(position, _LEVELS_MAX)
        self._levels[level].put_back(within, message)
        self._count += 1

    def skip(self, message: Message) -> int:
        level, backlog = self._level_of(message)
        return backlog.skip() * _LEVELS_MAX + level

    @property
    def arrived_count(self) -> int:
        """How many came by now."""
        return sum(backlog.arrived_count for backlog in self._levels.values())

    @property
    def returned_count(self) -> int:
        """How many of those that came back wait."""
        return sum(backlog.returned_count for backlog in self._levels.values())

    def take_delivered(self) -> Iterator[Message]:
        for backlog in self._levels.values():
            for message in backlog.take_delivered():
                self._count -= 1
                yield message

    def clear(self) -> int:
        count, self._count = self._count, 0
        for backlog in self._levels.values():
            backlog.clear()
        return count

    def count_bodies(self) -> None:
        self._counts_bodies = True
        for backlog in self._levels.values():
            backlog.count_bodies()

    @property
    def ready_bytes(self) -> int:
        return sum(backlog.ready_bytes for backlog in self._levels.values())

    def ready_sum(self) -> Sum:
        total = Sum()
        for backlog in self._levels.values():
            total = total.plus(backlog.ready_sum())
        return total

    @property
    def resident_count(self) -> int:
        return sum(backlog.resident_count for backlog in self._levels.values())

    @property
    def resident_bytes(self) -> int:
        return sum(backlog.resident_bytes for backlog in self._levels.values())

    def resident(self) -> Iterator[Message]:
        for backlog in self._levels.values():
            yield from backlog.resident()
