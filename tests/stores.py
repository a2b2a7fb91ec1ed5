"""Message stores and metadata under test: a writer that runs when told, crash images.

Decides nothing: it is the stage. A job of the writer thread is one step here, so a test can stop
between any two of them, copy the files as a crash would leave them, or make a job fail.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from mqd.broker.message import Message, content_of, names_of
from mqd.storage.database import open_database
from mqd.storage.format import Damaged
from mqd.storage.messages import VhostStore
from mqd.storage.rows import MESSAGE_STORE
from mqd.storage.streams import Streams
from mqd.storage.writer import Writer

_HEADER = b"\x00\x3c\x00\x00" + (12).to_bytes(8, "big") + b"\x10\x00\x02"


def message(body: bytes = b"hello", routing_key: str = "q") -> Message:
    """A persistent message of one body frame."""
    header = _HEADER[:4] + len(body).to_bytes(8, "big") + _HEADER[12:]
    return Message(names_of("", routing_key), content_of(header, body, 1, 131072), True)


class Handle:
    """What call_later returns."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class ManualLoop:
    """The two methods of an event loop that stores use, in the hands of the test."""

    def __init__(self) -> None:
        self.soon: deque[Callable[[], None]] = deque()
        self.timers: list[tuple[float, Handle]] = []

    def call_soon(self, call: Callable[..., None], *args: Any) -> None:
        self.soon.append(lambda: call(*args))

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Handle:
        handle = Handle(call)
        self.timers.append((delay_s, handle))
        return handle


class ManualWriter:
    """Jobs wait until `step`. `failures`: errors that the next jobs raise instead of running."""

    def __init__(self) -> None:
        self.loop = ManualLoop()
        self.jobs: deque[tuple[Callable[[], Any], Callable[..., None]]] = deque()
        self.failures: deque[BaseException] = deque()

    def submit(self, job: Callable[[], Any], done: Callable[..., None]) -> None:
        self.jobs.append((job, done))

    async def call(self, job: Callable[[], Any]) -> Any:
        return job()

    def step(self) -> bool:
        """Run one thing that is due: a callback, else a job, else a timer. False: nothing is."""
        if self.loop.soon:
            self.loop.soon.popleft()()
        elif self.jobs:
            self._run_job()
        elif self.loop.timers:
            _, handle = self.loop.timers.pop(0)
            if handle.call is not None:
                handle.call()
        else:
            return False
        return True

    def _run_job(self) -> None:
        job, done = self.jobs.popleft()
        result, error = None, None
        try:
            if self.failures:
                raise self.failures.popleft()
            result = job()
        except (sqlite3.Error, OSError, Damaged) as caught:
            error = caught
        done(result, error)

    def run(self, steps: int = 100_000) -> None:
        """Until nothing is due."""
        for _ in range(steps):
            if not self.step():
                return
        raise AssertionError("the store never comes to rest")


class Stage:
    """One store over one file. `troubles` is what it reported."""

    def __init__(self, path: Path, wall_offset_ms: int = 0) -> None:
        self.path = path
        self.wall_offset_ms = wall_offset_ms
        self.writer = ManualWriter()
        self.troubles: list[str | None] = []
        self.wall_ms = 1_700_000_000_000
        self.streams = Streams(
            path.with_suffix(".streams"), cast("Writer", self.writer), lambda: self.wall_ms
        )
        self.database = open_database(path, MESSAGE_STORE)
        self.database.execute("PRAGMA synchronous=OFF")  # a crash of the process needs no more
        self.barrier = True
        self.store = VhostStore(
            self.database,
            cast("Writer", self.writer),
            self.troubles.append,
            lambda: self.barrier,
            lambda: self.wall_offset_ms,
            self.streams,
        )

    def recover(self) -> list[tuple[int, Message, bool]]:
        return list(self.store.recover())

    def close(self, delivered: tuple[tuple[int, Message], ...] = ()) -> None:
        """An orderly end."""
        self.writer.run()
        for queue_id, each in delivered:
            self.store.mark_delivered(queue_id, each)
        assert not self.store._stirred
        asyncio.run(self.store.close(1.0))

    def crash(self, path: Path) -> Stage:
        """The files as they are now, under another name; this store is as good as dead."""
        copy_image(self.path, path)
        self.store._closed = True
        self.database.close()
        return Stage(path)

    def row_ids(self) -> list[int]:
        return [row[0] for row in self.database.execute("SELECT id FROM commits ORDER BY id")]


def copy_image(source: Path, target: Path) -> None:
    """What kill -9 leaves behind: the file and its log."""
    shutil.copyfile(source, target)
    log = Path(f"{source}-wal")
    if log.exists():
        shutil.copyfile(log, f"{target}-wal")
    streams = source.with_suffix(".streams")
    if streams.exists():
        shutil.copytree(streams, target.with_suffix(".streams"))
