"""One node per data directory, and the file that tells its process id.

Decides how a second node on the same data is noticed and what it is told. The lock is the
kernel's: it goes with the process, however that ends. Never looks into the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from mqd.errors import ErrorCode, MqdError
from mqd.storage.durable import make_folder

LOCK_FILE = "mqd.lock"


class DataLock:
    """Holds a data directory, which it makes when absent. Raises MqdError naming the pid that
    has it, or what is wrong with the directory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / LOCK_FILE
        try:
            make_folder(directory, 0o750)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise MqdError(
                ErrorCode.UNAVAILABLE,
                f"cannot use data directory {directory}: {error.strerror}; "
                "check its owner, or set RABBITMQ_MNESIA_BASE",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise MqdError(
                ErrorCode.RESOURCE_LOCKED,
                f"data directory {directory} is in use by another node"
                + (f", process {holder}" if holder else "")
                + ": stop that one first, or give this node its own RABBITMQ_NODENAME or "
                "RABBITMQ_MNESIA_DIR",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would race with them."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def write_pid_file(path: Path) -> None:
    """Raises MqdError when that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"cannot write pid file {path}: {error.strerror}; set RABBITMQ_PID_FILE",
        ) from error


def remove_pid_file(path: Path) -> None:
    """Only when it is still ours: a node that was restarted beside us has its own there."""
    with contextlib.suppress(OSError, ValueError):
        if int(path.read_text()) == os.getpid():
            path.unlink()
