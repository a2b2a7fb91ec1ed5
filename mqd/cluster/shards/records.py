"""The bytes of a shard: one frame is one entry of its log, and tells of one queue.

Decides what a frame holds and how it is cut. Never decides what it means (`replay`) or when it is
written (`writer`). A frame has these sections, each at most once; the order in which they count is
the order below, whatever order they stand in.

ENQ, KEEP   messages with their numbers; KEEP repeats some that the log has already, so that what
            is before may go
PART        a piece of one message that is too large for a frame
ORIGIN      the numbers that its messages have at the nodes that published them
RETURN      how often messages have come back
PURGE       every message up to a number is settled, but for some
SETTLE      ranges of settled messages
CHECKPOINT  the next number and all origins: what would be forgotten with the frames before
EPOCH       a writer begins: its name, and how many appends it has under way at most

Layout, little-endian: u8 version · u8 0 · u16 sections · u64 epoch · sections · u32 CRC of all
before. Section: u8 kind · 3 x 0 · u32 bytes · the bytes. A message's number is its key in
`mqd.storage.format`, whose columns ENQ and KEEP are, so segment and index of a `Message` are the
number's halves. Numbers count from FIRST_NUMBER, per queue, and are never used again.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from mqd.broker.message import Message
from mqd.storage.format import INDEX_BITS, INDEX_MASK, Damaged, pack_messages, unpack_messages

VERSION: Final = 1
FIRST_NUMBER: Final = 1 << INDEX_BITS  # a message's segment is 0 until it has a number
FRAME_MESSAGES_MAX: Final = 64
FRAME_BYTES_MAX: Final = 65_536
PART_BYTES_MAX: Final = 524_288  # the engine takes 1 MiB at a time
_RANGES_MAX: Final = 4096  # of a frame that only settles
_HEAD = struct.Struct("<BBHQ")
_SECTION = struct.Struct("<B3xI")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_PART = struct.Struct("<QHHB")
_RANGE = struct.Struct("<QI")
_ORIGIN = struct.Struct("<HI")
_EPOCH = struct.Struct("<HH")


Origins = Mapping[bytes, Sequence[tuple[int, int]]]  # ranges of numbers: first, how many


class Section(IntEnum):
    """See the file's charter."""

    ENQ = 1
    KEEP = 2
    PART = 3
    ORIGIN = 4
    RETURN = 5
    PURGE = 6
    SETTLE = 7
    CHECKPOINT = 8
    EPOCH = 9


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the ENQ or KEEP section of one message."""

    number: int
    index: int
    count: int
    keeps: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Epoch:
    """window: appends of that writer under way at most, which is what the next one has to fence."""

    writer: str
    window: int


@dataclass(frozen=True, slots=True)
class Purge:
    """All up to and with a number, except those kept."""

    through: int
    kept: frozenset[int]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """next_number: of the queue's next message."""

    next_number: int
    origins: Origins


@dataclass(slots=True)
class Record:
    """A frame read back. `expires_ms` of its messages is of the wall clock."""

    epoch: int
    enqueued: list[Message] = field(default_factory=list)
    kept: list[Message] = field(default_factory=list)
    part: Part | None = None
    origins: Origins = field(default_factory=dict)
    returns: dict[int, int] = field(default_factory=dict)
    purge: Purge | None = None
    settled: list[tuple[int, int]] = field(default_factory=list)  # first number, how many
    checkpoint: Checkpoint | None = None
    opens: Epoch | None = None


def number_of(message: Message) -> int:
    """The message's number in its queue; 0 when it has none."""
    return message.segment << INDEX_BITS | message.index


def give_number(message: Message, number: int) -> None:
    """Inverse of `number_of`."""
    message.segment = number >> INDEX_BITS
    message.index = number & INDEX_MASK


# -- writing ----------------------------------------------------------------------------------


def seal(epoch: int, sections: Sequence[bytes]) -> bytes:
    """The frame of these sections, as a writer of that epoch appends it."""
    body = b"".join((_HEAD.pack(VERSION, 0, len(sections), epoch), *sections))
    return body + _U32.pack(zlib.crc32(body))


def _section(kind: Section, data: bytes) -> bytes:
    return _SECTION.pack(kind, len(data)) + data


def epoch_section(epoch: Epoch, place: int) -> bytes:
    """place: in the batch that opens the epoch."""
    return _section(Section.EPOCH, _EPOCH.pack(epoch.window, place) + epoch.writer.encode())


def messages_sections(
    queue_id: int, messages: Sequence[Message], wall_offset_ms: int, *, keeps: bool = False
) -> list[bytes]:
    """The sections of as many frames as it takes: one, but for a message that is too large.

    messages: with their numbers, as `cut` cuts them.
    """
    numbers = [number_of(message) for message in messages]
    blob = pack_messages([queue_id] * len(messages), messages, numbers, wall_offset_ms)
    if len(messages) > 1 or len(blob) <= PART_BYTES_MAX:
        return [_section(Section.KEEP if keeps else Section.ENQ, blob)]
    pieces = [blob[at : at + PART_BYTES_MAX] for at in range(0, len(blob), PART_BYTES_MAX)]
    return [
        _section(Section.PART, _PART.pack(numbers[0], index, len(pieces), keeps) + piece)
        for index, piece in enumerate(pieces)
    ]


