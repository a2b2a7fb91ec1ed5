"""How much one connection may publish before it has to wait: for the disc, or for others.

Theory. Four things may grow faster than they go away. Persistent messages gather while the disc
writes those before them: a connection whose read added to them is read no further once there are
too many, until they are on their way (RabbitMQ: credit flow; the state "flow" of list_connections).
A message to many queues is work out of proportion to its bytes: after so many copies frames wait
for the next turn. Dead letters go a share at a time: whoever made more is read on when those are
under way, or they would gather in memory. Nor may too much be on its way to another node, whose
queues are published to. All are looked at when there is something to count, never
message by message.

Decides when a connection that publishes is slowed. Never reads: `Gate` is shut and opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mqd import limits
from mqd.amqp.outlet import Turn
from mqd.broker.dead_letter import DeadLetters
from mqd.broker.entries import ConnectionEntry
from mqd.broker.ports import MessageStore
from mqd.transport.gate import FLOW, KEPT, LINKS, TURN, Gate

_SHOWN_MS: Final = 1000  # how long a state that comes and goes is seen (RabbitMQ: credit_flow)


class Intake:
    """Of an open connection. `read_on(reason)` opens the gate and handles what waited."""

    __slots__ = (
        "_copies",
        "_entry",
        "_flow",
        "_gate",
        "_letters",
        "_read_on",
        "_slowed_ms",
        "_store",
        "_turn",
    )

    def __init__(
        self, entry: ConnectionEntry, gate: Gate, turn: Turn, read_on: Callable[[int], None]
    ) -> None:
        self._store: MessageStore = entry.vhost.store
        self._letters: DeadLetters = entry.vhost.dead_letters
        self._flow = entry.vhost.broker.flow
        self._entry = entry
        self._gate = gate
        self._turn = turn
        self._read_on = read_on
        self._copies = 0
        self._slowed_ms = 0

    def count(self) -> tuple[int, int, int]:
        """What gathers for the disc, the dead letters ever made, and what went to nodes that have
        to be waited for."""
        return self._store.gathered_count, self._letters.taken, self._flow.hits

    def added(self, size: int, before: tuple[int, int, int]) -> None:
        """After a read of that size the count is not what it was before."""
        gathered, letters, hits = self.count()
        if gathered > before[0]:
            self._took(size)
        if letters > before[1]:
            self._buried()
        if hits > before[2]:
            self._gate.shut(LINKS)
            self._slow()
            self._flow.waiting.append(lambda: self._read_on(LINKS))

    def _slow(self) -> None:
        self._entry.slowed = True
        self._slowed_ms = 0

    def _took(self, size: int) -> None:
        """Persistent messages were added to the store."""
        if self._store.press(size):
            self._gate.shut(FLOW)
            self._slow()
            self._entry.vhost.pressing.append(lambda: self._read_on(FLOW))

    def _buried(self) -> None:
        """Dead letters were made: more may wait than the next turn takes."""
        turns = self._letters.turns_behind
        if turns:
            self._gate.shut(TURN)
            self._wait(turns)

    def _wait(self, turns: int) -> None:
        if turns:
            self._turn.later.append(lambda: self._wait(turns - 1))
        else:
            self._read_on(TURN)

    def charge(self, copies: int) -> bool:
        """A message is published to so many queues; whether it was the last one of this turn."""
        self._copies += copies
        if self._copies <= limits.COPIES_MAX:
            return False
        self._copies = 0
        self._gate.shut(TURN)
        self._turn.later.append(lambda: self._read_on(TURN))
        return True

    def tick(self, now_ms: int) -> None:
        """Forget, a moment later, that it was slowed."""
        if self._gate.is_shut(KEPT):
            self._slow()
        if not self._entry.slowed or self._gate.is_shut(FLOW | LINKS | KEPT):
            return
        if not self._slowed_ms:
            self._slowed_ms = now_ms
        elif now_ms - self._slowed_ms >= _SHOWN_MS:
            self._entry.slowed = False
