"""Erlang's external term format, as far as configuration values need it.

Decides the bytes of term_to_binary/1 and what binary_to_term/1 reads (Erlang/OTP: "External Term
Format"), for the terms of `mqd.config.erlang`. Never reads funs, processes or references.
"""

from __future__ import annotations

import struct
import zlib

from mqd.config.erlang import Atom, Chars, Plain

_VERSION = 131
_SIZE_MAX = 1 << 24


def dumps(value: Plain) -> bytes:
    """term_to_binary(Value)."""
    return bytes((_VERSION,)) + _dump(value)


def _dump(value: Plain) -> bytes:
    if isinstance(value, Atom):
        name = value.encode()
        return b"w" + bytes((len(name),)) + name if len(name) < 256 else b"v" + _u16(name) + name
    if isinstance(value, Chars):
        return _dump_chars(value)
    if isinstance(value, bytes):
        return b"m" + struct.pack(">I", len(value)) + value
    if isinstance(value, int):
        return _dump_integer(value)
    if isinstance(value, float):
        return b"F" + struct.pack(">d", value)
    if isinstance(value, tuple):
        small = len(value) < 256
        head = b"h" + bytes((len(value),)) if small else b"i" + struct.pack(">I", len(value))
        return head + b"".join(map(_dump, value))
    if isinstance(value, dict):
        items = b"".join(_dump(k) + _dump(v) for k, v in value.items())
        return b"t" + struct.pack(">I", len(value)) + items
    if not value:
        return b"j"
    return b"l" + struct.pack(">I", len(value)) + b"".join(map(_dump, value)) + b"j"


def _u16(data: bytes) -> bytes:
    return struct.pack(">H", len(data))


def _dump_chars(value: str) -> bytes:
    codes = [ord(c) for c in value]
    if codes and len(codes) < 65536 and max(codes) < 256:
        return b"k" + struct.pack(">H", len(codes)) + bytes(codes)
    return _dump(codes)


def _dump_integer(value: int) -> bytes:
    if 0 <= value < 256:
        return b"a" + bytes((value,))
    if -(1 << 31) <= value < 1 << 31:
        return b"b" + struct.pack(">i", value)
    digits = abs(value).to_bytes((abs(value).bit_length() + 7) // 8, "little")
    sign = bytes((value < 0,))
    if len(digits) < 256:
        return b"n" + bytes((len(digits),)) + sign + digits
    return b"o" + struct.pack(">I", len(digits)) + sign + digits


def loads(data: bytes) -> Plain:
    """binary_to_term(Data). Raises ValueError."""
    try:
        if data[:2] == bytes((_VERSION, 80)):
            data = bytes((_VERSION,)) + zlib.decompress(data[6:], bufsize=_SIZE_MAX)
        if data[:1] != bytes((_VERSION,)):
            raise ValueError("no external term")
        reader = _Reader(data)
        value = reader.term()
    except (IndexError, struct.error, UnicodeDecodeError, RecursionError, zlib.error) as error:
        raise ValueError("no external term") from error
    if reader.at != len(data):
        raise ValueError("more than one term")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 1

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self.at:
            raise IndexError
        self.at += count
        return self._data[self.at - count : self.at]

    def _count(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def term(self) -> Plain:
        tag = chr(self._count(1))
        if tag in "wsvd":
            name = self._take(self._count(1 if tag in "ws" else 2))
            return Atom(name.decode("utf-8" if tag in "wv" else "latin-1"))
        if tag == "k":
            return Chars(self._take(self._count(2)).decode("latin-1"))
        if tag == "m":
            return self._take(self._count(4))
        if tag == "a":
            return self._count(1)
        if tag == "b":
            return struct.unpack(">i", self._take(4))[0]
        if tag in "no":
            size = self._count(1 if tag == "n" else 4)
            sign = self._count(1)
            return (-1 if sign else 1) * int.from_bytes(self._take(size), "little")
        if tag == "F":
            return struct.unpack(">d", self._take(8))[0]
        return self._composite(tag)

    def _composite(self, tag: str) -> Plain:
        if tag in "hi":
            return tuple(self.term() for _ in range(self._count(1 if tag == "h" else 4)))
        if tag == "j":
            return []
        if tag == "l":
            items = [self.term() for _ in range(self._count(4))]
            if self._count(1) != ord("j"):
                raise ValueError("a list whose tail is no list")
            return items
        if tag == "t":
            return {self.term(): self.term() for _ in range(self._count(4))}
        raise ValueError(f"a term of kind {ord(tag)}")
