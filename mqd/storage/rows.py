"""The table of a message store: one row a commit, one statement a commit.

Decides the schema, the one statement that writes, and how rows are read back. Never decides what
a row should hold.

A commit that holds messages, tells what is settled and lets old rows go is one INSERT into a
view whose trigger does the rest, in autocommit: sqlite3 gives up the GIL several times in every
statement and must win it back from a loop thread that is busy, so statements are what costs.
"""

from __future__ import annotations

import logging
import sqlite3
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from mqd.broker.message import Message
from mqd.limits import COMMIT_BYTES_MAX, COMMIT_MESSAGES_MAX
from mqd.storage.database import Format
from mqd.storage.format import (
    NOTHING_TOLD,
    Damaged,
    Records,
    Told,
    pack_messages,
    unpack_messages,
    unpack_settled,
)

log = logging.getLogger(__name__)

MESSAGE_STORE = Format(
    noun="message store",
    application_id=0x6D71646D,  # "mqdm"
    version=2,  # 2: blobs may hold expiries and delivery counts; 1 reads as it is
    migrations={1: lambda _database: None},
    schema=(
        "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        # settled before messages: it is read without walking the pages of the other
        "CREATE TABLE commits(id INTEGER PRIMARY KEY, crc INTEGER, settled BLOB, messages BLOB)",
        "CREATE VIEW incoming AS SELECT id, crc, settled, messages, "
        "'[]' AS gone, '[]' AS stripped FROM commits",
        "CREATE TRIGGER take INSTEAD OF INSERT ON incoming BEGIN "
        "DELETE FROM commits WHERE id IN (SELECT value FROM json_each(NEW.gone)); "
        "UPDATE commits SET messages = NULL "
        "WHERE id IN (SELECT value FROM json_each(NEW.stripped)); "
        "INSERT OR REPLACE INTO commits SELECT NEW.id, NEW.crc, NEW.settled, NEW.messages "
        "WHERE NEW.id IS NOT NULL; END",
    ),
)
_WRITE = "INSERT INTO incoming VALUES(?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Commit:
    """What one statement does. Without settled and messages no row is written."""

    id: int
    settled: bytes
    messages: bytes
    gone: Sequence[int]
    stripped: Sequence[int]

    def news(self) -> Commit:
        """The part that holds no messages: it fits where the whole does not."""
        return replace(self, messages=b"")

    @property
    def has_news(self) -> bool:
        return bool(self.settled or self.gone or self.stripped)


def cut(live: list[tuple[int, Message]]) -> list[tuple[int, Message]]:
    """Shorten to what one row may hold; returns what is left over."""
    count = len(live)
    if count <= COMMIT_MESSAGES_MAX:
        total = sum([len(pair[1].content) for pair in live])
        if total <= COMMIT_BYTES_MAX:
            return []
    sizes = accumulate(len(pair[1].content) for pair in live)
    fitting = sum(1 for size in sizes if size <= COMMIT_BYTES_MAX)
    fitting = min(max(fitting, 1), COMMIT_MESSAGES_MAX)
    rest = live[fitting:]
    del live[fitting:]
    return rest


def write(database: sqlite3.Connection, commit: Commit) -> None:
    """Make it permanent: on return it is on disc."""
    messages = commit.messages
    database.execute(
        _WRITE,
        (
            commit.id if messages or commit.settled else None,
            zlib.crc32(messages) if messages else None,
            commit.settled or None,
            messages or None,
            _json(commit.gone),
            _json(commit.stripped),
        ),
    )


def _json(row_ids: Sequence[int]) -> str:
    return f"[{','.join(map(str, row_ids))}]" if row_ids else "[]"


def mark_closed(database: sqlite3.Connection, delivered: Sequence[int]) -> None:
    """An orderly end: only these, by key, were delivered before."""
    database.execute(
        "INSERT OR REPLACE INTO meta VALUES ('closed', 1), ('delivered', ?)",
        (array("Q", delivered).tobytes(),),
    )


def delivered_before(database: sqlite3.Connection) -> set[int] | None:
    """What `mark_closed` wrote; None after any other end: it may be any."""
    meta = dict(database.execute("SELECT key, value FROM meta"))
    return set(array("Q", meta.get("delivered", b""))) if "closed" in meta else None


def unmark(database: sqlite3.Connection) -> None:
    """What follows now is another life."""
    database.execute("DELETE FROM meta WHERE key IN ('closed', 'delivered')")


def read_news(database: sqlite3.Connection) -> Iterator[tuple[int, bool, Told]]:
    """(row id, whether it holds messages, its news) of every row, oldest first."""
    rows = database.execute("SELECT id, messages NOTNULL, settled FROM commits ORDER BY id")
    for row_id, has_messages, settled in rows:
        try:
            told = unpack_settled(settled or b"")
        except Damaged as error:
            log.error("commit %d: %s: acknowledged messages may be delivered again", row_id, error)
            told = NOTHING_TOLD
        yield row_id, bool(has_messages), told


def read_messages(database: sqlite3.Connection) -> Iterator[tuple[int, int, Records | None]]:
    """(row id, size, records) of every row with messages, oldest first.

    A damaged row is reported and has no records.
    """
    rows = database.execute(
        "SELECT id, crc, messages FROM commits WHERE messages IS NOT NULL ORDER BY id"
    )
    for row_id, crc, blob in rows:
        try:
            yield row_id, len(blob), _checked(row_id, crc, blob)
        except Damaged as error:
            log.error("commit %d cannot be read, its messages are lost: %s", row_id, error)
            yield row_id, len(blob), None


def _checked(row_id: int, crc: int, blob: bytes) -> Records:
    if zlib.crc32(blob) != crc:
        raise Damaged("the checksum does not match")
    return unpack_messages(blob, row_id)


@dataclass(frozen=True, slots=True)
class Source:
    """A row to be rewritten: settled holds one byte a record, or nothing; counts are by place,
    of those that changed since it was written."""

    row_id: int
    settled: bytes
    counts: Mapping[int, int]
    news_needed: bool


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What stands in the row that replaced the others."""

    keys: array[int]
    queue_ids: array[int]
    size: int


def rewrite(database: sqlite3.Connection, sources: Sequence[Source]) -> Rewritten:
    """Write what is unsettled in neighbouring rows into the first of them (writer thread).

    Rows whose news is needed keep that and lose their messages. Raises Damaged.
    """
    keys, queue_ids = array("Q"), array("Q")
    messages = []
    first_news = b""
    for source in sources:
        crc, settled, blob = database.execute(
            "SELECT crc, settled, messages FROM commits WHERE id = ?", (source.row_id,)
        ).fetchone()
        if source is sources[0] and source.news_needed:
            first_news = settled
        records = _checked(source.row_id, crc, blob)
        dead = source.settled or bytes(len(records.keys))
        for at, count in source.counts.items():
            records.messages[at].delivery_count = count
        keep = [at for at, flag in enumerate(dead) if not flag]
        keys.extend([records.keys[at] for at in keep])
        queue_ids.extend([records.queue_ids[at] for at in keep])
        messages += [records.messages[at] for at in keep]
    blob = pack_messages(queue_ids, messages, keys)
    others = sources[1:]
    write(
        database,
        Commit(
            sources[0].row_id,
            first_news,
            blob,
            [each.row_id for each in others if not each.news_needed],
            [each.row_id for each in others if each.news_needed],
        ),
    )
    return Rewritten(keys, queue_ids, len(blob))
