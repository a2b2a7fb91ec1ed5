"""One server at most in a folder, whatever its program is called and whatever it hears."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mqd.cluster.engine import child
from mqd.cluster.engine.child import Lock
from mqd.errors import MqdError
from tests.waiting import PATIENCE_S

_HANGS = (
    "import fcntl, signal, sys\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "file = open(sys.argv[1], 'r+')\n"
    "fcntl.flock(file, fcntl.LOCK_EX)\n"
    "print('held', flush=True)\n"
    "signal.pause()\n"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_LEFT_OVER_TIMEOUT_S", 0.2)


def hanging(path: Path) -> subprocess.Popen[str]:
    """A process that is no nats-server by its name, has the lock, and hears no SIGTERM."""
    path.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", _HANGS, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_that_hangs_and_is_called_otherwise_is_ended(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "lock"
        with hanging(path) as process:
            path.write_text(f"{process.pid:<20d}")
            lock = Lock(path)
            await lock.take()
            assert process.wait(PATIENCE_S) == -9
            lock.release()

    asyncio.run(run())


def test_a_process_that_has_only_the_pid_is_let_be(tmp_path: Path) -> None:
    async def run() -> None:
        path, other = tmp_path / "lock", tmp_path / "other"
        with hanging(path) as holder, hanging(other) as stranger:
            path.write_text(f"{stranger.pid:<20d}")
            lock = Lock(path)
            with pytest.raises(MqdError, match="another nats-server holds"):
                await lock.take()
            assert (holder.poll(), stranger.poll()) == (None, None)
            lock.release()
            for process in (holder, stranger):
                process.kill()

    asyncio.run(run())


def test_it_never_ends_itself(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock(path)
    os.pwrite(lock.descriptor, b"%-20d" % os.getpid(), 0)
    with pytest.raises(ProcessLookupError):
        lock._holder()
    lock.release()
