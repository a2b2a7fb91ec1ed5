"""All message stores of a node: one directory, one writer thread.

Decides where a vhost's file lies and what trouble the node as a whole is in. Never decides which
vhosts there are: metadata does, and files of others are dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from mqd.errors import ErrorCode, MqdError
from mqd.limits import CLOSE_TIMEOUT_S
from mqd.storage.database import delete_database, open_database, unusable
from mqd.storage.messages import VhostStore
from mqd.storage.rows import MESSAGE_STORE
from mqd.storage.streams import Streams, remove_folder
from mqd.storage.writer import Writer

log = logging.getLogger(__name__)


class StorageEngine:
    """See the module. Lives on the loop's thread.

    on_trouble(text) is called when the first store fails to commit, and again with None when
    the last one has recovered: whoever sets it raises and clears the disk alarm.
    may_commit is asked on the writer thread right before every commit; metadata sets it, since
    a message must not be permanent before its queue is. Submitting to the same writer does the
    rest: what was proposed earlier is written earlier. wall_offset_ms, wall_ms: the clocks, see
    `VhostStore`; to be set before the first store is opened.
    """

    def __init__(self, directory: Path, writer: Writer, owns_writer: bool) -> None:
        self.directory = directory
        self.writer = writer
        self.on_trouble: Callable[[str | None], None] = lambda _text: None
        self.may_commit: Callable[[], bool] = lambda: True
        self.wall_offset_ms: Callable[[], int] = lambda: 0
        self.wall_ms: Callable[[], int] = lambda: 0
        self.stores: dict[str, VhostStore] = {}
        self._owns_writer = owns_writer
        self._troubled: dict[str, str] = {}
        self._dropping: dict[str, threading.Event] = {}  # files that are about to be deleted

    @classmethod
    def open(cls, directory: str | os.PathLike[str], writer: Writer | None = None) -> StorageEngine:
        """Inside a running loop, or with a writer that has one. Opens no store yet."""
        path = Path(directory)
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise MqdError(
                ErrorCode.UNAVAILABLE,
                f"cannot create message store directory {path}: {error.strerror}",
            ) from error
        return cls(path, writer or Writer(), writer is None)

    def path_of(self, vhost: str) -> Path:
        """A vhost's name may hold anything, so its file is named by a hash of it."""
        digest = hashlib.sha256(vhost.encode("utf-8", "surrogateescape")).hexdigest()
        return self.directory / f"{digest[:32]}.db"

    def streams_of(self, vhost: str) -> Path:
        """The folder of the vhost's streams."""
        return self.path_of(vhost).with_suffix(".streams")

    def open_store(self, vhost: str) -> VhostStore:
        """Open or create the vhost's store. `recover()` it before use.

        A vhost that was dropped a moment ago is waited for: two would share the file. Raises
        MqdError when the file cannot be used.
        """
        assert vhost not in self.stores, f"store of vhost {vhost!r} is open"
        dropping = self._dropping.get(vhost)
        if dropping is not None:
            dropping.wait()
        path = self.path_of(vhost)
        database = open_database(path, MESSAGE_STORE)
        try:
            database.execute(
                "INSERT OR IGNORE INTO meta VALUES ('vhost', ?)",
                (vhost.encode("utf-8", "surrogateescape"),),
            )
            store = VhostStore(
                database,
                self.writer,
                lambda text: self._trouble(vhost, text),
                lambda: self.may_commit(),
                self.wall_offset_ms,
                Streams(self.streams_of(vhost), self.writer, self.wall_ms),
            )
        except sqlite3.Error as error:
            database.close()
            raise unusable(path, MESSAGE_STORE, error) from error
        self.stores[vhost] = store
        return store

    def drop_store(self, vhost: str) -> None:
        """Delete what the vhost kept; its store must not be used any more."""
        store = self.stores.pop(vhost, None)
        if store is not None:
            store.abandon()
        path, streams = self.path_of(vhost), self.streams_of(vhost)
        deleted = self._dropping[vhost] = threading.Event()

        def job() -> None:
            try:
                delete_database(path)
                remove_folder(streams)
            finally:
                deleted.set()

        def done(_result: object, error: BaseException | None) -> None:
            if self._dropping.get(vhost) is deleted:
                del self._dropping[vhost]
            if error is not None:
                log.error("message store %s could not be deleted: %s", path, error)

        self.writer.submit(job, done)
        self._trouble(vhost, None)

    def drop_unknown(self, vhosts: Iterable[str]) -> None:
        """Delete files of vhosts that are none of these: the node died while dropping them."""
        known = {self.path_of(vhost).name for vhost in vhosts}
        for path in self.directory.glob("*.db"):
            if path.name not in known:
                log.info("deleting message store %s: its virtual host is gone", path.name)
                delete_database(path)
                remove_folder(path.with_suffix(".streams"))

    async def flush(self) -> None:
        """Wait until all stores are on disc as they stand."""
        await asyncio.gather(*(store.flush() for store in self.stores.values()))

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Write what is left and close every file; returns whether all was written.

        Whoever wants messages marked as delivered before calls `mark_delivered` first.
        """
        stores = list(self.stores.values())
        self.stores.clear()
        clean = await asyncio.gather(*(store.close(timeout_s) for store in stores))
        if self._owns_writer:
            self.writer.stop()
        return all(clean)

    def _trouble(self, vhost: str, text: str | None) -> None:
        before = bool(self._troubled)
        if text is None:
            if self._troubled.pop(vhost, None) is not None:
                log.info("messages of virtual host '%s' are written again", vhost)
        elif vhost not in self._troubled:
            log.error("messages of virtual host '%s' cannot be written: %s", vhost, text)
            self._troubled[vhost] = text
        if bool(self._troubled) != before:
            self.on_trouble(text)
