"""The durable messages of one vhost: the `MessageStore` port over one SQLite file (DESIGN §3).

Decides what a commit holds and when it starts. Never decides when a message is acknowledged to
its publisher: it tells how far the disc has come.

Theory. `append` and `settle` only push onto lists. When no commit is under way the next one is
put together at the end of the loop's turn; while one runs, the lists gather the one after it.
So there is no timer and no batch size: a commit is as large as the disc is slow. A message that
is settled before its commit is put together is never written.

Nobody waits to hear that a message is settled. Such news rides along with the next messages; when
none come, it is written after a lull of some milliseconds (RabbitMQ: 25 ms).

A batch is what was appended before its commit began. What it has for streams is written to their
files first (`mqd.storage.streams`), then its rows, bounded in bytes and messages; `durable_batch`
reaches it with the last one, and so does the news of the same turns: a dead letter is on disc
before its source is settled there. `Message.segment` and `Message.index` are set when the row is
put together and stay, also over a failing disc. A commit that fails confirms nothing and loses
nothing. Its news (what is settled) and its messages are then tried apart, news first, since
deleting is what makes room; what consumers settle meanwhile is told in commits of their own. See
`_retry`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mqd.broker.message import Message
from mqd.limits import GATHERED_BYTES_MAX, GATHERED_MESSAGES_MAX, SETTLED_LULL_S, UPKEEP_COMMITS
from mqd.storage import rows
from mqd.storage.database import unusable
from mqd.storage.format import INDEX_BITS, Drop, pack_messages
from mqd.storage.ledger import Ledger
from mqd.storage.news import News
from mqd.storage.recovery import Recovery
from mqd.storage.rows import MESSAGE_STORE, Commit
from mqd.storage.streams import StreamFiles, Streams
from mqd.storage.upkeep import Upkeep
from mqd.storage.writer import Backoff, Job, Outcome, Writer

Trouble = Callable[[str | None], None]


def _ignore() -> None:
    """Until the broker says what to do about durable batches."""


class VhostStore:
    """See `mqd.broker.ports.MessageStore`. Lives on the loop's thread.

    trouble(text) is called when a commit fails, trouble(None) when all is written again.
    may_commit is asked on the writer thread right before a commit. wall_offset_ms() is what the
    wall clock shows more than the monotonic one: the disc knows times of the former.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        writer: Writer,
        trouble: Trouble,
        may_commit: Callable[[], bool],
        wall_offset_ms: Callable[[], int],
        streams: Streams,
    ) -> None:
        self.durable_batch = 0
        self.on_durable: Callable[[], None] = _ignore
        self.on_relief: Callable[[], None] = _ignore
        self.ledger = Ledger()
        self._database = database
        self._writer = writer
        self._trouble = trouble
        self._may_commit = may_commit
        self._wall_offset_ms = wall_offset_ms
        self._streams = streams
        streams.wake = self._wake
        streams.batch = lambda: self._gathering
        self._gathering = 1
        self._queue_ids: list[int] = []  # of the batch being gathered
        self._messages: list[Message] = []
        self._gathered_bytes = 0  # of the reads that made them
        self._pressed = False
        self._news = News()
        self._held = News()  # of the batch being written: told with its last row
        self._rest: list[tuple[int, Message]] = []  # of the batch being written
        self._writing = 0  # its number
        self._open = False  # whether there is one
        self._troubled = False  # the last commit failed
        self._files_owed = False  # whether what it has for streams is still to be written
        self._awake = False  # a commit is under way, or about to be
        self._stirred = False  # or a lull is
        self._lull: asyncio.TimerHandle | None = None
        self._lull_is_over = False
        self._last_id = 0
        self._commits = 0
        self._stuck_news: Commit | None = None
        self._stuck_messages: Commit | None = None
        self._backoff = Backoff()
        self._timer: asyncio.TimerHandle | None = None
        self._idle: list[Callable[[], None]] = []
        self._delivered: list[Message] = []
        self._closed = False
        self._upkeep = Upkeep(database, writer, self.ledger)
        found = database.execute("SELECT count(*) FROM (SELECT 1 FROM commits LIMIT 1)")
        self._recovered = found.fetchone()[0] == 0

    # the hot path

    def append(self, queue_id: int, message: Message) -> int:
        self._queue_ids.append(queue_id)
        self._messages.append(message)
        if not self._awake:
            self._wake()
        return self._gathering

    @property
    def gathered_count(self) -> int:
        return len(self._messages) + self._streams.gathered_count

    def press(self, size: int) -> bool:
        self._gathered_bytes += size
        if (
            self._gathered_bytes >= GATHERED_BYTES_MAX
            or self.gathered_count >= GATHERED_MESSAGES_MAX
        ):
            self._pressed = True
        return self._pressed

    def settle(self, queue_id: int, message: Message) -> None:
        if message.settled:
            return
        message.settled = True
        if message.segment:
            self._news.settled.append(message)
            if not self._stirred:
                self._stir()

    def returned(self, queue_id: int, message: Message) -> None:
        if message.segment and not message.settled:
            key = message.segment << INDEX_BITS | message.index
            self._news.counts[key] = message.delivery_count
            if not self._stirred:
                self._stir()

    # the rest of the port

    def stream(self, queue_id: int) -> StreamFiles:
        return self._streams.open(queue_id)

    def settle_all(self, queue_id: int, keep: Iterable[Message]) -> None:
        kept = set()
        keys = set()
        for message in keep:
            kept.add(id(message))
            if message.segment:
                keys.add(message.segment << INDEX_BITS | message.index)
        for owner, message in self._rest:
            if owner == queue_id and id(message) not in kept:
                message.settled = True
        for owner, message in zip(self._queue_ids, self._messages, strict=True):
            if owner == queue_id and id(message) not in kept:
                message.settled = True
        if self.ledger.holds(queue_id):
            self._news.drops.append(Drop(queue_id, self._last_id, frozenset(keys)))
            if not self._stirred:
                self._stir()

    def recover(self) -> Iterator[tuple[int, Message, bool]]:
        """See the port. To be exhausted before anything is appended; once.

        Raises MqdError when SQLite cannot read on; a row that is damaged in itself is reported
        in the log and passed over."""
        try:
            yield from self._recover()
        except sqlite3.DatabaseError as error:
            path = Path(self._database.execute("PRAGMA database_list").fetchone()[2])
            raise unusable(path, MESSAGE_STORE, error) from error

    def _recover(self) -> Iterator[tuple[int, Message, bool]]:
        recovery = Recovery(self._database, self.ledger, self._wall_offset_ms())
        delivered = rows.delivered_before(self._database)
        self._awake = self._stirred = True  # nothing may be written while rows are read
        for queue_id, message in recovery.messages():
            key = message.segment << INDEX_BITS | message.index
            yield queue_id, message, delivered is None or key in delivered
        rows.unmark(self._database)
        self._streams.drop_unknown()
        self._last_id = recovery.last_segment
        self._recovered = True
        self._awake = False
        self._wake()

    def mark_delivered(self, queue_id: int, message: Message) -> None:
        """At an orderly shutdown only: the message was delivered before, say so after it."""
        self._delivered.append(message)

    # commits

    def _wake(self) -> None:
        """Commit at the end of this turn."""
        if self._awake:
            return
        if not self._recovered:
            raise RuntimeError("a message store is recovered before it is used")
        self._awake = self._stirred = True
        if self._lull is not None:
            self._lull.cancel()
            self._lull = None
        self._writer.loop.call_soon(self._next)

    def _stir(self) -> None:
        """Commit after a lull, unless messages come first."""
        if not self._recovered:
            raise RuntimeError("a message store is recovered before it is used")
        self._stirred = True
        self._lull = self._writer.loop.call_later(SETTLED_LULL_S, self._end_lull)

    def _end_lull(self) -> None:
        self._lull = None
        self._awake = self._lull_is_over = True
        self._next()

    def _next(self) -> None:
        """Start the next commit, or fall asleep."""
        while not self._closed:
            if not self._open and (self._messages or self._streams):
                self._begin()
                if self._files_owed:
                    self._run(self._streams.write, self._filed)
                    return
            elif not self._open and not self._news_is_due():
                self._sleep()
                return
            self._lull_is_over = False
            commit = self._build()
            if commit is not None:
                self._submit(commit, self._committed)
                return
            self._advance()

    def _begin(self) -> None:
        """What gathered is a batch now, and what is told with it is told with its last row."""
        self._rest = list(zip(self._queue_ids, self._messages, strict=True))
        self._queue_ids, self._messages = [], []
        self._relieve()
        self._open = True
        self._writing = self._gathering
        self._gathering += 1
        self._held, self._news = self._held.followed_by(self._news), News()
        self._files_owed = self._streams.take()

    def _news_is_due(self) -> bool:
        """Someone who waits for the store to be idle ends the lull as well."""
        return bool(self._news) and (self._lull_is_over or bool(self._idle))

    def _relieve(self) -> None:
        """What had gathered is on its way. Called back later: more will be appended then."""
        self._gathered_bytes = 0
        if self._pressed:
            self._pressed = False
            self._writer.loop.call_soon(self.on_relief)

    def _sleep(self) -> None:
        if not self._news:
            self._release()
        if self._upkeep.is_due():
            self._upkeep.start(self._next)
            return
        self._awake = self._stirred = self._lull_is_over = False
        if self._news:
            self._stir()

    def _release(self) -> None:
        """Nobody has to wait for a commit any more."""
        waiting, self._idle = self._idle, []
        for each in waiting:
            each()

    def _build(self) -> Commit | None:
        """Put the next row together: as many messages as fit, and what may be told with them."""
        row_id = self._last_id + 1
        blob = b""
        live = [pair for pair in self._rest if not pair[1].settled]
        self._rest = rows.cut(live)
        settled = self._tell(row_id) if not self._rest else b""
        if live:
            queue_ids = [pair[0] for pair in live]
            messages = [pair[1] for pair in live]
            for index, message in enumerate(messages):
                message.segment = row_id
                message.index = index
            blob = pack_messages(queue_ids, messages, None, self._wall_offset_ms())
            self.ledger.add(row_id, queue_ids, len(blob))
        gone, stripped = self.ledger.take_unneeded()
        if not (blob or settled or gone or stripped):
            return None
        self._last_id = row_id
        return Commit(row_id, settled, blob, gone, stripped)

    def _tell(self, row_id: int) -> bytes:
        """News of the batch that ends with this row; all there is when no message follows."""
        news, self._held = self._held, News()
        if not self._messages and not self._streams:
            news, self._news = news.followed_by(self._news), News()
        return news.tell(row_id, self.ledger)

    def _submit(self, commit: Commit, done: Outcome) -> None:
        self._commit = commit
        self._run(lambda: rows.write(self._database, commit), done)

    def _run(self, job: Job, done: Outcome) -> None:
        def checked() -> None:
            if not self._may_commit():
                raise sqlite3.OperationalError("the metadata log cannot be written")
            job()

        self._writer.submit(checked, done)

    def _filed(self, _result: Any, error: BaseException | None) -> None:
        """What a batch has for streams is on disc, or was tried."""
        if self._closed:
            return
        if error is not None:
            self._failed(error)
            return
        self._files_owed = False
        self._streams.written()
        if self._troubled:
            self._retry()
        else:
            self._next()

    def _committed(self, _result: Any, error: BaseException | None) -> None:
        if self._closed:
            return
        if error is not None:
            commit = self._commit
            self._stuck_news = commit.news() if commit.has_news else None
            self._stuck_messages = commit if commit.messages else None
            self._failed(error)
            return
        self._advance()
        self._commits += 1
        if self._commits % UPKEEP_COMMITS == 0 and self._upkeep.is_due():
            self._upkeep.start(self._next)
        else:
            self._next()

    def _advance(self) -> None:
        """A row is on disc, or needed none."""
        if self._open and not self._rest and not self._files_owed:
            self._open = False
            self.durable_batch = self._writing
            self.on_durable()

    # a disc that fails

    def _failed(self, error: BaseException) -> None:
        self._news, self._held = self._held.followed_by(self._news), News()
        self._troubled = True
        self._trouble(str(error) or type(error).__name__)
        self._timer = self._writer.loop.call_later(self._backoff.next_s(), self._retry)

    def _retry(self) -> None:
        """Write what is stuck: news before messages, then what was settled since.

        Each step that succeeds starts the next one at once, each that fails waits for the timer.
        """
        self._timer = None
        if self._closed:
            return
        if self._stuck_news is None and self._news:
            self._stuck_news = self._later_news()
        if self._stuck_news is not None:
            self._submit(self._stuck_news, self._retried)
            return
        if self._files_owed:
            self._run(self._streams.write, self._filed)
            return
        stuck = self._stuck_messages
        if stuck is not None and stuck.id in self.ledger.rows:
            self._submit(Commit(stuck.id, stuck.settled, stuck.messages, (), ()), self._retried)
            return
        self._stuck_messages = None
        self._backoff.reset()
        self._troubled = False
        self._trouble(None)
        self._advance()
        self._next()

    def _later_news(self) -> Commit | None:
        row_id = self._last_id + 1
        news, self._news = self._news, News()
        settled = news.tell(row_id, self.ledger)
        gone, stripped = self.ledger.take_unneeded()
        if not (settled or gone or stripped):
            return None
        self._last_id = row_id
        return Commit(row_id, settled, b"", gone, stripped)

    def _retried(self, _result: Any, error: BaseException | None) -> None:
        if self._closed:
            return
        if error is not None:
            self._failed(error)
            return
        if self._commit is self._stuck_news:
            self._stuck_news = None
        else:
            self._stuck_messages = None
        self._retry()

    # the end

    async def flush(self) -> None:
        """Wait until all that was appended and settled is on disc."""
        if self._closed or not self._stirred:
            return
        done: asyncio.Future[None] = self._writer.loop.create_future()
        self._idle.append(lambda: None if done.done() else done.set_result(None))
        if not self._awake:
            self._wake()
        await done

    async def close(self, timeout_s: float) -> bool:
        """Write what is left and close the file; returns whether all was written.

        A disc that does not take it within the timeout gets an unclean end: what was never
        durable is lost, as after a crash.
        """
        clean: bool = self._recovered
        if clean:
            try:
                await asyncio.wait_for(self.flush(), timeout_s)
            except TimeoutError:
                clean = False
        self._closed = True
        self._cancel_timers()
        delivered = [
            message.segment << INDEX_BITS | message.index
            for message in self._delivered
            if message.segment and not message.settled
        ]
        try:
            await self._writer.call(lambda: self._close(clean, delivered))
        except sqlite3.Error:
            return False
        return clean

    def _close(self, clean: bool, delivered: list[int]) -> None:
        try:
            if clean:
                rows.mark_closed(self._database, delivered)
        finally:
            self._database.close()

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._lull):
            if timer is not None:
                timer.cancel()

    def abandon(self) -> None:
        """Write nothing more: the vhost is gone. The file is closed by the writer thread."""
        self._closed = True
        self._cancel_timers()
        self._release()
        self._writer.submit(self._database.close, lambda _result, _error: None)
