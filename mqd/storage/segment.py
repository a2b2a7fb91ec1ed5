"""The bytes of a stream on disc: segment files of chunks, and an index beside each.

Decides the layout, version 1, little-endian, and how a file is read when its end or its index is
not what was written. Never decides when anything is written, or which segments there are.

FIRST.segment: "mqdstrm" and the version, one octet, then chunks one after the other
chunk:         "chnk" · u32 CRC of all that follows · u32 bytes of the body · u32 messages
               · u64 offset of the first · u64 wall-clock ms, never less than the one before
               · body: `mqd.storage.format.pack_messages` of queue 0
FIRST.index:   u64 offset · u64 wall-clock ms · u64 place, for the first chunk and then for a chunk
               every INDEX_STEP_BYTES or so

FIRST is the offset of the segment's first message in 20 digits, so that names sort. An entry of the
index is written when all before its place is on disc, and is a hint: what it says is looked at.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mqd.broker.message import Message
from mqd.limits import STREAM_INDEX_STEP_BYTES
from mqd.storage.format import Damaged, pack_messages, unpack_messages

FILE_HEAD = b"mqdstrm\x01"
_MAGIC = b"chnk"
_HEAD = struct.Struct("<4sIIIQQ")
_AFTER_CRC = struct.Struct("<IIQQ")
_ENTRY = struct.Struct("<QQQ")
ENTRY_BYTES = _ENTRY.size
_UNCHECKED_BYTES_MIN = 1 << 26  # a larger segment that lost its index is not read whole


def pack_chunk(first: int, wall_ms: int, messages: Sequence[Message]) -> bytes:
    """One chunk; `first` is the offset of its first message."""
    body = pack_messages([0] * len(messages), messages)
    rest = _AFTER_CRC.pack(len(body), len(messages), first, wall_ms)
    crc = zlib.crc32(body, zlib.crc32(rest))
    return b"".join((_MAGIC, crc.to_bytes(4, "little"), rest, body))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where a chunk stands in the bytes it was found in, and what it says of itself."""

    at: int
    end: int
    first: int
    count: int
    wall_ms: int


def chunks(data: bytes, *, whole: bool) -> Iterator[Chunk]:
    """The chunks from the beginning of the bytes on, up to one that is cut off or is none.

    whole: compare checksums. What follows the last that was yielded is no chunk.
    """
    at = 0
    while at + _HEAD.size <= len(data):
        magic, crc, size, count, first, wall_ms = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + size
        if magic != _MAGIC or end > len(data) or not count:
            return
        if whole and zlib.crc32(memoryview(data)[at + 8 : end]) != crc:
            return
        yield Chunk(at, end, first, count, wall_ms)
        at = end


def messages_of(data: bytes, chunk: Chunk) -> list[Message]:
    """Raises Damaged when the body is not what a chunk of so many messages holds."""
    messages = unpack_messages(data[chunk.at + _HEAD.size : chunk.end], 0).messages
    if len(messages) != chunk.count:
        raise Damaged("a chunk does not hold what it says")
    for message in messages:
        message.segment = 0
        message.stored = False
    return messages


class Index:
    """The entries of one segment, in order."""

    __slots__ = ("firsts", "places", "walls")

    def __init__(self) -> None:
        self.firsts = array("Q")
        self.walls = array("Q")
        self.places = array("Q")

    def __len__(self) -> int:
        return len(self.firsts)

    def wants(self, place: int) -> bool:
        """Whether a chunk at that place gets an entry."""
        return not self.places or place - self.places[-1] >= STREAM_INDEX_STEP_BYTES

    def add(self, first: int, wall_ms: int, place: int) -> None:
        self.firsts.append(first)
        self.walls.append(wall_ms)
        self.places.append(place)

    def block_of(self, offset: int) -> int:
        """The last block that begins at or before the offset."""
        return max(bisect_right(self.firsts, offset) - 1, 0)

    def block_before(self, wall_ms: int) -> int:
        """The last block that begins before that time, or the first."""
        return max(bisect_left(self.walls, wall_ms) - 1, 0)

    def span(self, block: int, end: int) -> tuple[int, int]:
        """From where to where in the file a block goes."""
        following = block + 1
        return self.places[block], self.places[following] if following < len(self) else end

    def pack(self, start: int = 0, end: int | None = None) -> bytes:
        """These entries as they stand in the file."""
        columns = (self.firsts[start:end], self.walls[start:end], self.places[start:end])
        return b"".join(_ENTRY.pack(*entry) for entry in zip(*columns, strict=True))


