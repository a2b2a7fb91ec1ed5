"""mqd.storage.database: kinds, versions, migrations, and what is said about files of no use."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from mqd.errors import ErrorCode, MqdError
from mqd.storage.database import Format, delete_database, open_database

OLD = Format("shelf", 0x5348, 1, ("CREATE TABLE books(title TEXT)",))


def _add_author(database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE books ADD COLUMN author TEXT DEFAULT 'unknown'")


NEW = Format("shelf", 0x5348, 2, ("CREATE TABLE books(title TEXT, author TEXT)",), {1: _add_author})


def test_a_new_file_is_private_and_keeps_a_log(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    database = open_database(path, OLD)
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert database.execute("PRAGMA synchronous").fetchone()[0] == 2
    database.close()


def test_an_older_file_is_migrated(tmp_path: Path) -> None:
    old = open_database(tmp_path / "x.db", OLD)
    old.execute("INSERT INTO books VALUES('Emma')")
    old.close()
    new = open_database(tmp_path / "x.db", NEW)
    assert new.execute("SELECT * FROM books").fetchall() == [("Emma", "unknown")]
    assert new.execute("PRAGMA user_version").fetchone()[0] == 2
    new.close()
    open_database(tmp_path / "x.db", NEW).close()


def test_a_migration_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    open_database(tmp_path / "x.db", OLD).close()

    def broken(database: sqlite3.Connection) -> None:
        _add_author(database)
        database.execute("no SQL at all")

    with pytest.raises(MqdError):
        open_database(tmp_path / "x.db", Format("shelf", 0x5348, 2, (), {1: broken}))
    open_database(tmp_path / "x.db", OLD).close()
    open_database(tmp_path / "x.db", NEW).close()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path / "x.db", NEW).close()
    with pytest.raises(MqdError, match=r"x.db has format 2, this mqd knows formats up to 1") as e:
        open_database(tmp_path / "x.db", OLD)
    assert e.value.code is ErrorCode.PRECONDITION_FAILED


def test_a_version_without_migration_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path / "x.db", OLD).close()
    with pytest.raises(MqdError, match="no longer reads"):
        open_database(tmp_path / "x.db", Format("shelf", 0x5348, 2, ()))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path / "x.db", OLD).close()
    with pytest.raises(MqdError, match="is no cupboard of mqd"):
        open_database(tmp_path / "x.db", Format("cupboard", 0x4350, 1, ()))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(MqdError, match="cannot be used: file is not a database; restore it"):
        open_database(tmp_path / "x.db", OLD)


def test_a_file_in_use_is_refused(tmp_path: Path) -> None:
    first = open_database(tmp_path / "x.db", OLD)
    with pytest.raises(MqdError, match="in use by another process") as caught:
        open_database(tmp_path / "x.db", OLD)
    assert caught.value.code is ErrorCode.RESOURCE_LOCKED
    first.close()


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MqdError, match=r"nowhere/x\.db"):
        open_database(tmp_path / "nowhere" / "x.db", OLD)


def test_delete_takes_the_log_too(tmp_path: Path) -> None:
    open_database(tmp_path / "x.db", OLD).close()
    (tmp_path / "x.db-wal").write_bytes(b"left over")
    delete_database(tmp_path / "x.db")
    delete_database(tmp_path / "x.db")
    assert list(tmp_path.iterdir()) == []
