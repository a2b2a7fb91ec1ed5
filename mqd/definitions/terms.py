"""Erlang's external term format, as far as definitions need it.

Decides how an export is written as a term, byte for byte as Erlang/OTP 25 does (compressed where
that is shorter), and how one is read: atoms, texts, numbers, lists, tuples and maps, nothing that
runs or refers to anything. Bounded: what unpacks to more than `TERM_BYTES_MAX` is refused.
Source: "External Term Format", ERTS User's Guide.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

from mqd.definitions.export import Pairs, Record
from mqd.definitions.parse import DEPTH_MAX
from mqd.definitions.values import Atom

Json = Any

VERSION: Final = 131
COMPRESSED: Final = 80
TERM_BYTES_MAX: Final = 268_435_456
_STRING_MAX: Final = 65_535


class NoTerm(Exception):
    """Bytes that are no term, or one that has no place among definitions."""


# -- writing --------------------------------------------------------------------------------------


def encode(value: Json) -> bytes:
    """What 3.10.8 writes with --format erlang."""
    parts: list[bytes] = []
    _put(value, parts)
    body = b"".join(parts)
    packed = zlib.compress(body, 9)
    if len(packed) + 5 >= len(body):
        return bytes((VERSION,)) + body
    return bytes((VERSION, COMPRESSED)) + struct.pack(">I", len(body)) + packed


def _put(value: Json, parts: list[bytes]) -> None:
    if value is None or isinstance(value, bool):
        _put_atom({None: "null", True: "true", False: "false"}[value], parts)
    elif isinstance(value, Atom):
        _put_atom(value, parts)
    elif isinstance(value, str):
        _put_text(value, parts)
    elif isinstance(value, int):
        _put_integer(value, parts)
    elif isinstance(value, float):
        parts.append(b"F" + struct.pack(">d", value))
    elif isinstance(value, dict):
        parts.append(b"t" + struct.pack(">I", len(value)))
        for key in sorted(value):
            (_put_atom if isinstance(value, Record) else _put_text)(key, parts)
            _put(value[key], parts)
    elif isinstance(value, Pairs):
        _put_list([(key, one) for key, one in value], parts)
    elif isinstance(value, tuple):
        parts.append(b"h" + bytes((len(value),)))
        for one in value:
            _put(one, parts)
    else:
        _put_list(value, parts)


def _put_list(values: list[Json], parts: list[bytes]) -> None:
    if not values:
        parts.append(b"j")
    elif len(values) <= _STRING_MAX and all(type(one) is int and 0 <= one < 256 for one in values):
        parts.append(b"k" + struct.pack(">H", len(values)) + bytes(values))
    else:
        parts.append(b"l" + struct.pack(">I", len(values)))
        for one in values:
            _put(one, parts)
        parts.append(b"j")


def _put_atom(name: str, parts: list[bytes]) -> None:
    try:
        raw = name.encode("latin-1")
        parts.append(b"d" + struct.pack(">H", len(raw)) + raw)
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "replace")
        head = b"w" + bytes((len(raw),)) if len(raw) < 256 else b"v" + struct.pack(">H", len(raw))
        parts.append(head + raw)


def _put_text(value: str, parts: list[bytes]) -> None:
    raw = value.encode("utf-8", "surrogateescape")
    parts.append(b"m" + struct.pack(">I", len(raw)) + raw)


def _put_integer(value: int, parts: list[bytes]) -> None:
    if 0 <= value < 256:
        parts.append(b"a" + bytes((value,)))
    elif -(2**31) <= value < 2**31:
        parts.append(b"b" + struct.pack(">i", value))
    else:
        size = (value.bit_length() + 7) // 8
        head = b"n" + bytes((size,)) if size < 256 else b"o" + struct.pack(">I", size)
        parts.append(head + bytes((value < 0,)) + abs(value).to_bytes(size, "little"))


# -- reading --------------------------------------------------------------------------------------


def decode(data: bytes) -> Json:
    """The term as JSON has it. Raises NoTerm."""
    if data[:1] != bytes((VERSION,)):
        raise NoTerm("the file does not begin as a term in external format does")
    body = data[1:]
    if body[:1] == bytes((COMPRESSED,)):
        body = _unpacked(body)
    reader = _Reader(body)
    try:
        value = reader.term(0)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise NoTerm(f"the term is broken off or damaged near byte {reader.at}") from error
    if reader.at != len(body):
        raise NoTerm(f"something follows the term at byte {reader.at}")
    return value


def _unpacked(body: bytes) -> bytes:
    if len(body) < 5:
        raise NoTerm("the term is broken off")
    (size,) = struct.unpack_from(">I", body, 1)
    if size > TERM_BYTES_MAX:
        raise NoTerm(f"the term is larger than {TERM_BYTES_MAX} bytes")
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(body[5:], size + 1)
    except zlib.error as error:
        raise NoTerm(f"the term cannot be unpacked: {error}") from error
    if len(unpacked) != size or not unpacker.eof:
        raise NoTerm("the term does not unpack to the size it names")
    return unpacked


class _Reader:
    """Raises NoTerm, and what struct and bytes raise where the data ends early."""

    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data

    def _take(self, size: int) -> bytes:
        piece = self._data[self.at : self.at + size]
        if len(piece) != size:
            raise ValueError
        self.at += size
        return piece

    def _size(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    def term(self, depth: int) -> Json:
        """A text, a number, a list or a dictionary."""
        if depth > DEPTH_MAX:
            raise NoTerm(f"nested more than {DEPTH_MAX} levels deep")
        tag = chr(self._size(1))
        if tag in "dsvw":
            return self._atom(self._take(self._size(2 if tag in "dv" else 1)), tag)
        if tag == "m":
            return self._take(self._size(4)).decode("utf-8", "surrogateescape")
        if tag == "a":
            return self._size(1)
        if tag == "b":
            return struct.unpack(">i", self._take(4))[0]
        if tag in "no":
            size, negative = self._size(1 if tag == "n" else 4), self._size(1)
            number = int.from_bytes(self._take(size), "little")
            return -number if negative else number
        if tag == "F":
            return struct.unpack(">d", self._take(8))[0]
        if tag == "j":
            return []
        if tag == "k":
            return list(self._take(self._size(2)))
        if tag == "l":
            return self._list(self._size(4), depth + 1)
        if tag in "hi":
            return tuple(self.term(depth + 1) for _ in range(self._size(1 if tag == "h" else 4)))
        if tag == "t":
            return self._map(self._size(4), depth + 1)
        raise NoTerm(f"a term of kind {ord(tag)} has no place among definitions")

    @staticmethod
    def _atom(raw: bytes, tag: str) -> Json:
        name = raw.decode("utf-8" if tag in "vw" else "latin-1")
        known = {"true": True, "false": False, "null": None, "nil": None}
        return known.get(name, name)

    def _list(self, count: int, depth: int) -> Json:
        items = []
        for _ in range(count):
            items.append(self.term(depth))  # noqa: PERF401 - count may be a lie
        if self.term(depth) != []:
            raise NoTerm("a list that does not end in one")
        if items and all(map(_is_pair, items)):
            return dict(items)
        return items

    def _map(self, count: int, depth: int) -> dict[str, Json]:
        found = {}
        for _ in range(count):
            key = self.term(depth)
            if not isinstance(key, str):
                raise NoTerm("a map with a key that is no text")
            found[key] = self.term(depth)
        return found


def _is_pair(value: Json) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)
