"""`cluster.json` in a node's data directory.

Decides that it is permanent on return and readable by its owner alone: the file tells how the
members are reached. Never looks into it (`record` does).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mqd.cluster.membership.record import FILE_NAME, Record, decode, encode
from mqd.errors import ErrorCode, MqdError


def read(data: Path) -> Record | None:
    """None where there is none. Raises MqdError for one that cannot be used."""
    try:
        text = (data / FILE_NAME).read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE, f"{data / FILE_NAME} cannot be read: {error}"
        ) from error
    return decode(text)


def write(data: Path, record: Record) -> None:
    """In place of what was there. Raises MqdError when the disc refuses."""
    path = data / FILE_NAME
    beside = path.with_suffix(".new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(encode(record))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync(data)
    except OSError as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE, f"{path} cannot be written: {error.strerror}"
        ) from error


def remove(data: Path) -> None:
    """Harmless when there is none."""
    (data / FILE_NAME).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _sync(data)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
