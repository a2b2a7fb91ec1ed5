"""Which numbers of each origin have come to a queue, so that one that comes again is known.

Decides how many are remembered. Never decides what becomes of a message. An origin is a process
that publishes for its clients (`mqd.broker.broker: Broker.origin`); it numbers what it sends.

Numbers mostly grow, but need not: what a home did not take since it was none comes again when it is
one, behind what was sent to it last. So it is not the highest number that counts but every single
one; they are kept as ranges. Gaps are the rule too: an origin counts over all of its queues.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Final

ORIGINS_MAX: Final = 64  # of a queue: those that published last
RANGES_MAX: Final = 4096  # what is below them all counts as having come


class Seen:
    """See the file's charter."""

    __slots__ = ("_ends", "_firsts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """ranges: (first number, how many)."""
        self._firsts: list[int] = []
        self._ends: list[int] = []
        self.add_all(ranges)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            return len(self._firsts) >= RANGES_MAX
        return number < self._ends[at]

    def add(self, number: int) -> None:
        """It has come."""
        firsts, ends = self._firsts, self._ends
        if ends and number == ends[-1]:
            ends[-1] = number + 1
            return
        at = bisect_right(firsts, number)
        if at and number < ends[at - 1]:
            return
        joins_before = at > 0 and ends[at - 1] == number
        joins_behind = at < len(firsts) and firsts[at] == number + 1
        if joins_before and joins_behind:
            ends[at - 1] = ends[at]
            del firsts[at], ends[at]
        elif joins_before:
            ends[at - 1] = number + 1
        elif joins_behind:
            firsts[at] = number
        else:
            firsts.insert(at, number)
            ends.insert(at, number + 1)
            if len(firsts) > 2 * RANGES_MAX:
                del firsts[:RANGES_MAX], ends[:RANGES_MAX]

    def drop(self, numbers: Iterable[int]) -> None:
        """They have not come after all."""
        firsts, ends = self._firsts, self._ends
        for number in numbers:
            at = bisect_right(firsts, number) - 1
            if at < 0 or number >= ends[at]:
                continue
            first, end = firsts[at], ends[at]
            left = [(first, number)] if first < number else []
            right = [(number + 1, end)] if number + 1 < end else []
            firsts[at : at + 1] = [one for one, _ in left + right]
            ends[at : at + 1] = [other for _, other in left + right]

    def add_all(self, ranges: Iterable[tuple[int, int]]) -> None:
        for first, count in ranges:
            if self._ends and first == self._ends[-1]:
                self._ends[-1] = first + count
            elif not self._ends or first > self._ends[-1]:
                self._firsts.append(first)
                self._ends.append(first + count)
            else:
                for number in range(first, first + count):
                    self.add(number)

    def ranges(self, count_max: int = RANGES_MAX) -> list[tuple[int, int]]:
        """The highest of them: (first number, how many)."""
        pairs = zip(self._firsts[-count_max:], self._ends[-count_max:], strict=True)
        return [(first, end - first) for first, end in pairs]


ByOrigin = dict[bytes, Seen]  # of one queue, those that published last at the end


def seen_of(origins: ByOrigin, origin: bytes) -> Seen:
    """What came of an origin, which is the one that published last."""
    seen = origins.pop(origin, None)
    if seen is None:
        seen = Seen()
        if len(origins) >= ORIGINS_MAX:
            del origins[next(iter(origins))]
    origins[origin] = seen
    return seen


class Numbered:
    """What a queue that keeps its messages in its node's own store knows of numbers; it ends with
    the process. batch: of the store, the last one that has a numbered message of the queue."""

    __slots__ = ("_late", "batch", "origins")

    def __init__(self, origins: ByOrigin | None = None) -> None:
        self.origins: ByOrigin = origins if origins is not None else {}
        self.batch = 0
        self._late: deque[tuple[int, bytes, int]] = deque()  # batch, origin, number

    def knows(self, origin: bytes, number: int) -> bool:
        """Whether it has come. What it waits for is `batch`, at most."""
        return number in seen_of(self.origins, origin)

    def add(self, origin: bytes, number: int, batch: int, durable_batch: int) -> None:
        """It has come. durable_batch: up to which all is on disc."""
        seen_of(self.origins, origin).add(number)
        late = self._late
        while late and late[0][0] <= durable_batch:
            late.popleft()
        if batch > durable_batch:
            self.batch = batch
            late.append((batch, origin, number))

    def late(self, durable_batch: int) -> list[tuple[bytes, int]]:
        """Those that are not on disc."""
        return [(origin, number) for batch, origin, number in self._late if batch > durable_batch]
