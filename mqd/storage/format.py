"""The bytes of a commit: columns of messages, and what is settled.

Decides the layout of the two blobs of a row, little-endian. Never reads a file. Version 2 has
what stands in braces; a blob that needs none of it is written as version 1.

A message's key is `segment << 24 | index`: the commit that first held it and its place there.
It stays the message's for life, also when a background rewrite moves the record to another row,
which then lists its keys.

messages:  u8 version · u8 flags · u16 0 · u32 count
           [KEYS] u64 key x count · u64 queue id, x count unless [ONE_QUEUE] · u8 persistent x count
           {[EXPIRIES] u64 wall-clock ms of its end, 0 for never, x count}
           {[COUNTS] u32 delivery count x count}
           names column · contents column
column:    u32 distinct · u32 place x count, unless distinct is 1 or count · u32 length x distinct
           · the values, one after the other
settled:   u8 version · 3 x 0 · u32 keys · u32 drops · {u32 counts} · u64 key x keys
           {u64 key x counts · u32 delivery count x counts}
           drop: u64 queue id · u64 last segment · u32 kept · u64 key x kept
           · u32 CRC of all before

Columns, because building them is one C call each over a whole batch and reading them back is
too: 0.25 µs a message to pack, 0.8 µs to read. Values that are the same object (contents, a
fan-out) or equal (names) are written once. The CRC of a messages blob stands in its own column
of the row, so that no copy is made to append it.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from mqd.broker.message import Message

VERSION = 2
INDEX_BITS = 24
INDEX_MASK = (1 << INDEX_BITS) - 1
_KEYS, _ONE_QUEUE, _EXPIRIES, _COUNTS = 1, 2, 4, 8
_HEAD = struct.Struct("<BBHI")
_SETTLED = struct.Struct("<B3xII")
_COUNTED = struct.Struct("<B3xIII")
_DROP = struct.Struct("<QQI")
_U32 = struct.Struct("<I")
_SWAP = sys.byteorder == "big"


class Damaged(ValueError):
    """Bytes that are not what was written."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Everything of a queue up to and with a segment is settled, except the keys kept."""

    queue_id: int
    last_segment: int
    kept: frozenset[int]


@dataclass(frozen=True, slots=True)
class Told:
    """A settled blob read back. counts: delivery count by key."""

    keys: array[int]
    drops: list[Drop]
    counts: dict[int, int]


NOTHING_TOLD = Told(array("Q"), [], {})


@dataclass(frozen=True, slots=True)
class Records:
    """A messages blob read back: three columns of the same length.

    moved: the row lists its keys, because it was rewritten. `expires_ms` of its messages is of
    the wall clock.
    """

    moved: bool
    keys: array[int]
    queue_ids: array[int]
    messages: list[Message]


def _pack(code: str, values: Iterable[int]) -> bytes:
    column = array(code, values)
    if _SWAP:
        column.byteswap()
    return column.tobytes()


def _unpack(code: str, data: memoryview, start: int, count: int) -> tuple[array[int], int]:
    column = array(code)
    end = start + count * column.itemsize
    if end > len(data):
        raise Damaged("a column is cut off")
    column.frombytes(data[start:end])
    if _SWAP:
        column.byteswap()
    return column, end


def pack_messages(
    queue_ids: Sequence[int],
    messages: Sequence[Message],
    keys: Sequence[int] | None = None,
    wall_offset_ms: int = 0,
) -> bytes:
    """One blob. Without keys the segment is the row's and the index the place in it.

    wall_offset_ms: what makes a time of the wall clock of `expires_ms`.
    """
    count = len(messages)
    one_queue = queue_ids.count(queue_ids[0]) == count
    flags = (
        (_KEYS if keys is not None else 0)
        | (_ONE_QUEUE if one_queue else 0)
        | (_EXPIRIES if any(message.expires_ms for message in messages) else 0)
        | (_COUNTS if any(message.delivery_count for message in messages) else 0)
    )
    parts = [_HEAD.pack(VERSION if flags & (_EXPIRIES | _COUNTS) else 1, flags, 0, count)]
    if keys is not None:
        parts.append(_pack("Q", keys))
    parts.append(_pack("Q", queue_ids[:1] if one_queue else queue_ids))
    parts.append(bytes([message.persistent for message in messages]))
    if flags & _EXPIRIES:
        ends = [message.expires_ms for message in messages]
        parts.append(_pack("Q", [max(end + wall_offset_ms, 1) if end else 0 for end in ends]))
    if flags & _COUNTS:
        parts.append(_pack("I", [message.delivery_count for message in messages]))
    names = [message.names for message in messages]
    contents = [message.content for message in messages]
    _pack_column(parts, names, names)
    _pack_column(parts, contents, list(map(id, contents)))
    return b"".join(parts)


def _pack_column(parts: list[bytes], values: list[bytes], marks: Sequence[Hashable]) -> None:
    """marks: equal where the value need not be written again."""
    distinct = dict(zip(marks, values, strict=True))
    if len(distinct) != len(values):
        if len(distinct) > 1:
            places = dict(zip(distinct, range(len(distinct)), strict=True))
            refs = _pack("I", [places[mark] for mark in marks])
        else:
            refs = b""
        values = list(distinct.values())
        parts += (_U32.pack(len(values)), refs, _pack("I", map(len, values)))
    else:
        parts += (_U32.pack(len(values)), _pack("I", map(len, values)))
    parts += values


