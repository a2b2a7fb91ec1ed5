"""The shared secret of a cluster, in RabbitMQ's file.

Decides how .erlang.cookie is read and made: 20 random capital letters, mode 0400, refused when
others may read it (as the Erlang VM does). Never sends it anywhere.
"""

from __future__ import annotations

import os
import secrets
import string
from pathlib import Path

from mqd.errors import ErrorCode, MqdError


def read_or_create(path: Path) -> str:
    """The cookie in `path`, which is made when absent. Raises MqdError."""
    try:
        return _read(path)
    except FileNotFoundError:
        return _create(path)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error


def _read(path: Path) -> str:
    mode = path.stat().st_mode
    text = path.read_text("utf-8", "replace").strip()
    if mode & 0o077:
        # RabbitMQ's VM refuses to start here; a file that only we own can be put right.
        _tighten(path)
    if not text:
        raise _unusable(path, "is empty: remove it, and a new one is made")
    return text


def _tighten(path: Path) -> None:
    try:
        path.chmod(0o400)
    except OSError as error:
        raise _unusable(path, "must be accessible by its owner only: chmod 400") from error


def _create(path: Path) -> str:
    cookie = "".join(secrets.choice(string.ascii_uppercase) for _ in range(20))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    except FileExistsError:  # another node of the same user was faster
        return _read(path)
    except OSError as error:
        raise _unusable(path, f"cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(cookie)
    return cookie


def _unusable(path: Path, why: str) -> MqdError:
    return MqdError(ErrorCode.UNAVAILABLE, f"cookie file {path} {why}")
