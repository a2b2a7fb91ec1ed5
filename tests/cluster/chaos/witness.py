"""What is known of every message, in a few bytes each, and when that knowledge is broken.

Theory. A message has one queue. It is *confirmed* once basic.ack came for it and it was not
returned before; it is *acked* once our basic.ack for it was sent. A confirmed message that was
never acked must come out of its queue. At most one of its deliveries may not say that there was an
earlier one (redelivered); that one may be the last to reach us, over another link than the others.
What was neither confirmed nor refused may come or not. First deliveries of one publisher's link
to one consumer's link come in order. A queue whose home is given up for good (its node is reset or
forgotten) takes its messages with it.

Decides truth. Never talks to a broker.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

CONFIRMED, UNSURE, PLAIN, ACKED, GIVEN_UP = 1, 2, 4, 8, 16
PAD = 12  # digits: bodies have one length, so that publishers can reuse a header


def body_of(number: int) -> bytes:
    return b"%012d" % number


@dataclass
class Witness:
    """Every method that hears something adds to `broken`: (kind, queue) -> count."""

    queues: list[str]
    flags: bytearray = field(default_factory=bytearray)
    queue_of: array[int] = field(default_factory=lambda: array("B"))
    line_of: array[int] = field(default_factory=lambda: array("L"))
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seen_at: array[float] = field(default_factory=lambda: array("d"))
    seen_by: array[int] = field(default_factory=lambda: array("L"))
    names: dict[int, str] = field(default_factory=dict)  # of lines and consumers' links
    clock: Callable[[], float] = time.monotonic
    figures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.owed = [0] * len(self.queues)
        self._last: dict[tuple[int, int, int], int] = {}
        self._began = self.clock()

    # -- publishing ---------------------------------------------------------------------------

    def sent(self, queue: int, line: int) -> int:
        """A new message is on its way, on that publisher's line; its number."""
        self.flags.append(0)
        self.queue_of.append(queue)
        self.line_of.append(line)
        self.seen_at.append(0.0)
        self.seen_by.append(0)
        return len(self.flags) - 1

    def refused(self, number: int) -> None:
        """Returned, or basic.nack: a later confirm means nothing."""
        self.figures["refused"] += 1
        self.flags[number] |= UNSURE

    def confirmed(self, number: int) -> None:
        if self.flags[number] & UNSURE:
            return
        self.figures["confirmed"] += 1
        queue = self.queue_of[number]
        self.figures[f"confirmed {self.queues[queue][0]}"] += 1
        if not self.flags[number] & (ACKED | GIVEN_UP):
            self.owed[queue] += 1
        self.flags[number] |= CONFIRMED

    # -- consuming ----------------------------------------------------------------------------

    def received(self, queue: int, body: bytes, redelivered: bool, link: int) -> int | None:
        """A delivery; its number, or None when it is none of ours. link: a consumer's."""
        number = int(body) if len(body) == PAD and body.isdigit() else -1
        if not 0 <= number < len(self.flags) or self.queue_of[number] != queue:
            self._break("never sent there", queue, body.decode("latin-1"))
            return None
        flags = self.flags[number]
        self.figures["delivered"] += 1
        if redelivered:
            self.figures["redelivered"] += 1
            self.figures["back after ack"] += bool(flags & ACKED)
        elif flags & PLAIN and flags & ACKED:
            self._break("acknowledged twice, not flagged", queue, self._story(number, link))
        elif flags & PLAIN:
            self._break("delivered twice, not flagged", queue, self._story(number, link))
        else:
            at = queue, self.line_of[number], link
            if self._last.get(at, -1) > number:
                self._break("out of order", queue, number)
            self._last[at] = number
        self.figures["came after all"] += bool(flags & GIVEN_UP)
        if not redelivered:
            self.flags[number] = flags | PLAIN
            self.seen_at[number], self.seen_by[number] = self.clock() - self._began, link
        return number

    def acking(self, number: int) -> None:
        """About to be acknowledged."""
        flags = self.flags[number]
        if not flags & ACKED:
            self.figures["acked"] += 1
            self.flags[number] = flags | ACKED
            if flags & CONFIRMED and not flags & GIVEN_UP:
                self.owed[self.queue_of[number]] -= 1

    # -- counting -----------------------------------------------------------------------------

    def give_up(self, queue: int) -> None:
        """The queue's home is lost for good."""
        for number, flags in enumerate(self.flags):
            if self.queue_of[number] == queue and not flags & ACKED:
                self.flags[number] = flags | GIVEN_UP
                self.figures["given up"] += bool(flags & CONFIRMED)
        self.owed[queue] = 0

    def missing(self, queue: int) -> list[int]:
        """Confirmed and never acked."""
        return [
            number
            for number, flags in enumerate(self.flags)
            if self.queue_of[number] == queue
            and flags & CONFIRMED
            and not flags & (ACKED | GIVEN_UP)
        ]

    def lost(self, queue: int) -> None:
        """They do not come any more: written off, so that the next round starts clean."""
        for number in self.missing(queue):
            self._break("confirmed and lost", queue, number)
            self.flags[number] |= GIVEN_UP
        self.owed[queue] = 0

    def fail(self, kind: str, what: object) -> None:
        """Something that is about no message of ours."""
        self.broken[kind, ""] += 1
        self.examples.append(f"{kind}: {what}")

    def _story(self, number: int, link: int) -> str:
        """Of a message that comes again."""
        names, line, first = self.names, self.line_of[number], self.seen_by[number]
        confirmed = "confirmed" if self.flags[number] & CONFIRMED else "not confirmed"
        return (
            f"{number} ({confirmed}) of {names.get(line, line)}: "
            f"at {self.seen_at[number]:.3f} s to {names.get(first, first)}, "
            f"at {self.clock() - self._began:.3f} s to {names.get(link, link)}"
        )

    def _break(self, kind: str, queue: int, what: object) -> None:
        name = self.queues[queue]
        self.broken[kind, name] += 1
        if self.broken[kind, name] <= 3:
            self.examples.append(f"{name}: {kind}: {what}")

    def report(self) -> str:
        figures = ", ".join(f"{name} {count}" for name, count in sorted(self.figures.items()))
        broken = ", ".join(f"{queue} {kind} {n}" for (kind, queue), n in self.broken.items())
        return f"{figures}; broken: {broken or 'nothing'}"
