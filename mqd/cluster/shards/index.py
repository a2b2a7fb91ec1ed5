"""Where in the log the messages of one queue are, and which of its frames nobody needs any more.

Decides what compaction does to a queue: which frames go, and which messages of these are written
once more before. Never reads or writes the log.

Theory. The frames of a queue, in order of the log, hold live messages or garbage. A purge drops a
prefix of them. So a prefix is chosen in which no more is live than is garbage: what is live there
is repeated at the end of the log (KEEP), then the prefix goes. A queue that is consumed in order
repeats nothing; one message that is never acknowledged is repeated once in a while; and the log is
never much longer than twice what is live. Frames inside are therefore not removed one by one. What
would be forgotten with a prefix (numbers, origins) is repeated as well, as a checkpoint.

Of a frame is known: its sequence (0 until it landed; of the first piece, where a message takes
several), which of its messages are live, its bytes and those of the frames behind it that hold no
messages (`behind`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from typing import Final

GARBAGE_BYTES_MIN: Final = 4_194_304  # of a queue: less is not worth a purge
_TRIM: Final = 512


class Held:
    """A frame with messages. Bit n of `live`: its message n."""

    __slots__ = ("behind", "bytes", "count", "first", "live", "seq")

    def __init__(self, first: int, count: int, size: int, seq: int) -> None:
        self.first = first
        self.count = count
        self.live = (1 << count) - 1
        self.bytes = size
        self.behind = 0
        self.seq = seq

    @property
    def live_bytes(self) -> int:
        return self.bytes * self.live.bit_count() // self.count


class QueueIndex:
    """See the file's charter."""

    __slots__ = ("_by_number", "_by_seq", "_firsts", "_kept", "_start", "bytes", "live_bytes")

    def __init__(self) -> None:
        self.bytes = 0  # of all frames
        self.live_bytes = 0
        self._by_seq: list[Held] = []  # all of them, in the order of the log
        self._by_number: list[Held] = []  # those whose numbers count up: all but the repeated
        self._firsts: list[int] = []  # of these, their first numbers
        self._start = 0  # those before it in the last two are gone
        self._kept: dict[int, tuple[Held, int]] = {}  # of repeated messages: where

    # -- in -----------------------------------------------------------------------------------

    def enqueued(self, first: int, count: int, size: int, seq: int = 0) -> Held:
        """A frame of new messages, with numbers from `first` up to the next frame's."""
        held = Held(first, count, size, seq)
        self._by_seq.append(held)
        self._by_number.append(held)
        self._firsts.append(first)
        self.bytes += size
        self.live_bytes += size
        return held

    def kept(self, numbers: Collection[int], size: int, seq: int = 0) -> Held:
        """A frame that repeats these live messages, which are no longer where they were."""
        held = Held(0, len(numbers), size, seq)
        for bit, number in enumerate(numbers):
            self.settled(number)
            self._kept[number] = (held, bit)
        self._by_seq.append(held)
        self.bytes += size
        self.live_bytes += size
        return held

    def told(self, size: int) -> None:
        """A frame without messages."""
        self.bytes += size
        if self._by_seq:
            self._by_seq[-1].behind += size

    # -- out ----------------------------------------------------------------------------------

    def settled(self, number: int) -> bool:
        """False when it was already, or is not known."""
        found = self._kept.pop(number, None)
        if found is None:
            at = bisect_right(self._firsts, number, self._start) - 1
            if at < self._start:
                return False
            found = (self._by_number[at], number - self._firsts[at])
        held, bit = found
        if bit >= held.count or not held.live >> bit & 1:
            return False
        before = held.live_bytes
        held.live &= ~(1 << bit)
        self.live_bytes -= before - held.live_bytes
        return True

    def purged(self, through: int, kept: Collection[int]) -> list[int]:
        """All up to that number but some; returns those it settled."""
        gone = [number for number in self.live() if number <= through and number not in kept]
        for number in gone:
            self.settled(number)
        return gone

    def live(self) -> Iterator[int]:
        """The numbers of what is not settled, in order."""
        yield from sorted(self._kept)
        for held in self._by_number[self._start :]:
            yield from bits(held)

    @property
    def garbage_bytes(self) -> int:
        return self.bytes - self.live_bytes

    # -- compaction ---------------------------------------------------------------------------

    def plan(self, garbage_min: int = GARBAGE_BYTES_MIN) -> list[Held] | None:
        """The first frames, which should go after what is live in them was repeated; None: it is
        not worth it. They may be no frame at all, where those without messages should go."""
        if self.garbage_bytes < max(garbage_min, self.live_bytes):
            return None
        live = size = end = 0
        for at, held in enumerate(self._by_seq):
            if not held.seq:
                break  # it has not landed
            live += held.live_bytes
            size += held.bytes + held.behind
            if 2 * live <= size:
                end = at + 1
        if not end and self._by_seq:
            return None
        return self._by_seq[:end]

    def numbers_in(self, held: Held) -> list[int]:
        """Of a frame, those that are live."""
        if held.first:
            return list(bits(held))
        return [number for number, (where, _) in self._kept.items() if where is held]

    def first_seq(self, past: int) -> int:
        """Of the first frame behind so many, 0 when it has not landed or there is none."""
        return self._by_seq[past].seq if past < len(self._by_seq) else 0

    def dropped(self, count: int) -> None:
        """The first frames were purged from the log."""
        gone = self._by_seq[:count]
        del self._by_seq[:count]
        self._start += sum(held.first > 0 for held in gone)
        if self._start > _TRIM and 2 * self._start > len(self._firsts):
            del self._by_number[: self._start]
            del self._firsts[: self._start]
            self._start = 0
        self.bytes = sum(held.bytes + held.behind for held in self._by_seq)
        self.live_bytes = sum(held.live_bytes for held in self._by_seq)


def bits(held: Held) -> Iterator[int]:
    """The live numbers of a frame of new messages."""
    live, number = held.live, held.first
    while live:
        if live & 1:
            yield number
        live >>= 1
        number += 1
