"""What is known of every message, and when that knowledge is broken.

Theory. A *copy* is one message in one queue. Each run of the broker is a *life*. A copy is
*certain* once its publish was confirmed (or its transaction committed), or once it came out of a
queue in a later life than it was published in: it was on disc then. It is *settled* when its ack
was sent; that is *proven* when a persistent message published behind the ack on the same
connection was confirmed: frames of a connection are handled in order, and the store puts every
ack it has into the commit that it puts together. Proven copies are *gone*.

Broken is: a certain copy that was never settled is missing (lost); a gone copy comes back; a
copy comes back in the life in which it was acked; a copy that was delivered before comes without
the redelivered flag; a body differs; order within publisher and queue differs; a transient copy
survives.

Decides truth. Never talks to the broker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Copy:
    """One message in one queue. acked: the life in which its ack was sent, 0 none."""

    number: int
    queue: str
    publisher: str
    size: int
    life: int
    persistent: bool
    certain: bool = False
    seen: bool = False
    held: bool = False
    acked: int = 0


@dataclass
class Figures:
    """What the rounds amount to."""

    published: int = 0
    confirmed: int = 0
    proven: int = 0
    recovered: int = 0
    lost: int = 0
    back: int = 0
    returned: int = 0


def body_of(number: int, size: int) -> bytes:
    """A body that tells its number and whose every byte is known."""
    head = b"%d %d " % (number, size)
    return head + (b"%08d" % (number % 100_000_000) * (size // 8 + 1))[:size]


@dataclass
class Witness:
    """All copies there are. Every method that hears something adds to `broken`."""

    life: int = 1
    copies: dict[tuple[str, int], Copy] = field(default_factory=dict)
    gone: set[tuple[str, int]] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    last: dict[tuple[str, str, str], int] = field(default_factory=dict)
    number: int = 0

    # -- publishing ---------------------------------------------------------------------------

    def next_body(self, size: int) -> bytes:
        self.number += 1
        return body_of(self.number, size)

    def sent(
        self, queues: Iterable[str], publisher: str, size: int, *, persistent: bool
    ) -> list[Copy]:
        """The message of the last `next_body` is on its way to these queues."""
        return self.sent_as(self.number, queues, publisher, size, persistent=persistent)

    def sent_as(
        self,
        number: int,
        queues: Iterable[str],
        publisher: str,
        size: int,
        *,
        persistent: bool = True,
    ) -> list[Copy]:
        """A message that was given its body earlier is on its way."""
        self.figures.published += 1
        made = [Copy(number, queue, publisher, size, self.life, persistent) for queue in queues]
        for copy in made:
            self.copies[copy.queue, copy.number] = copy
        return made

    def confirmed(self, copies: Sequence[Copy]) -> None:
        self.figures.confirmed += 1
        for copy in copies:
            copy.certain = True

    # -- consuming ----------------------------------------------------------------------------

    def received(self, queue: str, receiver: str, body: bytes, redelivered: bool) -> Copy | None:
        """A delivery; None for a message that should not have come.

        receiver: one connection. Between two of them we do not know who was served first.
        """
        number, _, rest = body.partition(b" ")
        key = queue, int(number)
        copy = self.copies.get(key)
        if copy is None:
            known = "acknowledged, and back" if key in self.gone else "never sent"
            self.figures.back += key in self.gone
            self._break(f"{key}: {known}")
            return None
        if body != body_of(copy.number, copy.size):
            self._break(f"{key}: body of {len(rest)} bytes differs")
        if copy.held:
            self._break(f"{key}: delivered twice at a time")
        if copy.acked == self.life:
            self.figures.back += 1
            self._break(f"{key}: acknowledged, and back in the same life")
        if copy.life < self.life:
            copy.certain = True
            if not copy.persistent:
                self._break(f"{key}: transient, and back after a restart")
        self._check_flag(receiver, copy, redelivered)
        copy.seen = copy.held = True
        copy.acked = 0
        return copy

    def _check_flag(self, receiver: str, copy: Copy, redelivered: bool) -> None:
        if redelivered:
            return
        key = copy.queue, copy.number
        if copy.seen:
            self._break(f"{key}: delivered before, and not flagged")
        line = copy.queue, copy.publisher, receiver
        if self.last.get(line, 0) > copy.number:
            self._break(f"{key}: first delivered after {self.last[line]}")
        self.last[line] = copy.number

    def handed_back(self, copies: Iterable[Copy]) -> None:
        """About to be requeued."""
        for copy in copies:
            copy.held = False

    def acking(self, copies: Iterable[Copy]) -> None:
        """About to be acknowledged or rejected for good."""
        for copy in copies:
            copy.held = False
            copy.acked = self.life

    def proven(self, copies: Iterable[Copy]) -> None:
        """What was acked is so for good."""
        for copy in copies:
            self.figures.proven += 1
            self._forget(copy)

    def dropped(self, queue: str) -> None:
        """The queue was deleted for good, with what was in it."""
        for copy in self.of(queue):
            self._forget(copy)

    def purging(self, queue: str) -> list[Copy]:
        copies = self.of(queue)
        self.acking(copies)
        return copies

    def _forget(self, copy: Copy) -> None:
        key = copy.queue, copy.number
        if self.copies.pop(key, None) is not None:
            self.gone.add(key)

    # -- after a restart ----------------------------------------------------------------------

    def restarted(self) -> None:
        """The broker is another process now."""
        self.life += 1
        self.last.clear()
        for copy in list(self.copies.values()):
            copy.held = False
            if not copy.persistent:
                self._forget(copy)

    def of(self, queue: str) -> list[Copy]:
        return [copy for copy in self.copies.values() if copy.queue == queue]

    def owed(self, queue: str) -> int:
        """How many messages must be in the queue."""
        return sum(copy.certain and not copy.acked for copy in self.of(queue))

    def drained(self, queue: str, copies: Sequence[Copy]) -> None:
        """These came out, in this order, and then the queue was empty."""
        self.figures.recovered += len(copies)
        there = set(map(id, copies))
        for copy in self.of(queue):
            if id(copy) in there:
                continue
            if copy.certain and not copy.acked:
                self.figures.lost += 1
                self._break(f"{(queue, copy.number)}: confirmed in life {copy.life}, and lost")
            self._forget(copy)
        self._check_order(queue, copies)

    def _check_order(self, queue: str, copies: Sequence[Copy]) -> None:
        life = 0
        last: dict[str, int] = {}
        for copy in copies:
            if copy.life < life or copy.number < last.get(copy.publisher, 0):
                self._break(f"{(queue, copy.number)}: out of order")
            life = copy.life
            last[copy.publisher] = copy.number

    def _break(self, what: str) -> None:
        self.broken.append(f"life {self.life}: {what}")
