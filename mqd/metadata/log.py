"""The file under the metadata: a log of commands and the snapshot it starts from.

Decides how commands lie on disc and how they are read back. Never knows what they mean. Used by
the writer thread, except while it is opened.

A row of the log holds what was proposed while the row before it was being written: lines of JSON,
numbered; its key is the number of its last command. A snapshot holds the commands that make the
state as it was after command `through`. Numbers follow each other, but for a snapshot that replaces
everything (`Replacement`): then they go on from wherever it says, also further back.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Line, decode_line
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


@dataclass(frozen=True, slots=True)
class Replacement:
    """All there is after command `number`, in place of whatever was there."""

    number: int
    lines: bytes


class CommandLog:
    """One open metadata file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replaced_count = 0  # how often everything was
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

    def read(self) -> Iterator[tuple[int, Line]]:
        """The snapshot's lines, then the log's, each with its number.

        Raises MqdError when a row is not what was written: half the metadata is none.
        """
        try:
            through = 0
            for number, crc, lines in self._database.execute(
                "SELECT through, crc, lines FROM snapshot"
            ):
                through = number
                for line in self._lines("snapshot", crc, lines):
                    decoded = decode_line(line)
                    yield decoded.number or number, decoded
            for number, line in self._logged(through):
                yield number, decode_line(line)
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error

    def _logged(self, after: int) -> Iterator[tuple[int, str]]:
        """What follows a number, which may be in the middle of a row."""
        for last, count, crc, lines in self._database.execute(
            "SELECT last, count, crc, lines FROM log WHERE last > ? ORDER BY last", (after,)
        ):
            for number, line in enumerate(
                self._lines(f"entry {last}", crc, lines), last - count + 1
            ):
                if number > after:
                    yield number, line

    def tail(self, after: int, bytes_max: int) -> list[Proposed] | None:
        """The lines that follow a number, as many as there is room for, one at least if there is
        any. None: the log does not go back so far."""
        (through,) = self._one("SELECT coalesce(max(through), 0) FROM snapshot")
        if after < through:
            return None
        found: list[Proposed] = []
        for number, line in self._logged(after):
            found.append(Proposed(number, line))
            bytes_max -= len(line)
            if bytes_max <= 0:
                break
        return found

    def _lines(self, what: str, crc: int, lines: bytes) -> list[str]:
        if zlib.crc32(lines) != crc:
            raise self._unusable(f"{what} is damaged")
        return lines.decode().splitlines()

    def _unusable(self, reason: str) -> MqdError:
        return MqdError(
            ErrorCode.UNAVAILABLE,
            f"metadata log {self.path} cannot be read: {reason}; restore it from a backup, or "
            "move it away to start without users, vhosts and queues",
        )

    def write(self, batch: Sequence[Proposed | Replacement]) -> None:
        """`append` and `replace` in order. When it fails it can be called again with the same."""
        start = 0
        for index, each in enumerate(batch):
            if isinstance(each, Replacement):
                start = index + 1
        if start:
            last = batch[start - 1]
            assert isinstance(last, Replacement)
            self.replace(last)
        lines = [each for each in batch[start:] if isinstance(each, Proposed)]
        if lines:
            self.append(lines)

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

    def fold(self, through: int, lines: bytes) -> None:
        """A snapshot in place of what it covers; permanent on return."""
        self._replace(through, lines, "DELETE FROM log WHERE last <= ?", (through,))

    def replace(self, new: Replacement) -> None:
        """A snapshot in place of everything; permanent on return."""
        self._replace(new.number, new.lines, "DELETE FROM log", ())
        self.replaced_count += 1
        self.last_number = new.number

    def _replace(self, through: int, lines: bytes, delete: str, values: tuple[int, ...]) -> None:
        with self._counted():
            self._database.execute(
                "INSERT OR REPLACE INTO snapshot VALUES(1, ?, ?, ?)",
                (through, zlib.crc32(lines), lines),
            )
            self._database.execute(delete, values)
        (self.log_bytes,) = self._one("SELECT coalesce(sum(length(lines)), 0) FROM log")
        self.snapshot_bytes = len(lines)
        # a row without columns for every page: execute() would stop after the first
        self._database.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        self._database.close()
