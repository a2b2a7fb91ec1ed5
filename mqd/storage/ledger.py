"""Which records of a store are still owed, and which rows of the file are needed for that.

Decides when a row can go, when it can lose its messages, and which rows are worth rewriting.
Never touches the disc and never sees a body: it counts.

Theory. A row holds messages, or the news that messages of earlier rows are settled, or both.
Its messages are needed while one of them is unsettled. Its news is needed while a row it speaks
of is still there: were the news dropped earlier, a restart would bring settled messages back. So
each row with messages knows which commits carry news of it (`informers`), and `_needed` counts,
per commit, the rows its news is still needed for. When the last message of a row is settled the
row goes in the very commit that settles it, and no news of that is written at all: in a queue
that is consumed in order, rows come and go whole and the settled part stays empty.

How often a message was returned is news as well, and it can come again and again: when too many
commits inform about a row, the next one tells all that is known of it and the others can go.

In memory a row costs what its queue ids need, plus one byte a message once it is partly settled.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from mqd.broker.message import Message
from mqd.limits import (
    INFORMERS_MAX,
    REWRITE_BYTES_MAX,
    REWRITE_MESSAGES_MAX,
    REWRITE_ROWS_MAX,
    SLACK_BYTES_MIN,
    SMALL_ROW_BYTES,
    SMALL_ROWS_MAX,
)
from mqd.storage.format import INDEX_BITS, INDEX_MASK


class Row:
    """A row that holds unsettled messages.

    keys: of its records, in order; None when it holds its own segment whole. queue_ids: one for
    all, or one a record. settled: one byte a record, None while nothing is. counts: by place, how
    often a message was returned since the row was written. checked: a settle may come for what is
    settled already, because a queue of it was dropped.
    """

    __slots__ = (
        "id", "last", "keys", "queue_ids", "settled", "count", "remaining", "bytes", "live_bytes",
        "informers", "checked", "counts",
    )  # fmt: skip

    def __init__(
        self, row_id: int, queue_ids: Sequence[int], size: int, keys: array[int] | None = None
    ) -> None:
        self.id = row_id
        self.last = row_id if keys is None else keys[-1] >> INDEX_BITS
        self.keys = keys
        self.count = self.remaining = len(queue_ids)
        first = queue_ids[0]
        same = queue_ids.count(first) == self.count
        self.queue_ids: int | array[int] = first if same else array("Q", queue_ids)
        self.settled: bytearray | None = None
        self.bytes = self.live_bytes = size  # live: about what its unsettled messages need
        self.informers: list[int] = []
        self.checked = keys is not None
        self.counts: dict[int, int] | None = None

    def place(self, key: int) -> int:
        """Where the record of that key stands, -1 if it does not."""
        if self.keys is None:
            return key & INDEX_MASK
        at = bisect_left(self.keys, key)
        return at if at < self.count and self.keys[at] == key else -1

    def key(self, place: int) -> int:
        return self.keys[place] if self.keys is not None else self.id << INDEX_BITS | place

    def owners(self) -> Iterable[int]:
        return (self.queue_ids,) if isinstance(self.queue_ids, int) else set(self.queue_ids)

    def flags(self) -> bytearray:
        if self.settled is None:
            self.settled = bytearray(self.count)
        return self.settled

    def settled_keys(self) -> list[int]:
        return [self.key(at) for at, flag in enumerate(self.settled or b"") if flag]

    def counted_keys(self) -> dict[int, int]:
        """How often its unsettled messages were returned, by key."""
        settled = self.flags()
        counts = self.counts or {}
        return {self.key(at): count for at, count in counts.items() if not settled[at]}

    def unsettled_of(self, queue_id: int) -> Iterable[int]:
        """Places of what the queue still owes here."""
        settled = self.settled
        if isinstance(self.queue_ids, int):
            places: Iterable[int] = range(self.count) if self.queue_ids == queue_id else ()
        elif queue_id in self.queue_ids:
            places = [at for at, owner in enumerate(self.queue_ids) if owner == queue_id]
        else:
            return ()
        return places if settled is None else [at for at in places if not settled[at]]


class Ledger:
    """All rows of one store."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}  # with unsettled messages, by id, in order of ids
        self.bytes = 0  # of these rows on disc
        self.live_bytes = 0  # of these, about, what unsettled messages need
        self._merged: list[int] = []  # ids of rows that cover other segments than their own
        self._needed: dict[int, int] = {}
        self._of_queue: dict[int, dict[int, None]] = {}  # ids of rows it is owed in
        self._pinned: set[int] = set()  # damaged rows: evidence, never deleted
        self._gone: list[int] = []
        self._stripped: list[int] = []

    def add(
        self, row_id: int, queue_ids: Sequence[int], size: int, keys: array[int] | None = None
    ) -> Row:
        """A row with messages was written (or is about to be)."""
        row = self.rows[row_id] = Row(row_id, queue_ids, size, keys)
        if keys is not None:
            self._merged.insert(bisect_right(self._merged, row_id), row_id)
        self._index(row)
        self.bytes += size
        self.live_bytes += size
        return row

    def _index(self, row: Row) -> None:
        for queue_id in row.owners():
            self._of_queue.setdefault(queue_id, {})[row.id] = None

    def _unindex(self, row: Row) -> None:
        for queue_id in row.owners():
            rows = self._of_queue[queue_id]
            del rows[row.id]
            if not rows:
                del self._of_queue[queue_id]

    def holds(self, queue_id: int) -> bool:
        """Whether a row may owe something to the queue."""
        return queue_id in self._of_queue

    def pin(self, row_id: int) -> None:
        """Recovery: the row cannot be read; leave it where it is."""
        self._pinned.add(row_id)

    def find(self, segment: int) -> Row | None:
        """The row that holds the segment; None when all of it is settled."""
        row = self.rows.get(segment)
        if row is not None or not self._merged:
            return row
        at = bisect_right(self._merged, segment) - 1
        if at >= 0:
            row = self.rows[self._merged[at]]
            return row if segment <= row.last else None
        return None

    def settle(self, commit_id: int, messages: Sequence[Message]) -> list[int]:
        """Count them as settled; returns the keys that the commit must tell."""
        keys: list[int] = []
        partial: dict[int, Row] = {}  # by segment
        for segment, count in Counter([message.segment for message in messages]).items():
            row = self.find(segment)
            if row is None:
                continue
            if not row.checked:
                self._reduce(row, count)
            if row.remaining:
                partial[segment] = row
        if not partial:
            return keys
        for message in messages:
            row = partial.get(message.segment)
            if row is None or not row.remaining:
                continue
            key = message.segment << INDEX_BITS | message.index
            if not row.checked:
                row.flags()[message.index] = 1
            elif not self._settle_checked(row, key):
                continue
            keys.append(key)
        self._inform(commit_id, partial.values())
        return keys

    def _settle_checked(self, row: Row, key: int) -> bool:
        place = row.place(key)
        flags = row.flags()
        if place < 0 or flags[place]:
            return False
        flags[place] = 1
        self._reduce(row, 1)
        return row.remaining > 0

    def drop(self, commit_id: int, queue_id: int, last_segment: int, kept: Collection[int]) -> bool:
        """Count as settled what the queue owes up to a segment, but the keys kept.

        Returns whether the commit must tell it: whether a row is left that holds some of it.
        """
        partial: dict[int, Row] = {}
        for row_id in list(self._of_queue.get(queue_id, ())):
            row = self.rows[row_id]
            places = [
                at
                for at in row.unsettled_of(queue_id)
                if (key := row.key(at)) not in kept and key >> INDEX_BITS <= last_segment
            ]
            if not places:
                continue
            if len(places) < row.remaining:
                flags = row.flags()
                for at in places:
                    flags[at] = 1
                row.checked = True
                partial[row.id] = row
            self._reduce(row, len(places))
        self._inform(commit_id, partial.values())
        return bool(partial)

    def count(self, commit_id: int, counts: Mapping[int, int]) -> dict[int, int]:
        """Note how often messages were returned; returns what the commit must tell."""
        told: dict[int, int] = {}
        partial: dict[int, Row] = {}
        for key, count in counts.items():
            row = self.find(key >> INDEX_BITS)
            place = row.place(key) if row is not None else -1
            if row is None or place < 0 or (row.settled is not None and row.settled[place]):
                continue
            if row.counts is None:
                row.counts = {}
            row.counts[place] = told[key] = count
            partial[row.id] = row
        self._inform(commit_id, partial.values())
        return told

    def crowded(self, keys: Iterable[int]) -> list[Row]:
        """Of the rows that hold these keys, those that too many commits inform about."""
        rows = [self.find(segment) for segment in {key >> INDEX_BITS for key in keys}]
        crowded = {row.id: row for row in rows if row and len(row.informers) > INFORMERS_MAX}
        return list(crowded.values())

    def told_anew(self, commit_id: int, row: Row) -> None:
        """The commit, which informs about the row already, tells all that is known of it."""
        row.informers = [each for each in row.informers if each != commit_id]
        self._release(row)
        row.informers = [commit_id]

    def mark_settled(
        self,
        row: Row,
        places: Iterable[int],
        informers: Iterable[int],
        counts: dict[int, int],
    ) -> None:
        """Recovery: what earlier commits told about a row that was just added."""
        row.counts = counts or None
        flags = row.flags()
        count = 0
        for at in places:
            count += not flags[at]
            flags[at] = 1
        self._inform_all(row, informers)
        self._reduce(row, count)

    def _inform_all(self, row: Row, informers: Iterable[int]) -> None:
        for commit_id in informers:
            row.informers.append(commit_id)
            self._needed[commit_id] = self._needed.get(commit_id, 0) + 1

    def _inform(self, commit_id: int, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.remaining and (not row.informers or row.informers[-1] != commit_id):
                self._inform_all(row, (commit_id,))

    def _reduce(self, row: Row, count: int) -> None:
        row.remaining -= count
        assert row.remaining >= 0, "a message was settled twice"
        freed = row.bytes * count // row.count if row.remaining else row.live_bytes
        row.live_bytes -= freed
        self.live_bytes -= freed
        if not row.remaining:
            self._forget(row)
            (self._stripped if row.id in self._needed else self._gone).append(row.id)

    def _forget(self, row: Row) -> None:
        """The row's messages go."""
        del self.rows[row.id]
        self._unindex(row)
        if row.keys is not None:
            self._merged.remove(row.id)
        self.bytes -= row.bytes
        self._release(row)

    def _release(self, row: Row) -> None:
        """News of the row is no longer needed for its sake."""
        for commit_id in row.informers:
            left = self._needed[commit_id] = self._needed[commit_id] - 1
            if not left:
                del self._needed[commit_id]
                if commit_id not in self.rows and commit_id not in self._pinned:
                    self._gone.append(commit_id)

    def is_needed(self, commit_id: int) -> bool:
        """Whether news told by that commit is still needed."""
        return commit_id in self._needed

    def take_unneeded(self) -> tuple[list[int], list[int]]:
        """(ids of rows to delete, ids of rows whose messages to delete), each told once."""
        gone, self._gone = self._gone, []
        dead = set(gone)
        stripped = [row_id for row_id in self._stripped if row_id not in dead]
        self._stripped = []
        return gone, stripped

    def forget_news(self, commit_ids: Iterable[int]) -> None:
        """Recovery: these rows hold only news; those that nothing needs can go."""
        self._gone += [
            each for each in commit_ids if each not in self._needed and each not in self.rows
        ]

    def wants_rewrite(self) -> bool:
        """Whether the disc holds much more than what is owed, or holds it in crumbs."""
        slack = self.bytes - self.live_bytes
        return (slack > SLACK_BYTES_MIN and slack > self.live_bytes) or (
            len(self.rows) > SMALL_ROWS_MAX and self.bytes < len(self.rows) * (SMALL_ROW_BYTES // 4)
        )

    def runs(self) -> list[list[Row]]:
        """Runs of neighbours worth writing as one row, oldest first, each of bounded size.

        Time passes before the last is taken: see `still_worth`.
        """
        runs: list[list[Row]] = []
        run: list[Row] = []
        size = count = 0
        for row in self.rows.values():
            poor = row.remaining * 2 <= row.count or row.bytes < SMALL_ROW_BYTES
            size += row.bytes
            count += row.count
            if (
                run
                and poor
                and (
                    size <= REWRITE_BYTES_MAX
                    and count <= REWRITE_MESSAGES_MAX
                    and len(run) < REWRITE_ROWS_MAX
                )
            ):
                run.append(row)
                continue
            runs.append(run)
            run, size, count = ([row], row.bytes, row.count) if poor else ([], 0, 0)
        runs.append(run)
        return [run for run in runs if self.still_worth(run)]

    def still_worth(self, run: list[Row]) -> list[Row]:
        """What is left of a run; empty when rewriting it gains nothing."""
        left = [row for row in run if self.rows.get(row.id) is row]
        if len(left) > 1 or (left and left[0].remaining * 2 <= left[0].count):
            return left
        return []

    def replace(self, run: Sequence[Row], merged: Row) -> None:
        """A run of rows was written as one row, under the first one's id."""
        for row in run:
            self._unindex(row)
            self.bytes -= row.bytes
            self.live_bytes -= row.live_bytes
            if row.keys is not None:
                self._merged.remove(row.id)
            if row is not run[0]:
                del self.rows[row.id]
        self.rows[merged.id] = merged  # in place: the order of ids stays
        self._index(merged)
        self._merged.insert(bisect_right(self._merged, merged.id), merged.id)
        self.bytes += merged.bytes
        self.live_bytes += merged.bytes
        for row in run:
            self._release(row)
