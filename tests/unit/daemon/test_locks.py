"""One node per data directory, and the pid file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mqd.daemon.locks import DataLock, remove_pid_file, write_pid_file
from mqd.errors import ErrorCode, MqdError


def test_a_second_node_is_refused_by_name_of_the_pid(tmp_path: Path) -> None:
    first = DataLock(tmp_path / "data")
    with pytest.raises(MqdError, match=f"in use by another node, process {os.getpid()}") as caught:
        DataLock(tmp_path / "data")
    assert caught.value.code is ErrorCode.RESOURCE_LOCKED
    first.release()
    DataLock(tmp_path / "data").release()


def test_releasing_twice_is_harmless(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    lock.release()
    lock.release()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MqdError, match="RABBITMQ_MNESIA_BASE"):
        DataLock(tmp_path / "file" / "data")


def test_the_pid_file_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "run" / "pid"
    write_pid_file(path)
    assert path.read_text() == f"{os.getpid()}\n"
    remove_pid_file(path)
    assert not path.exists()
    remove_pid_file(path)


def test_the_pid_file_of_another_stays(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1\n")
    remove_pid_file(path)
    assert path.exists()


def test_a_pid_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MqdError, match="set RABBITMQ_PID_FILE"):
        write_pid_file(tmp_path / "file" / "pid")