def unpack_messages(blob: bytes, segment: int) -> Records:
    """Inverse of `pack_messages`; `segment` is the row's id.

    Raises Damaged when the bytes do not add up. The caller has compared the CRC.
    """
    if len(blob) < _HEAD.size:
        raise Damaged("the header is cut off")
    version, flags, _, count = _HEAD.unpack_from(blob)
    if not 1 <= version <= VERSION:
        raise Damaged(f"unknown version {version}")
    if count > len(blob):  # a message has a byte at least: do not make room for a made-up count
        raise Damaged("there are more messages than bytes")
    data = memoryview(blob)
    pos = _HEAD.size
    if flags & _KEYS:
        keys, pos = _unpack("Q", data, pos, count)
    else:
        first = segment << INDEX_BITS
        keys = array("Q", range(first, first + count))
    if flags & _ONE_QUEUE:
        queue_ids, pos = _unpack("Q", data, pos, 1)
        queue_ids *= count
    else:
        queue_ids, pos = _unpack("Q", data, pos, count)
    persistent, pos = _unpack("B", data, pos, count)
    expiries = returns = None
    if flags & _EXPIRIES:
        expiries, pos = _unpack("Q", data, pos, count)
    if flags & _COUNTS:
        returns, pos = _unpack("I", data, pos, count)
    names, pos = _unpack_column(blob, data, pos, count)
    contents, pos = _unpack_column(blob, data, pos, count)
    if pos != len(blob):
        raise Damaged("bytes follow the last column")
    messages = []
    for key, name, content, durable in zip(keys, names, contents, persistent, strict=True):
        message = Message(name, content, durable != 0)
        message.stored = True
        message.segment = key >> INDEX_BITS
        message.index = key & INDEX_MASK
        messages.append(message)
    if expiries is not None:
        for message, expires_ms in zip(messages, expiries, strict=True):
            message.expires_ms = expires_ms
    if returns is not None:
        for message, delivery_count in zip(messages, returns, strict=True):
            message.delivery_count = delivery_count
    return Records(bool(flags & _KEYS), keys, queue_ids, messages)


def _unpack_column(blob: bytes, data: memoryview, pos: int, count: int) -> tuple[list[bytes], int]:
    header, pos = _unpack("I", data, pos, 1)
    distinct = header[0]
    refs: array[int] | None = None
    if distinct not in (1, count):
        refs, pos = _unpack("I", data, pos, count)
    lengths, pos = _unpack("I", data, pos, distinct)
    ends = list(accumulate(lengths, initial=pos))
    if ends[-1] > len(blob):
        raise Damaged("values are cut off")
    values = [blob[start:end] for start, end in pairwise(ends)]
    if distinct == 1:
        values *= count
    elif refs is not None:
        if count and max(refs) >= distinct:
            raise Damaged("a reference points nowhere")
        values = [values[ref] for ref in refs]
    return values, ends[-1]


def pack_settled(
    keys: Sequence[int], drops: Sequence[Drop], counts: Mapping[int, int] | None = None
) -> bytes:
    """One blob; empty when there is nothing to say."""
    if counts:
        parts = [
            _COUNTED.pack(VERSION, len(keys), len(drops), len(counts)),
            _pack("Q", keys),
            _pack("Q", counts),
            _pack("I", counts.values()),
        ]
    elif keys or drops:
        parts = [_SETTLED.pack(1, len(keys), len(drops)), _pack("Q", keys)]
    else:
        return b""
    for drop in drops:
        parts += (
            _DROP.pack(drop.queue_id, drop.last_segment, len(drop.kept)),
            _pack("Q", drop.kept),
        )
    body = b"".join(parts)
    return body + _U32.pack(zlib.crc32(body))


def unpack_settled(blob: bytes) -> Told:
    """Inverse of `pack_settled`, CRC included. Raises Damaged."""
    if not blob:
        return NOTHING_TOLD
    if len(blob) < _SETTLED.size + 4 or zlib.crc32(blob[:-4]) != _U32.unpack(blob[-4:])[0]:
        raise Damaged("the checksum of the settled part does not match")
    version, key_count, drop_count = _SETTLED.unpack_from(blob)
    if not 1 <= version <= VERSION:
        raise Damaged(f"unknown version {version}")
    data = memoryview(blob)[:-4]
    pos = _SETTLED.size
    count_count = 0
    if version > 1:
        header, pos = _unpack("I", data, pos, 1)
        count_count = header[0]
    keys, pos = _unpack("Q", data, pos, key_count)
    counted, pos = _unpack("Q", data, pos, count_count)
    counts, pos = _unpack("I", data, pos, count_count)
    drops = []
    for _ in range(drop_count):
        if pos + _DROP.size > len(data):
            raise Damaged("a drop is cut off")
        queue_id, last_segment, kept_count = _DROP.unpack_from(data, pos)
        kept, pos = _unpack("Q", data, pos + _DROP.size, kept_count)
        drops.append(Drop(queue_id, last_segment, frozenset(kept)))
    if pos != len(data):
        raise Damaged("bytes follow the last drop")
    return Told(keys, drops, dict(zip(counted, counts, strict=True)))
