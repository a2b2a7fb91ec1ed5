"""A data directory that is emptied: as a whole, whatever happens meanwhile.

Theory. A reset, or a join, that ends half-way would leave a node with some of its files: metadata
of a member without the record that says so, or a record without metadata. So before the first file
goes a marker says that all do, and what is to stand there then. Whoever finds the marker removes
the rest.

Decides that. Never decides when a node forgets everything (`lifecycle` and `membership` do).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from mqd.daemon.locks import LOCK_FILE
from mqd.errors import ErrorCode, MqdError
from mqd.storage import durable

MARKER: Final = "emptying"
RECORD_FILE: Final = "cluster.json"  # `mqd.cluster.membership` keeps it


def empty(directory: Path, record: str = "") -> None:
    """Remove everything but the lock, which the caller holds. record: then the node is a member
    again, and remembers that. Raises MqdError; then it is as it was, or begun."""
    try:
        durable.replace(directory / MARKER, record.encode())
    except OSError as error:
        raise _hindered(directory, error) from error
    finish(directory)


def finish(directory: Path) -> bool:
    """What was begun and interrupted; whether anything was. Raises MqdError."""
    marker = directory / MARKER
    try:
        record = marker.read_text("utf-8")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _hindered(directory, error) from error
    try:
        _remove(directory, record)
    except OSError as error:
        raise _hindered(directory, error) from error
    return True


def _hindered(directory: Path, error: OSError) -> MqdError:
    text = f"{directory} cannot be emptied: {error.strerror or error}"
    return MqdError(ErrorCode.UNAVAILABLE, text)


def _remove(directory: Path, record: str) -> None:
    for path in directory.iterdir():
        if path.name in (LOCK_FILE, MARKER):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if record:
        durable.replace(directory / RECORD_FILE, record.encode())
    durable.sync_names(directory)
    (directory / MARKER).unlink()
    durable.sync_names(directory)
