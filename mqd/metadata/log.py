"""The file under the metadata: a log of commands and the snapshot it starts from.

Decides how commands lie on disc and how they are read back. Never knows what they mean. Used by
the writer thread, except while it is opened.

A row of the log holds what was proposed while the row before it was being written: lines of JSON,
numbered; its key is the number of its last command. A snapshot holds the commands that make the
state as it was after command `through`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Command, decode
from mqd.storage.database import Format, open_database

METADATA = Format(
    noun="metadata log",
    application_id=0x6D716463,  # "mqdc"
    version=1,
    schema=(
        "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE TABLE log(last INTEGER PRIMARY KEY, count INTEGER, crc INTEGER, lines BLOB)",
        "CREATE TABLE snapshot("
        "one INTEGER PRIMARY KEY CHECK(one = 1), through INTEGER, crc INTEGER, lines BLOB)",
        "INSERT INTO meta VALUES('boots', 0)",
    ),
)
_INSERT = "INSERT INTO log VALUES(?, ?, ?, ?)"
_COUNT = "UPDATE meta SET value = ? WHERE key = 'boots'"


@dataclass(frozen=True, slots=True)
class Proposed:
    """A command on its way to disc."""

    number: int
    line: str


class CommandLog:
    """One open metadata file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = open_database(path, METADATA)
        try:
            (boots,) = self._one("SELECT value FROM meta WHERE key = 'boots'")
            # How often it was opened and written, this time included. Counted with the first row:
            # a node whose disc is full must be able to start and let consumers make room.
            self.boots = boots + 1
            self._is_counted = False
            self.log_bytes, last = self._one(
                "SELECT coalesce(sum(length(lines)), 0), coalesce(max(last), 0) FROM log"
            )
            self.snapshot_bytes, through = self._one(
                "SELECT coalesce(sum(length(lines)), 0), coalesce(max(through), 0) FROM snapshot"
            )
            self.last_number = max(last, through)  # of the commands ever logged
        except (sqlite3.Error, TypeError) as error:
            self._database.close()
            raise self._unusable(str(error)) from error

    def _one(self, query: str) -> tuple[int, ...]:
        return tuple(self._database.execute(query).fetchone())

    def read(self) -> Iterator[Command]:
        """The snapshot's commands, then the log's.

        Raises MqdError when a row is not what was written: half the metadata is none.
        """
        try:
            through = 0
            for number, crc, lines in self._database.execute(
                "SELECT through, crc, lines FROM snapshot"
            ):
                through = number
                yield from self._commands("snapshot", crc, lines)
            for last, count, crc, lines in self._database.execute(
                "SELECT last, count, crc, lines FROM log WHERE last > ? ORDER BY last", (through,)
            ):
                for number, command in enumerate(
                    self._commands(f"entry {last}", crc, lines), last - count + 1
                ):
                    if number > through:  # a snapshot may be taken in the middle of a row
                        yield command
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error

    def _commands(self, what: str, crc: int, lines: bytes) -> Iterator[Command]:
        if zlib.crc32(lines) != crc:
            raise self._unusable(f"{what} is damaged")
        return map(decode, lines.decode().splitlines())

    def _unusable(self, reason: str) -> MqdError:
        return MqdError(
            ErrorCode.UNAVAILABLE,
            f"metadata log {self.path} cannot be read: {reason}; restore it from a backup, or "
            "move it away to start without users, vhosts and queues",
        )

    def append(self, proposed: Sequence[Proposed]) -> None:
        """Permanent on return. Numbers follow each other."""
        lines = "\n".join([each.line for each in proposed]).encode()
        row = (proposed[-1].number, len(proposed), zlib.crc32(lines), lines)
        if self._is_counted:
            self._database.execute(_INSERT, row)
        else:
            with self._counted():
                self._database.execute(_INSERT, row)
        self.log_bytes += len(lines)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """A transaction that says how often the file was opened."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.execute(_COUNT, (self.boots,))
            yield
            self._database.execute("COMMIT")
            self._is_counted = True
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def replace_snapshot(self, through: int, lines: bytes) -> None:
        """Permanent on return, and the log without what the snapshot covers."""
        with self._counted():
            self._database.execute(
                "INSERT OR REPLACE INTO snapshot VALUES(1, ?, ?, ?)",
                (through, zlib.crc32(lines), lines),
            )
            self._database.execute("DELETE FROM log WHERE last <= ?", (through,))
        (self.log_bytes,) = self._one("SELECT coalesce(sum(length(lines)), 0) FROM log")
        self.snapshot_bytes = len(lines)
        # a row without columns for every page: execute() would stop after the first
        self._database.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        self._database.close()
