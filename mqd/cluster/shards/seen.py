"""Which numbers of one origin have come to a queue, so that one that comes again is known.

Decides how many are remembered. Never decides what becomes of a message.

Numbers mostly grow, but need not: what a home did not take since it was none comes again when it is
one, behind what was sent to it last. So it is not the highest number that counts but every single
one; they are kept as ranges. Gaps are the rule too: an origin counts over all of its queues.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

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
