"""`cluster.json` in a node's data directory.

Decides that it is permanent on return and readable by its owner alone: the file tells how the
members are reached. Never looks into it (`record` does).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from mqd.cluster.membership.record import FILE_NAME, Record, decode, encode
from mqd.errors import ErrorCode, MqdError
from mqd.storage import durable


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
    try:
        durable.replace(path, encode(record).encode())
    except OSError as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE, f"{path} cannot be written: {error.strerror}"
        ) from error


def remove(data: Path) -> None:
    """Harmless when there is none."""
    (data / FILE_NAME).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        durable.sync_names(data)
