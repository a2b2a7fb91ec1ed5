"""Where commands are proposed, made permanent, and heard of.

Decides the order: a command is checked and applied to the state and to the listeners at once,
then written with all others that were proposed while the last write ran, then `done` is called.
What is allowed is the machine's business, how it lies on disc the log's.

Theory. A proposal is pushed onto a deque, and a job that takes whatever is there is handed to the
writer thread unless one is waiting already. Since that thread runs jobs in order, a commit of
messages handed over later is written later: no message is permanent before its queue. When a
write fails, nothing is lost: the rows stay ahead of all others, `may_commit` holds the message
stores back, and the write is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.ports import Done
from mqd.errors import ErrorCode, MqdError
from mqd.limits import CLOSE_TIMEOUT_S, METADATA_LOG_BYTES_MIN
from mqd.metadata.commands import (
    Command,
    DeleteBinding,
    DeleteExchange,
    DeleteQueue,
    PutBinding,
    PutExchange,
    PutQueue,
    encode,
)
from mqd.metadata.log import CommandLog, Proposed
from mqd.metadata.machine import State, apply, commands_of
from mqd.storage.database import delete_database
from mqd.storage.writer import Backoff, Writer

log = logging.getLogger(__name__)

Listener = Callable[[Command], None]
_BOOT_BITS = 32  # a queue id is the number of the boot and a count


class MetadataStore:
    """Durable state of a node, and the `Topology` port. Lives on the loop's thread.

    on_trouble(text) is called when a write fails, on_trouble(None) when all is written again.
    """

    def __init__(self, command_log: CommandLog, writer: Writer, owns_writer: bool) -> None:
        self.state = State()
        self.on_trouble: Callable[[str | None], None] = lambda _text: None
        self._log = command_log
        self._writer = writer
        self._owns_writer = owns_writer
        self._listeners: list[Listener] = []
        self._queue_ids = itertools.count((command_log.boots << _BOOT_BITS) + 1)
        self._last = command_log.last_number
        self._proposed: deque[tuple[Proposed, Done]] = deque()
        self._job_waits = False
        self._unwritten: list[tuple[Proposed, Done]] = []  # of the writer thread: failed rows
        self._unanswered = 0
        self._backoff = Backoff()
        self._timer: asyncio.TimerHandle | None = None
        self._folding = False
        self._idle: list[asyncio.Future[None]] = []
        self._closed = False

    @classmethod
    def open(cls, path: str | os.PathLike[str], writer: Writer | None = None) -> MetadataStore:
        """Open or create, and read everything back. With the storage engine's writer, the order
        between metadata and messages is kept.

        Raises MqdError when the file cannot be used.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        store = cls(CommandLog(Path(path)), writer or Writer(), writer is None)
        try:
            for command in store._log.read():
                apply(store.state, command)
        except MqdError:
            store._log.close()
            if writer is None:
                store._writer.stop()
            raise
        return store

    @staticmethod
    def wipe(path: str | os.PathLike[str]) -> None:
        """Forget everything of a store that is not open: the next one starts virgin."""
        delete_database(Path(path))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear every change from now on, after the state has it. Returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def propose(self, command: Command, done: Done) -> None:
        """Apply the command now; `done(None)` once it is permanent, `done(MqdError)` when it is
        refused, which may be before this returns."""
        if self._closed:
            done(MqdError(ErrorCode.UNAVAILABLE, "the metadata store is closed"))
            return
        line = encode(command)  # first: what cannot be logged must not be applied
        try:
            heard = apply(self.state, command)
        except MqdError as error:
            done(error)
            return
        self._last += 1
        self._unanswered += 1
        self._proposed.append((Proposed(self._last, line), done))
        self._submit()
        for each in heard:
            for listener in tuple(self._listeners):
                listener(each)

    async def propose_async(self, command: Command) -> None:
        """`propose` for coroutines: returns once permanent, raises MqdError when refused."""
        future: asyncio.Future[None] = self._writer.loop.create_future()

        def done(error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(None)

        self.propose(command, done)
        await future

    def may_commit(self) -> bool:
        """For the storage engine, on the writer thread: whether nothing here is overdue."""
        return not self._unwritten

    # the Topology port

    @property
    def last_number(self) -> int:
        """Of the commands ever proposed here."""
        return self._last

    def new_queue_id(self) -> int:
        return next(self._queue_ids)

    def put_exchange(self, definition: ExchangeDefinition, done: Done) -> None:
        self.propose(PutExchange(definition), done)

    def delete_exchange(self, vhost: str, name: str, done: Done) -> None:
        self.propose(DeleteExchange(vhost, name), done)

    def put_queue(self, definition: QueueDefinition, done: Done) -> None:
        self.propose(PutQueue(definition), done)

    def delete_queue(self, vhost: str, name: str, done: Done) -> None:
        self.propose(DeleteQueue(vhost, name), done)

    def put_binding(self, definition: BindingDefinition, done: Done) -> None:
        self.propose(PutBinding(definition), done)

    def delete_binding(self, definition: BindingDefinition, done: Done) -> None:
        self.propose(DeleteBinding(definition), done)

    # writing

    def _submit(self) -> None:
        if not self._job_waits:
            self._job_waits = True
            self._writer.submit(self._write, self._written)

    def _write(self) -> list[Done]:
        """On the writer thread: everything that is there now becomes one row."""
        self._job_waits = False  # before taking: what comes after this line gets a job of its own
        batch = self._unwritten
        with contextlib.suppress(IndexError):
            while True:
                batch.append(self._proposed.popleft())
        if batch:
            self._log.append([proposed for proposed, _ in batch])
        self._unwritten = []
        return [done for _, done in batch]

    def _written(self, dones: Sequence[Done] | Any, error: BaseException | None) -> None:
        if error is not None:
            self._failed(error)
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._backoff.reset()
            log.info("metadata is written again")
            self.on_trouble(None)
        self._unanswered -= len(dones)
        for done in dones:
            done(None)
        self._fold_if_long()
        if not self._unanswered and not self._folding:
            self._rest()

    def _rest(self) -> None:
        waiting, self._idle = self._idle, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def _failed(self, error: BaseException) -> None:
        if self._timer is None:
            log.error("metadata cannot be written: %s", error)
            self.on_trouble(str(error))
        elif self._timer.when() > self._writer.loop.time():
            return  # a job behind the failed one failed too
        if not self._closed:
            self._timer = self._writer.loop.call_later(self._backoff.next_s(), self._submit)

    def _fold_if_long(self) -> None:
        if self._log.log_bytes > 2 * max(self._log.snapshot_bytes, METADATA_LOG_BYTES_MIN):
            self._fold()

    def _fold(self) -> None:
        """Replace the log by a snapshot; encoded on a thread of its own, for it may take long."""
        if self._folding or self._closed:
            return
        self._folding = True
        through, state = self._last, self.state.copy()

        def encoded(future: asyncio.Future[bytes]) -> None:
            lines = future.result()
            self._writer.submit(lambda: self._log.replace_snapshot(through, lines), self._folded)

        work = self._writer.loop.run_in_executor(
            None, lambda: "\n".join(map(encode, commands_of(state))).encode()
        )
        work.add_done_callback(encoded)

    def _folded(self, _result: Any, error: BaseException | None) -> None:
        self._folding = False
        if error is not None:  # the log goes on; the next write tries again
            log.warning("the metadata log was not folded: %s", error)
        else:
            self._fold_if_long()
        if not self._unanswered and not self._folding:
            self._rest()

    # the end

    async def flush(self) -> None:
        """Wait until everything proposed is permanent."""
        if self._unanswered or self._folding:
            future: asyncio.Future[None] = self._writer.loop.create_future()
            self._idle.append(future)
            await future

    async def reset(self) -> None:
        """Forget everything: state, log and snapshot. Listeners hear nothing of it."""
        await self.flush()
        self.state.clear()
        await self._writer.call(lambda: self._log.replace_snapshot(self._last, b""))

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Write what is left and close the file; returns whether all was written."""
        clean = True
        try:
            await asyncio.wait_for(self.flush(), timeout_s)
        except TimeoutError:
            clean = False
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._writer.call(self._log.close)
        if self._owns_writer:
            self._writer.stop()
        return clean
