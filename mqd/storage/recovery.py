"""What a store still owed when the node ended: rows minus what is settled.

Decides how rows, settled keys, drops and delivery counts add up to messages, and fills the ledger
on the way. Never changes the file.

Time to live over a restart: the disc knows by the wall clock when a message ends. When that clock
was set meanwhile the message ends as much earlier or later; its queue sees to it that it is never
later than if it had just come (`mqd.broker.expiry`). One whose time is over is recovered all the
same: it may have to be dead-lettered.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator

from mqd.broker.message import Message
from mqd.storage.format import INDEX_BITS, Drop, Records
from mqd.storage.ledger import Ledger
from mqd.storage.rows import read_messages, read_news


class Recovery:
    """One reading of one file."""

    def __init__(self, database: sqlite3.Connection, ledger: Ledger, wall_offset_ms: int) -> None:
        """wall_offset_ms: what the wall clock shows more than the monotonic one."""
        self._database = database
        self._ledger = ledger
        self._wall_offset_ms = wall_offset_ms
        self._counts: dict[int, int] = {}  # by key, the highest that was told
        self._settled: set[int] = set()
        self._informers: dict[int, list[int]] = {}  # segment to the commits with news of it
        self._drops: dict[int, list[tuple[int, Drop]]] = defaultdict(list)  # by queue id
        self.last_segment = 0  # the next commit must be above it

    def messages(self) -> Iterator[tuple[int, Message]]:
        """(queue id, message) in order of acceptance; complete only when it was exhausted."""
        row_ids, only_news = [], []
        for row_id, has_messages, told in read_news(self._database):
            row_ids.append(row_id)
            if not has_messages:
                only_news.append(row_id)
            self._settled.update(told.keys)
            for segment in {key >> INDEX_BITS for key in (*told.keys, *told.counts)}:
                self._informers.setdefault(segment, []).append(row_id)
            for key, count in told.counts.items():
                self._counts[key] = max(count, self._counts.get(key, 0))
            for drop in told.drops:
                self._drops[drop.queue_id].append((row_id, drop))
        self.last_segment = row_ids[-1] if row_ids else 0
        for row_id, size, records in read_messages(self._database):
            if records is None:
                self._ledger.pin(row_id)
            else:
                yield from self._row(row_id, size, records)
        self._ledger.forget_news(only_news)

    def _row(self, row_id: int, size: int, records: Records) -> Iterator[tuple[int, Message]]:
        self.last_segment = max(self.last_segment, records.keys[-1] >> INDEX_BITS)
        row = self._ledger.add(
            row_id, records.queue_ids, size, records.keys if records.moved else None
        )
        dead, informers = self._dead(row_id, records)
        if informers:
            counts = self._count(records)
            self._ledger.mark_settled(row, dead, sorted(informers), counts)
        for at, (queue_id, message) in enumerate(
            zip(records.queue_ids, records.messages, strict=True)
        ):
            if at not in dead:
                if message.expires_ms:
                    message.expires_ms = max(message.expires_ms - self._wall_offset_ms, 1)
                yield queue_id, message

    def _count(self, records: Records) -> dict[int, int]:
        """Give the messages their delivery counts; returns those that were told, by place.

        The row may know better: news that it was rewritten with goes only with the next commit.
        """
        counts: dict[int, int] = {}
        for at, key in enumerate(records.keys) if self._counts else ():
            count = self._counts.get(key, 0)
            if count > records.messages[at].delivery_count:
                counts[at] = records.messages[at].delivery_count = count
        return counts

    def _dead(self, row_id: int, records: Records) -> tuple[set[int], set[int]]:
        """(places of settled records, commits that say so)."""
        dead: set[int] = set()
        informers: set[int] = set()
        keys = records.keys
        segments = {key >> INDEX_BITS for key in keys} if records.moved else {row_id}
        told = segments & self._informers.keys()
        if told:
            dead.update(at for at, key in enumerate(keys) if key in self._settled)
            for segment in told:
                informers.update(self._informers[segment])
        for queue_id in self._drops.keys() & set(records.queue_ids):
            for commit_id, drop in self._drops[queue_id]:
                places = [
                    at
                    for at, key in enumerate(keys)
                    if records.queue_ids[at] == queue_id
                    and key >> INDEX_BITS <= drop.last_segment
                    and key not in drop.kept
                ]
                if places:
                    dead.update(places)
                    informers.add(commit_id)
        return dead, informers