@dataclass(slots=True)
class Segment:
    """A segment file. size: of what is on disc and whole. The walls are of its first and its last
    chunk, 0 while it has none."""

    first: int
    path: Path
    size: int = len(FILE_HEAD)
    first_wall_ms: int = 0
    last_wall_ms: int = 0

    @property
    def index_path(self) -> Path:
        return self.path.with_suffix(".index")


def read_block(path: Path, start: int, end: int) -> bytes:
    """Bytes of a segment; fewer than asked for at the end of the file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, end - start, start)
    finally:
        os.close(fd)


def load_index(segment: Segment) -> Index:
    """The index file as far as it is one that fits the segment; made anew when it does not."""
    return _stored(segment) or _made_anew(segment)


def _stored(segment: Segment) -> Index | None:
    index = Index()
    try:
        data = segment.index_path.read_bytes()
    except OSError:
        data = b""
    place = len(FILE_HEAD)
    for first, wall_ms, at in _ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size]):
        in_order = at > place and first > index.firsts[-1] if len(index) else at == place
        if not in_order or at >= segment.size:
            break
        index.add(first, wall_ms, at)
        place = at
    return index if len(index) and index.firsts[0] == segment.first else None


def _made_anew(segment: Segment) -> Index:
    index = Index()
    place = len(FILE_HEAD)
    while place < segment.size:
        data = read_block(
            segment.path, place, min(place + 4 * STREAM_INDEX_STEP_BYTES, segment.size)
        )
        end = place
        for chunk in chunks(data, whole=False):
            if index.wants(place + chunk.at):
                index.add(chunk.first, chunk.wall_ms, place + chunk.at)
            end = place + chunk.end
        if end == place:
            end = _beyond(segment, place)
        if end <= place:
            break
        place = end
    return index


def _beyond(segment: Segment, place: int) -> int:
    """Where a chunk ends that is larger than one reading; the place itself when there is none."""
    data = read_block(segment.path, place, place + _HEAD.size)
    if len(data) < _HEAD.size or data[:4] != _MAGIC:
        return place
    end = place + _HEAD.size + int.from_bytes(data[8:12], "little")
    return end if end <= segment.size else place


def recover(segment: Segment) -> tuple[Index, int]:
    """The last segment of a stream after any end of the node: (index, offset that comes next).

    Sets its size to what is whole; what lies behind that was never confirmed. From the last entry
    of the index on every chunk is checked, all before was on disc when that was written.
    """
    segment.size = segment.path.stat().st_size
    if segment.size < len(FILE_HEAD):
        segment.size = len(FILE_HEAD)
        return Index(), segment.first
    index = _stored(segment)
    if index is None and segment.size <= _UNCHECKED_BYTES_MIN:
        index = Index()
        data = read_block(segment.path, len(FILE_HEAD), segment.size)
        for chunk in chunks(data, whole=True):
            index.add(chunk.first, chunk.wall_ms, len(FILE_HEAD))
            break
    elif index is None:
        index = _made_anew(segment)
    while len(index):
        start = index.places[-1]
        found = _walk(segment, index, start)
        if found is not None:
            return index, found
        for column in (index.firsts, index.walls, index.places):  # that entry pointed nowhere
            column.pop()
    segment.size = len(FILE_HEAD)
    return index, segment.first


def _walk(segment: Segment, index: Index, start: int) -> int | None:
    """Check the chunks from there on; None when there is none. Extends the index."""
    data = read_block(segment.path, start, segment.size)
    following = None
    end = start
    for chunk in chunks(data, whole=True):
        if following is not None and chunk.first != following:
            break
        following = chunk.first + chunk.count
        if chunk.at and index.wants(start + chunk.at):
            index.add(chunk.first, chunk.wall_ms, start + chunk.at)
        segment.last_wall_ms = chunk.wall_ms
        end = start + chunk.end
    if following is None:
        return None
    segment.size = end
    segment.first_wall_ms = index.walls[0]
    return following


def close(segment: Segment) -> Index:
    """A segment that others follow: learn its times. Returns the index."""
    segment.size = segment.path.stat().st_size
    index = load_index(segment)
    if len(index):
        segment.first_wall_ms = segment.last_wall_ms = index.walls[0]
        data = read_block(segment.path, index.places[-1], segment.size)
        for chunk in chunks(data, whole=False):
            segment.last_wall_ms = chunk.wall_ms
    return index
