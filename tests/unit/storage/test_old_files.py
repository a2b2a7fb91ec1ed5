"""Files of every version that was ever released, byte for byte, are still read.

A new version adds its file here; none is ever taken away or changed.
"""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest

from mqd.errors import MqdError
from mqd.metadata.commands import VhostRecord
from mqd.metadata.store import MetadataStore
from mqd.storage.database import Format, open_database
from mqd.storage.rows import MESSAGE_STORE
from tests.stores import Stage

# three messages of queue 5, the second one settled by the next commit
MESSAGES_1 = """
PRAGMA application_id = 1836147821;
PRAGMA user_version = 1;
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE commits(id INTEGER PRIMARY KEY, crc INTEGER, settled BLOB, messages BLOB);
CREATE VIEW incoming AS SELECT id, crc, settled, messages, '[]' AS gone, '[]' AS stripped
 FROM commits;
CREATE TRIGGER take INSTEAD OF INSERT ON incoming BEGIN
 DELETE FROM commits WHERE id IN (SELECT value FROM json_each(NEW.gone));
 UPDATE commits SET messages = NULL WHERE id IN (SELECT value FROM json_each(NEW.stripped));
 INSERT OR REPLACE INTO commits SELECT NEW.id, NEW.crc, NEW.settled, NEW.messages
 WHERE NEW.id IS NOT NULL; END;
INSERT INTO meta VALUES('vhost', x'2f');
"""

MESSAGES_1_HELD = bytes.fromhex(
    "010200000300000005000000000000000101010100000003"
    "00000000017103000000010000000100000001000000616263"
)
MESSAGES_1_CRC = 3799570193
MESSAGES_1_SETTLED = bytes.fromhex("010000000100000000000000010000010000000074181035")

# what version 2 has more: two messages, one that ends at 5000 ms and was returned three times; the
# other was returned twice, as the next commit tells
MESSAGES_2_HELD = bytes.fromhex(
    "020e0000020000000500000000000000010188130000000000000000000000000000"
    "030000000000000001000000030000000001710200000001000000010000006162"
)
MESSAGES_2_TOLD = bytes.fromhex("02000000000000000000000001000000010000010000000002000000e58ca40b")

METADATA_1 = """
PRAGMA application_id = 1836147811;
PRAGMA user_version = 1;
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE log(last INTEGER PRIMARY KEY, count INTEGER, crc INTEGER, lines BLOB);
CREATE TABLE snapshot(one INTEGER PRIMARY KEY CHECK(one = 1), through INTEGER, crc INTEGER,
 lines BLOB);
INSERT INTO meta VALUES('boots', 7);
"""
SNAPSHOT_1 = b'["put_vhost",1,{"vhost":{"name":"/"},"must":"anything","predeclare":false}]'
LOG_1 = (
    b'["put_vhost",1,{"vhost":{"name":"v","description":"d","tags":["t"],'
    b'"default_queue_type":null,"tracing":false},"must":"anything","predeclare":true}]\n'
    b'["delete_vhost",1,{"name":"/"}]'
)


def _create(path: Path, script: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(script)
    return database


def test_message_store_1(tmp_path: Path) -> None:
    database = _create(tmp_path / "x.db", MESSAGES_1)
    held = (1, MESSAGES_1_CRC, None, MESSAGES_1_HELD)
    database.execute("INSERT INTO commits VALUES(?, ?, ?, ?)", held)
    database.execute("INSERT INTO commits VALUES(2, NULL, ?, NULL)", (MESSAGES_1_SETTLED,))
    database.close()
    stage = Stage(tmp_path / "x.db")
    recovered = stage.recover()
    assert [(queue_id, each.content) for queue_id, each, _ in recovered] == [(5, b"a"), (5, b"c")]
    for queue_id, each, _ in recovered:
        stage.store.settle(queue_id, each)
    stage.writer.run()
    assert stage.row_ids() == []


@pytest.mark.asyncio
async def test_metadata_1(tmp_path: Path) -> None:
    database = _create(tmp_path / "x.db", METADATA_1)
    crc = zlib.crc32(SNAPSHOT_1)
    database.execute("INSERT INTO snapshot VALUES(1, 10, ?, ?)", (crc, SNAPSHOT_1))
    database.execute("INSERT INTO log VALUES(12, 2, ?, ?)", (zlib.crc32(LOG_1), LOG_1))
    database.close()
    store = MetadataStore.open(tmp_path / "x.db")
    assert store.state.vhosts == {"v": VhostRecord("v", "d", ("t",))}
    assert store.new_queue_id() >> 32 == 8
    await store.close()


def test_message_store_2(tmp_path: Path) -> None:
    database = _create(tmp_path / "x.db", MESSAGES_1.replace("version = 1", "version = 2"))
    held = (1, zlib.crc32(MESSAGES_2_HELD), None, MESSAGES_2_HELD)
    database.execute("INSERT INTO commits VALUES(?, ?, ?, ?)", held)
    database.execute("INSERT INTO commits VALUES(2, NULL, ?, NULL)", (MESSAGES_2_TOLD,))
    database.close()
    recovered = [each for _, each, _ in Stage(tmp_path / "x.db", 1000).recover()]
    assert [(m.content, m.expires_ms, m.delivery_count) for m in recovered] == [
        (b"a", 4000, 3),
        (b"b", 0, 2),
    ]


def test_a_newer_message_store_is_refused(tmp_path: Path) -> None:
    newer = Format(MESSAGE_STORE.noun, MESSAGE_STORE.application_id, 3, MESSAGE_STORE.schema)
    open_database(tmp_path / "x.db", newer).close()
    with pytest.raises(MqdError, match=r"message store .* has format 3, this mqd knows .* 2"):
        Stage(tmp_path / "x.db")
