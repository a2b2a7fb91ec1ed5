"""Cookie, folders, disc."""

from __future__ import annotations

import os
from pathlib import Path

from mqd.daemon.checkup import files


def test_a_cookie(tmp_path: Path) -> None:
    path = tmp_path / ".erlang.cookie"
    assert not files.cookie(path).exists
    path.write_text("SECRET\n")
    path.chmod(0o640)
    found = files.cookie(path)
    assert (found.exists, found.mode, found.owner_uid) == (True, 0o640, os.getuid())
    assert found.hash == found.file_hash == files.cookie_hash("SECRET")
    assert "SECRET" not in str(found)


def test_an_empty_cookie(tmp_path: Path) -> None:
    path = tmp_path / "cookie"
    path.touch()
    assert files.cookie(path).trouble == "is empty"


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    found = files.directory("data", tmp_path)
    assert (found.exists, found.owner_uid, found.foreign_count) == (True, os.getuid(), 0)
    assert not files.directory("data", tmp_path / "no").exists
    assert files.newest_ms(tmp_path) > 0
    assert files.newest_ms(tmp_path / "no") == 0


def test_the_disc_is_measured_and_left_as_it_was(tmp_path: Path) -> None:
    found = files.disc(tmp_path, 5)
    assert found.limit_bytes == 5
    assert found.free_bytes > 0
    assert 1 <= found.sync_count <= files.SYNCS_MAX
    assert found.sync_max_us >= found.sync_median_us
    assert list(tmp_path.iterdir()) == []


def test_a_directory_to_come_is_not_made(tmp_path: Path) -> None:
    found = files.disc(tmp_path / "a" / "b", 5)
    assert found.free_bytes > 0
    assert found.sync_count == 0
    assert list(tmp_path.iterdir()) == []


def test_a_user_who_has_gone() -> None:
    assert files.user_name(4_000_111) == "4000111"
