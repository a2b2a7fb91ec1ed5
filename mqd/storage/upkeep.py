"""Keeps a store's file proportional to what it owes.

Decides when rows are rewritten and when the file gives room back, in steps small enough that a
commit which arrives meanwhile hardly waits. Never runs beside a commit: the store starts a step
where it would fall asleep, and after a number of commits under load.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Any

from mqd.limits import SLACK_BYTES_MIN, VACUUM_PAGES
from mqd.storage.format import Damaged
from mqd.storage.ledger import Ledger, Row
from mqd.storage.rows import Rewritten, Source, rewrite
from mqd.storage.writer import Writer

log = logging.getLogger(__name__)


class Upkeep:
    """The background work of one store."""

    def __init__(self, database: sqlite3.Connection, writer: Writer, ledger: Ledger) -> None:
        self._database = database
        self._writer = writer
        self._ledger = ledger
        self._runs: list[list[Row]] = []  # still to do, last first
        self._hopeless: tuple[int, int] | None = (
            None  # rows and slack of a store that has no run worth rewriting
        )
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        self._bytes_peak = pages * 4096  # since the file was last asked for room
        self._shrinking = False
        self._spared: set[int] = set()  # rows of runs that hold a damaged one

    def is_due(self) -> bool:
        """Whether a step would do something."""
        self._bytes_peak = max(self._bytes_peak, self._ledger.bytes)
        if self._runs or self._shrinking:
            return True
        if self._bytes_peak > 2 * self._ledger.bytes + SLACK_BYTES_MIN:
            self._shrinking = True
            return True
        if not self._ledger.wants_rewrite():
            self._hopeless = None
            return False
        if self._hopeless is None:
            return True
        rows, slack = self._shape()
        return rows > 2 * self._hopeless[0] or slack > 2 * self._hopeless[1]

    def _shape(self) -> tuple[int, int]:
        return len(self._ledger.rows), self._ledger.bytes - self._ledger.live_bytes

    def start(self, then: Callable[[], None]) -> None:
        """Do one step on the writer thread, then call `then` on the loop's."""
        if self._shrinking:
            self._shrink(then)
        else:
            self._rewrite(then)

    def _rewrite(self, then: Callable[[], None]) -> None:
        if not self._runs:
            self._runs = [
                run
                for run in reversed(self._ledger.runs())
                if self._spared.isdisjoint(row.id for row in run)
            ]
            if not self._runs:
                self._hopeless = self._shape()
        run: list[Row] = []
        while self._runs and not run:
            run = self._ledger.still_worth(self._runs.pop())
        if not run:
            self._writer.loop.call_soon(then)
            return
        sources = [
            Source(
                row.id,
                bytes(row.settled or b""),
                dict(row.counts or {}),
                self._ledger.is_needed(row.id),
            )
            for row in run
        ]

        def done(result: Any, error: BaseException | None) -> None:
            if error is None:
                self._replaced(run, result)
            else:
                log.warning("rows %d to %d stay as they are: %s", run[0].id, run[-1].id, error)
                self._gave_up(run, error)
            then()

        self._writer.submit(lambda: rewrite(self._database, sources), done)

    def _gave_up(self, run: list[Row], error: BaseException) -> None:
        if isinstance(error, Damaged):
            self._spared.update(row.id for row in run)
        else:  # the disc: what it does not take now it will not take in a moment
            self._runs.clear()
            self._hopeless = self._shape()

    def _replaced(self, run: list[Row], result: Rewritten) -> None:
        self._ledger.replace(run, Row(run[0].id, result.queue_ids, result.size, result.keys))

    def _shrink(self, then: Callable[[], None]) -> None:
        def job() -> bool:
            """Give some free pages at the end of the file back; whether more are worth it."""
            # a row without columns for every page: execute() would stop after the first
            self._database.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            free = int(self._database.execute("PRAGMA freelist_count").fetchone()[0])
            return free * 4096 > SLACK_BYTES_MIN // 2

        def done(result: Any, error: BaseException | None) -> None:
            self._shrinking = error is None and bool(result)
            if not self._shrinking:
                self._bytes_peak = self._ledger.bytes
            then()

        self._writer.submit(job, done)
