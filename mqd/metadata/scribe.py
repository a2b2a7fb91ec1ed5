"""Brings numbered lines to disc.

Decides when what was put is written: all that came while the last write ran becomes one row. Never
knows what a line means; how rows lie on disc is `mqd.metadata.log`'s business.

Theory. What is put goes onto a deque, and a job that takes whatever is there is handed to the
writer thread unless one is waiting already. Since that thread runs jobs in order, a commit of
messages handed over later is written later: no message is permanent before its queue. When a
write fails, nothing is lost: the rows stay ahead of all others, `may_commit` holds the message
stores back, and the write is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from mqd.broker.ports import Done
from mqd.limits import METADATA_LOG_BYTES_MIN
from mqd.metadata.log import CommandLog, Proposed, Replacement
from mqd.storage.writer import Backoff, Writer

_log = logging.getLogger(__name__)

Encode = Callable[[], bytes]
_Put = tuple[Proposed | Replacement | None, Done]


class Scribe:
    """Writes to one log, or with none to nowhere. Lives on the loop's thread.

    snapshot() returns the number of the last line that was put, and what encodes the state as it is
    then; that runs on a thread of its own. on_written(lines) is called after each write, before
    the `done`s of its lines are.
    """

    def __init__(
        self,
        command_log: CommandLog | None,
        writer: Writer,
        snapshot: Callable[[], tuple[int, Encode]],
    ) -> None:
        self.on_trouble: Callable[[str | None], None] = lambda _text: None
        self.on_written: Callable[[Sequence[Proposed]], None] | None = None
        self.written_number = command_log.last_number if command_log is not None else 0
        self.closed = False
        self._log = command_log
        self._writer = writer
        self._snapshot = snapshot
        self._put: deque[_Put] = deque()
        self._job_waits = False
        self._unwritten: list[_Put] = []  # of the writer thread
        self._unanswered = 0
        self._backoff = Backoff()
        self._timer: asyncio.TimerHandle | None = None
        self._folding = False
        self._idle: list[asyncio.Future[None]] = []

    def put(self, line: Proposed | Replacement | None, done: Done) -> None:
        """`done(None)` once it is permanent (None: what was put before it). Without a log that is
        never awaited: at once."""
        if self._log is None:
            if line is not None:
                self.written_number = line.number
            done(None)
            return
        self._unanswered += 1
        self._put.append((line, done))
        self._submit()

    def may_commit(self) -> bool:
        """On the writer thread: whether nothing here is overdue."""
        return not self._unwritten

    # writing

    def _submit(self) -> None:
        if not self._job_waits:
            self._job_waits = True
            self._writer.submit(self._write, self._written)

    def _write(self) -> list[_Put]:
        """On the writer thread: everything that is there now becomes one row."""
        self._job_waits = False  # before taking: what comes after this line gets a job of its own
        batch = self._unwritten
        with contextlib.suppress(IndexError):
            while True:
                batch.append(self._put.popleft())
        if batch:
            assert self._log is not None
            self._log.write([line for line, _ in batch if line is not None])
        self._unwritten = []
        return batch

    def _written(self, batch: Sequence[_Put] | Any, error: BaseException | None) -> None:
        if error is not None:
            self._failed(error)
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._backoff.reset()
            _log.info("metadata is written again")
            self.on_trouble(None)
        lines = [line for line, _ in batch if line is not None]
        if lines:
            self.written_number = lines[-1].number
            if self.on_written is not None:
                self.on_written([line for line in lines if isinstance(line, Proposed)])
        self._unanswered -= len(batch)
        for _, done in batch:
            try:
                done(None)
            except Exception:  # noqa: BLE001 - others wait for what this row has, too
                _log.exception("what follows from a change was not done")
        self._fold_if_long()
        self._rest_if_idle()

    def _failed(self, error: BaseException) -> None:
        if self._timer is None:
            _log.error("metadata cannot be written: %s", error)
            self.on_trouble(str(error))
        elif self._timer.when() > self._writer.loop.time():
            return  # a job behind the failed one failed too
        if not self.closed:
            self._timer = self._writer.loop.call_later(self._backoff.next_s(), self._submit)

    # folding

    def _fold_if_long(self) -> None:
        assert self._log is not None
        if self._log.log_bytes > 2 * max(self._log.snapshot_bytes, METADATA_LOG_BYTES_MIN):
            self.fold()

    def fold(self) -> None:
        """Replace the log by a snapshot; encoded on a thread of its own, for it may take long."""
        if self._folding or self.closed or self._log is None:
            return
        self._folding = True
        command_log = self._log
        replaced_count = command_log.replaced_count
        through, encode = self._snapshot()

        def replace(lines: bytes) -> None:
            if command_log.replaced_count == replaced_count:
                command_log.fold(through, lines)

        def encoded(future: asyncio.Future[bytes]) -> None:
            lines = future.result()
            self._writer.submit(lambda: replace(lines), self._folded)

        self._writer.loop.run_in_executor(None, encode).add_done_callback(encoded)

    def _folded(self, _result: Any, error: BaseException | None) -> None:
        self._folding = False
        if error is not None:  # the log goes on; the next write tries again
            _log.warning("the metadata log was not folded: %s", error)
        else:
            self._fold_if_long()
        self._rest_if_idle()

    # the end

    def _rest_if_idle(self) -> None:
        if self._unanswered or self._folding:
            return
        waiting, self._idle = self._idle, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def flush(self) -> None:
        """Wait until everything that was put is permanent."""
        if self._unanswered or self._folding:
            future: asyncio.Future[None] = self._writer.loop.create_future()
            self._idle.append(future)
            await future

    async def close(self, timeout_s: float) -> bool:
        """Write what is left and close the file; returns whether all was written."""
        clean = True
        try:
            await asyncio.wait_for(self.flush(), timeout_s)
        except TimeoutError:
            clean = False
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._log is not None:
            await self._writer.call(self._log.close)
        return clean
