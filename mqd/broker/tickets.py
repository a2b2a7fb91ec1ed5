"""What a publish waits for that no commit of this vhost's store answers: another node, a shard.

Theory. `publish` of a queue returns a number: 0 when nothing has to be waited for, a batch of the
vhost's store, or REJECTED. Batches end in the order of their numbers, so the largest of several
stands for all. A ticket is a number beyond all batches, for one message that ends by itself, in any
order, and well or badly: `done` or `rejected`. Who wants to know how it ends says so with `wait`
in the turn in which publish returned it; one that has ended already is taken for done.

Decides how batches and tickets come together. Never knows who ends one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

REJECTED: Final = -1  # a queue did not take the message
TICKETS: Final = 1 << 62  # from here on a number is a ticket
Ended = Callable[[bool | None], None]


class Tickets:
    """Those of one vhost. when_durable: tells when a batch of its store has ended."""

    __slots__ = ("_calls", "_last", "_when_durable")

    def __init__(self, when_durable: Callable[[int, Callable[[], None]], None]) -> None:
        self._when_durable = when_durable
        self._last = TICKETS
        self._calls: dict[int, Ended | None] = {}  # those that have not ended

    def __len__(self) -> int:
        return len(self._calls)

    def new(self) -> int:
        """Somebody will end it, later than `publish` returns it."""
        ticket = self._last = self._last + 1
        self._calls[ticket] = None
        return ticket

    def done(self, ticket: int) -> None:
        """The message is safe. Whoever calls ends the turn."""
        call = self._calls.pop(ticket, None)
        if call is not None:
            call(True)

    def rejected(self, ticket: int) -> None:
        """The message was not taken, or nobody knows. Whoever calls ends the turn."""
        call = self._calls.pop(ticket, None)
        if call is not None:
            call(False)

    def forget(self, ticket: int) -> None:
        """Nobody will end it here: who waits is answered otherwise."""
        self._calls.pop(ticket, None)

    def misplaced(self, ticket: int) -> None:
        """The message is for another node to answer for: who sent it asks that. Whoever calls ends
        the turn."""
        call = self._calls.pop(ticket, None)
        if call is not None:
            call(None)

    def wait(self, ticket: int, call: Ended) -> None:
        """call(whether it was done, or None: it was misplaced), once; at once when it has ended.
        One waits for a ticket."""
        if ticket in self._calls:
            self._calls[ticket] = call
        else:
            call(True)

    def follow(self, ticket: int, result: int) -> None:
        """The ticket ends as what a publish returned later does."""
        if result < 0:
            self.rejected(ticket)
        elif result >= TICKETS:
            self.wait(result, lambda accepted: self._end(ticket, accepted))
        else:
            self._when_durable(result, lambda: self.done(ticket))

    def _end(self, ticket: int, accepted: bool | None) -> None:
        if accepted:
            self.done(ticket)
        else:
            self.rejected(ticket)

    def each(self, results: Sequence[int], call: Callable[[Sequence[int]], None]) -> None:
        """call(results) once their tickets have ended: what was done is 0 then, what was not is
        REJECTED. At once where there is none."""
        waiting = [place for place, result in enumerate(results) if result >= TICKETS]
        if not waiting:
            call(results)
            return
        settled = list(results)
        left = len(waiting)

        def ended(place: int, accepted: bool | None) -> None:
            nonlocal left
            settled[place] = 0 if accepted else REJECTED
            left -= 1
            if not left:
                call(settled)

        for place in waiting:
            self.wait(results[place], partial(ended, place))

    def all_of(self, results: Sequence[int]) -> int:
        """What the publishes of one message to several queues come to: REJECTED when one of them
        was, else what has to be waited for until all have ended."""
        if min(results, default=0) < 0:
            return REJECTED
        last = max(results, default=0)
        if last < TICKETS:
            return last
        several = [result for result in results if result]
        if len(several) == 1:
            return last
        ticket = self.new()

        def ended(settled: Sequence[int]) -> None:
            end = self.done if min(settled) >= 0 else self.rejected
            self._when_durable(max(settled), lambda: end(ticket))

        self.each(several, ended)
        return ticket
