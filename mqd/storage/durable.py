"""Files that are there as a whole, or as they were, whenever the machine stops.

Theory. What is written is permanent once it is synced, a name once the folder that has it is, and
that folder's own name once the one above is. A file is replaced by another one that is permanent by
then, so the name always leads to a whole one.

Decides that order. Never decides what a failure means: each call raises OSError, and then what was
there before is there still, or what was to be there is.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_BESIDE: Final = ".new"


def replace(path: Path, content: bytes) -> None:
    """Permanent on return, and never readable by others. An empty one needs no room on a full
    disc."""
    beside = path.with_name(path.name + _BESIDE)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_names(path.parent)


def make_folder(path: Path, mode: int) -> None:
    """With those above that are missing. Harmless when it is there."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    for each in missing:
        with contextlib.suppress(PermissionError):
            sync_names(each.parent)


def sync_names(folder: Path, above: int = 0) -> None:
    """What is in it, and it in so many folders above: these may be another user's."""
    _sync(folder)
    for each in folder.parents[:above]:
        with contextlib.suppress(PermissionError):
            _sync(each)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
