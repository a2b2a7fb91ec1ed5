"""Answers that hold only while this node writes the shard wait here until the log says it does.

Theory. A node that stood still, or was cut off, cannot know that another one writes its shard by
now. But whoever takes a shard over begins with an entry of its own, and from then on the log takes
nothing of the older writer. So a frame of ours that lands after a question came proves that nobody
else had begun when the question was put. Any frame will do. When none is made in the same turn, one
that says nothing is; no more than one of these is under way, and what is asked meanwhile waits for
the next: however many ask, the log grows by an entry a round trip.

Decides which frame proves what. Never decides what is answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mqd.cluster.shards.writer import Frame

if TYPE_CHECKING:
    from mqd.cluster.shards.shard import QueueLog, Shard

_ENTRY_BYTES: Final = 128  # about what an entry that says nothing takes on a disc

Proved = Callable[[bool], None]


@dataclass(slots=True, eq=False)
class _Asked:
    """offered: frames when it came."""

    queue: QueueLog
    proved: Proved
    offered: int


class Proofs:
    """Of one shard."""

    def __init__(self) -> None:
        self._asked: list[_Asked] = []  # no frame proves it yet
        self._waiting: deque[tuple[int, _Asked]] = deque()  # the number of the frame that will
        self._own = 0  # the number of the last frame that says nothing

    def ask(self, shard: Shard, queue: QueueLog, proved: Proved) -> None:
        """proved(True) once that is certain, and all that the queue had to tell is permanent;
        proved(False) when another node writes the shard, or the queue is no more."""
        self._asked.append(_Asked(queue, proved, shard.log.offered))
        shard.touch(queue)

    def look(self, shard: Shard) -> None:
        """Frames landed, or were made."""
        self._answer(shard.log.landed)
        ready = [one for one in self._asked if not shard.has_to_tell(one.queue)]
        if not ready:
            return
        if ready[-1].offered == shard.log.offered and self._own <= shard.log.landed:
            self._offer(shard, ready[-1].queue)
        number = shard.log.offered
        for one in ready:
            if shard.queues.get(one.queue.state.id) is not one.queue:
                self._asked.remove(one)
                _tell(one, False)
            elif one.offered < number:
                self._asked.remove(one)
                self._waiting.append((number, one))

    def _offer(self, shard: Shard, queue: QueueLog) -> None:
        if shard.log.writer.room:
            shard.log.offer(Frame(queue.subject, [], lambda seq: None))
            shard.wasted(queue, _ENTRY_BYTES)
            self._own = shard.log.offered

    def _answer(self, landed: int) -> None:
        while self._waiting and self._waiting[0][0] <= landed:
            _tell(self._waiting.popleft()[1], True)

    def end(self, landed: int) -> None:
        """This node does not write the shard any more, and its queues live elsewhere."""
        self._answer(landed)
        left = [*(one for _, one in self._waiting), *self._asked]
        self._waiting.clear()
        self._asked.clear()
        for one in left:
            _tell(one, False)


def _tell(one: _Asked, holds: bool) -> None:
    one.proved(holds)
    one.queue.end_turn()
