"""What one batch adds to the segment files of a stream, and what a crash left half added.

Decides how bytes that were laid out get on disc, so that it may be done again after a disc refused,
and how a file is made fit to be written on. Never decides where they go (`mqd.storage.streams`).

Making fit needs no room: a node may be started on a full disc. So what the index lacks is owed to
the next write, and a segment without a chunk gets its head together with its first one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from mqd.storage.durable import sync_names
from mqd.storage.segment import ENTRY_BYTES, FILE_HEAD, Index, Segment


@dataclass(slots=True)
class Write:
    """What one batch adds to one segment file, and what follows from it. place: where, the file's
    head included when is_new. end, walls: of the file with it."""

    segment: Segment
    index: Index
    place: int
    is_new: bool
    parts: list[bytes] = field(default_factory=list)
    entries_from: int = 0  # of the index: new ones
    entries_to: int = 0
    first_wall_ms: int = 0
    last_wall_ms: int = 0
    end: int = 0

    def run(self) -> None:
        """On the writer thread; on return it is on disc. May be repeated."""
        if self.is_new:
            self.segment.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        fd = os.open(self.segment.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        try:
            data = b"".join(self.parts)
            _write_all(fd, FILE_HEAD + data if self.is_new else data, self.place)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        if self.is_new:
            sync_names(self.segment.path.parent, above=2)  # of the stream, and of all streams
        if self.entries_to > self.entries_from:
            self._write_index()

    def _write_index(self) -> None:
        fd = os.open(self.segment.index_path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        try:
            entries = self.index.pack(self.entries_from, self.entries_to)
            _write_all(fd, entries, self.entries_from * ENTRY_BYTES)
        finally:
            os.close(fd)


def _write_all(fd: int, data: bytes, place: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], place + done)


def make_fit(segment: Segment, index: Index) -> int:
    """Cut off what is no chunk at the end, before anything is written there. Returns how many
    entries of the index are on disc."""
    with segment.path.open("r+b") as file:
        file.truncate(segment.size if len(index) else 0)
        os.fsync(file.fileno())
    wanted = index.pack()
    known = 0
    try:
        with segment.index_path.open("r+b") as file:
            while file.read(ENTRY_BYTES) == wanted[known : known + ENTRY_BYTES] != b"":
                known += ENTRY_BYTES
            file.truncate(known)
    except FileNotFoundError:
        return 0
    return known // ENTRY_BYTES
