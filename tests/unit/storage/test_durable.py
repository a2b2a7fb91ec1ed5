"""In which order files and their names become permanent."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqd.storage import durable

Steps = list[tuple[str, str]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Steps:
    """What is asked of the disc: (what, of which path)."""
    done: Steps = []
    sync, rename = os.fsync, os.replace

    def shown(path: str) -> str:
        return os.path.relpath(path, tmp_path)

    def syncs(descriptor: int) -> None:
        done.append(("sync", shown(os.readlink(f"/proc/self/fd/{descriptor}"))))
        sync(descriptor)

    def renames(old: Any, new: Any) -> None:
        done.append(("rename", shown(new)))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", syncs)
    monkeypatch.setattr(os, "replace", renames)
    return done


def test_a_file_is_permanent_before_its_name_and_that_before_the_return(
    tmp_path: Path, steps: Steps
) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    path.chmod(0o644)
    (tmp_path / "kept.new").write_bytes(b"of a crash")
    durable.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert steps == [("sync", "kept.new"), ("rename", "kept"), ("sync", ".")]
    assert os.listdir(tmp_path) == ["kept"]


def test_a_new_folder_and_those_above_it_are_permanent(tmp_path: Path, steps: Steps) -> None:
    durable.make_folder(tmp_path / "base" / "node", 0o700)
    assert sorted(steps) == [("sync", "."), ("sync", "base")]
    assert stat.S_IMODE((tmp_path / "base" / "node").stat().st_mode) == 0o700
    steps.clear()
    durable.make_folder(tmp_path / "base" / "node", 0o700)
    assert steps == []


def test_names_above_may_be_another_users(
    tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def refuses(path: Any, *flags: Any) -> int:
        if Path(path) == tmp_path:
            raise PermissionError(errno.EACCES, "it is another's")
        return open_file(path, *flags)

    (tmp_path / "base").mkdir()
    monkeypatch.setattr(os, "open", refuses)
    durable.sync_names(tmp_path / "base", above=1)
    durable.make_folder(tmp_path / "other", 0o700)
    assert steps == [("sync", "base")]
    with pytest.raises(PermissionError):
        durable.sync_names(tmp_path)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_what_was_there_stays_until_all_of_the_new_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, fails, _refusing())
    with pytest.raises(OSError, match="no room"):
        durable.replace(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    durable.replace(path, b"new")
    assert path.read_bytes() == b"new"


def _refusing() -> Callable[..., None]:
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    return refuses
