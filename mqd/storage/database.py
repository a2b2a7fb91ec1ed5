"""Opens the SQLite files of a node, each with a kind, a format version and a way up to it.

Decides pragmas, who may read a file, and what is said about a file that cannot be used: one of
another program, one of a newer mqd, a damaged one. Never decides what tables mean: a `Format`
brings its schema and its migrations.

The version stands in `user_version`, the kind in `application_id`. A migration goes from one
version to the next, inside the transaction that raises `user_version`: a crash in the middle
leaves the old file.

Pages of 4 KiB and a trigger instead of two statements, measured: a commit of one 15 KB row that
also deletes an older one takes 0.21 ms (0.42 ms as two statements, 0.48 ms with 16 KiB pages).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mqd.errors import ErrorCode, MqdError
from mqd.limits import WAL_PAGES_MAX
from mqd.storage.durable import sync_names

Migration = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file. `migrations[n]` turns version n into n + 1."""

    noun: str  # for messages: "message store"
    application_id: int
    version: int
    schema: tuple[str, ...]
    migrations: Mapping[int, Migration] = field(default_factory=dict)


def open_database(path: Path, form: Format) -> sqlite3.Connection:
    """Open or create, migrate, and lock the file for this process.

    The connection is in autocommit mode and may move between threads, one at a time. Raises
    MqdError with what is wrong with the file and what to do.
    """
    try:
        _create_private(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"cannot open {form.noun} {path}: {error}; check the directory's owner and mode",
        ) from error
    try:
        _prepare(connection, path, form)
    except sqlite3.Error as error:
        connection.close()
        raise unusable(path, form, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def delete_database(path: Path) -> None:
    """Delete a file that is not open, with what SQLite put beside it."""
    for suffix in ("-wal", "-shm", "-journal", ""):  # never a file without its log
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


def _create_private(path: Path) -> None:
    """Bodies and password hashes are nobody else's: SQLite gives its log the file's mode.

    The names of the directory and of the file are made permanent too: SQLite does so only for
    its log.
    """
    new = not path.exists()
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))
    if new:
        sync_names(path.parent, above=1)


def unusable(path: Path, form: Format, error: sqlite3.Error) -> MqdError:
    """What to raise for a file that SQLite cannot work with."""
    if "locked" in str(error):
        return MqdError(
            ErrorCode.RESOURCE_LOCKED,
            f"{form.noun} {path} is in use by another process: stop that node first",
        )
    if "disk is full" in str(error):
        return MqdError(
            ErrorCode.UNAVAILABLE,
            f"{form.noun} {path} cannot be used: the disc is full; make room on it",
        )
    return MqdError(
        ErrorCode.UNAVAILABLE,
        f"{form.noun} {path} cannot be used: {error}; restore it from a backup, or move it away "
        "to start without what it holds",
    )


def _prepare(connection: sqlite3.Connection, path: Path, form: Format) -> None:
    # EXCLUSIVE before the first read: no shared-memory file, no lock calls in every commit
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA busy_timeout=0")
    kind = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if empty:
        connection.execute("PRAGMA page_size=4096")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    elif kind != form.application_id:
        raise MqdError(
            ErrorCode.PRECONDITION_FAILED,
            f"{path} is no {form.noun} of mqd: move it away, or point the node at its own "
            "data directory",
        )
    elif version > form.version:
        raise MqdError(
            ErrorCode.PRECONDITION_FAILED,
            f"{form.noun} {path} has format {version}, this mqd knows formats up to "
            f"{form.version}: start the newer mqd that wrote it",
        )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES_MAX}")
    # a huge message makes a huge log once, not for ever
    connection.execute(f"PRAGMA journal_size_limit={2 * 4096 * WAL_PAGES_MAX}")
    if empty:
        _transaction(connection, form, form.version, *form.schema)
    else:
        _migrate(connection, path, form, version)


def _migrate(connection: sqlite3.Connection, path: Path, form: Format, version: int) -> None:
    while version < form.version:
        step = form.migrations.get(version)
        if step is None:
            raise MqdError(
                ErrorCode.PRECONDITION_FAILED,
                f"{form.noun} {path} has format {version}, which this mqd no longer reads: "
                "start an older mqd once to bring it up to date",
            )
        version += 1
        _transaction(connection, form, version, step)


def _transaction(
    connection: sqlite3.Connection, form: Format, version: int, *steps: str | Migration
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)
        connection.execute(f"PRAGMA application_id={form.application_id}")
        connection.execute(f"PRAGMA user_version={version}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