def cut(messages: Sequence[Message]) -> list[Sequence[Message]]:
    """Runs of messages, in order, that each make a frame."""
    runs: list[Sequence[Message]] = []
    start = size = 0
    for at, message in enumerate(messages):
        bytes_ = len(message.content) + len(message.names)
        if at > start and (size + bytes_ > FRAME_BYTES_MAX or at - start >= FRAME_MESSAGES_MAX):
            runs.append(messages[start:at])
            start, size = at, 0
        size += bytes_
    if start < len(messages):
        runs.append(messages[start:])
    return runs


def origin_section(origins: Origins) -> bytes:
    return _section(Section.ORIGIN, _pack_origins(origins))


def return_section(counts: Mapping[int, int]) -> bytes:
    data = struct.pack(f"<{len(counts)}Q{len(counts)}I", *counts, *counts.values())
    return _section(Section.RETURN, data)


def purge_section(purge: Purge) -> bytes:
    data = struct.pack(f"<{1 + len(purge.kept)}Q", purge.through, *sorted(purge.kept))
    return _section(Section.PURGE, data)


def settle_sections(numbers: Iterable[int]) -> list[bytes]:
    """One section a frame; one is the rule."""
    ranges = ranges_of(numbers)
    return [
        _section(Section.SETTLE, b"".join(_RANGE.pack(*one) for one in ranges[at : at + step]))
        for step in (_RANGES_MAX,)
        for at in range(0, len(ranges), step)
    ]


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """(first, how many) of the runs without a gap."""
    ranges: list[tuple[int, int]] = []
    first = end = 0
    for number in sorted(set(numbers)):
        if number != end or not ranges:
            first, end = number, number
            ranges.append((first, 0))
        end += 1
        ranges[-1] = (first, end - first)
    return ranges


def checkpoint_section(checkpoint: Checkpoint) -> bytes:
    data = _U64.pack(checkpoint.next_number) + _pack_origins(checkpoint.origins)
    return _section(Section.CHECKPOINT, data)


def _pack_origins(origins: Origins) -> bytes:
    parts: list[bytes] = []
    for origin, ranges in origins.items():
        parts += (_ORIGIN.pack(len(origin), len(ranges)), origin)
        parts += (_RANGE.pack(*one) for one in ranges)
    return b"".join(parts)


# -- reading ----------------------------------------------------------------------------------


def epoch_of(frame: bytes) -> int:
    """Without a look at the rest. Raises Damaged."""
    if len(frame) < _HEAD.size + 4:
        raise Damaged("a frame is cut off")
    epoch: int = _HEAD.unpack_from(frame)[3]
    return epoch


def read(frame: bytes) -> Record:
    """Inverse of `seal`. Raises Damaged."""
    if len(frame) < _HEAD.size + 4 or zlib.crc32(frame[:-4]) != _U32.unpack(frame[-4:])[0]:
        raise Damaged("the checksum of a frame does not match")
    version, _, sections, epoch = _HEAD.unpack_from(frame)
    if version != VERSION:
        raise Damaged(f"unknown version {version} of a frame")
    record = Record(epoch)
    pos = _HEAD.size
    for _ in range(sections):
        if pos + _SECTION.size > len(frame) - 4:
            raise Damaged("a section is cut off")
        kind, size = _SECTION.unpack_from(frame, pos)
        pos += _SECTION.size
        if pos + size > len(frame) - 4:
            raise Damaged("a section is cut off")
        _read_section(record, kind, frame[pos : pos + size])
        pos += size
    if pos != len(frame) - 4:
        raise Damaged("bytes follow the last section")
    return record


def _read_section(record: Record, kind: int, data: bytes) -> None:
    match kind:
        case Section.ENQ:
            record.enqueued = unpack_messages(data, 0).messages
        case Section.KEEP:
            record.kept = unpack_messages(data, 0).messages
        case Section.PART:
            number, index, count, keeps = _PART.unpack_from(data)
            record.part = Part(number, index, count, bool(keeps), data[_PART.size :])
        case Section.ORIGIN:
            record.origins = _unpack_origins(data, 0)
        case Section.RETURN:
            count = len(data) // 12
            values = struct.unpack(f"<{count}Q{count}I", data)
            record.returns = dict(zip(values[:count], values[count:], strict=True))
        case Section.PURGE:
            through, *kept = struct.unpack(f"<{len(data) // 8}Q", data)
            record.purge = Purge(through, frozenset(kept))
        case Section.SETTLE:
            record.settled = list(_RANGE.iter_unpack(data))
        case Section.CHECKPOINT:
            origins = _unpack_origins(data, _U64.size)
            record.checkpoint = Checkpoint(_U64.unpack_from(data)[0], origins)
        case Section.EPOCH:
            window, _ = _EPOCH.unpack_from(data)
            record.opens = Epoch(data[_EPOCH.size :].decode(), window)
        case _:
            raise Damaged(f"unknown section {kind} of a frame")


def _unpack_origins(data: bytes, pos: int) -> Origins:
    origins = {}
    while pos < len(data):
        size, count = _ORIGIN.unpack_from(data, pos)
        pos += _ORIGIN.size
        origin = data[pos : pos + size]
        pos += size
        end = pos + count * _RANGE.size
        origins[origin] = list(_RANGE.iter_unpack(data[pos:end]))
        pos = end
    return origins


def joined(parts: Sequence[Part]) -> Message:
    """The message that these pieces, in order, are. Raises Damaged."""
    return unpack_messages(b"".join(part.data for part in parts), 0).messages[0]
