"""Facts of files: the cookie, the folders and whose they are, the disc and how fast it syncs.

Decides what is looked at and how much of it: a folder's first thousand entries, the disc for a
second. Writes one small file of its own into the data directory, and removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import stat
import statistics
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Final

from mqd.rpc.v1 import doctor_pb2 as pb

ENTRIES_MAX: Final = 1000
SYNCS_MAX: Final = 32
SYNC_WITHIN_S: Final = 1.0
_BLOCK: Final = bytes(4096)


def user_name(uid: int) -> str:
    """Or the number, of a user who has gone."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def cookie_hash(cookie: str) -> str:
    """As it travels from a tool to the node."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def cookie(path: Path) -> pb.CookieFacts:
    """Of the file."""
    facts = pb.CookieFacts(path=str(path))
    try:
        found = path.stat()
    except FileNotFoundError:
        return facts
    except OSError as error:
        facts.trouble = error.strerror or str(error)
        return facts
    facts.exists = True
    facts.mode = stat.S_IMODE(found.st_mode) & 0o777
    facts.owner_uid = found.st_uid
    facts.owner = user_name(found.st_uid)
    try:
        text = path.read_text("utf-8", "replace").strip()
    except OSError as error:
        facts.trouble = f"cannot be read: {error.strerror}"
        return facts
    if text:
        facts.hash = facts.file_hash = cookie_hash(text)
    else:
        facts.trouble = "is empty"
    return facts


def directory(purpose: str, path: Path) -> pb.DirectoryFacts:
    """Whose a folder is, and what in it is of somebody else."""
    facts = pb.DirectoryFacts(purpose=purpose, path=str(path))
    try:
        owner = path.stat().st_uid
    except OSError:
        return facts
    facts.exists, facts.owner_uid, facts.owner = True, owner, user_name(owner)
    for entry, found in _entries(path):
        if found.st_uid != owner:
            facts.foreign_count += 1
            facts.foreign_example = facts.foreign_example or entry
    return facts


def _entries(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in islice(entries, ENTRIES_MAX):
            with contextlib.suppress(OSError):
                yield entry.path, entry.stat(follow_symlinks=False)


def newest_ms(path: Path) -> int:
    """When a file of the folder was last written; 0 when there is none."""
    return max((int(found.st_mtime * 1000) for _, found in _entries(path)), default=0)


def disc(path: Path, limit_bytes: int) -> pb.DiscFacts:
    """Free space, and how long it takes until something is really there."""
    facts = pb.DiscFacts(path=str(path), limit_bytes=limit_bytes)
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        found = os.statvfs(there)
    except OSError as error:
        facts.trouble = error.strerror or str(error)
        return facts
    facts.free_bytes = found.f_bavail * found.f_frsize
    facts.free_inodes, facts.inodes = found.f_favail, found.f_files
    if there != path:
        return facts
    try:
        times = list(_syncs(path))
    except OSError as error:
        facts.trouble = error.strerror or str(error)
        return facts
    facts.sync_count = len(times)
    facts.sync_median_us = int(statistics.median(times) * 1_000_000)
    facts.sync_max_us = int(max(times) * 1_000_000)
    return facts


def _syncs(path: Path) -> Iterator[float]:
    """Seconds of each, as a commit writes and syncs."""
    began = perf_counter()
    with tempfile.TemporaryFile(dir=path, prefix=".doctor-") as file:
        for _ in range(SYNCS_MAX):
            file.write(_BLOCK)
            file.flush()
            start = perf_counter()
            os.fdatasync(file.fileno())
            now = perf_counter()
            yield now - start
            if now - began > SYNC_WITHIN_S:
                return
