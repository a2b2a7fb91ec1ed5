"""AMQP field tables that keep their wire types, which pamqp does not.

Decides how a table is read and written byte for byte, and what its values are called. Declare
arguments need the types: for equivalence ("received the value '5' of type 'signedint'"), for the
headers exchange (a mismatched type is a mismatched value) and for listings. Never looks at what
a key means.

A value is a pair (kind, value). Kinds are RabbitMQ's names (rabbit_binary_parser):

    longstr bytes · signedint int · long int · byte int · short int · unsignedbyte int ·
    unsignedshort int · unsignedint int · bool · double float · float float · decimal (scale, int)
    · timestamp int (s) · table dict · array list · binary bytes · void None
"""

from __future__ import annotations

import struct
from typing import Any

Field = tuple[str, Any]
Table = dict[str, Field]


class FieldError(ValueError):
    """A table that cannot be read: names what is wrong, not where it came from."""


class UnknownFieldType(FieldError):
    """The type octet of a value is none of AMQP's or RabbitMQ's."""


_FIXED: dict[int, tuple[str, struct.Struct]] = {
    ord("I"): ("signedint", struct.Struct(">i")),
    ord("l"): ("long", struct.Struct(">q")),
    ord("L"): ("long", struct.Struct(">q")),  # errata: 'L' is read as signed
    ord("b"): ("byte", struct.Struct(">b")),
    ord("B"): ("unsignedbyte", struct.Struct(">B")),
    ord("s"): ("short", struct.Struct(">h")),
    ord("u"): ("unsignedshort", struct.Struct(">H")),
    ord("i"): ("unsignedint", struct.Struct(">I")),
    ord("d"): ("double", struct.Struct(">d")),
    ord("f"): ("float", struct.Struct(">f")),
    ord("T"): ("timestamp", struct.Struct(">Q")),
    ord("t"): ("bool", struct.Struct(">?")),
}
_TAG = {kind: (tag, packer) for tag, (kind, packer) in _FIXED.items() if tag != ord("L")}
_LENGTH = struct.Struct(">I")
DEPTH_MAX = 64  # nested tables beyond it are refused rather than recursed into


def decode_table(data: bytes, start: int = 0) -> tuple[Table, int]:
    """Read the table whose 4-byte length stands at `start`; returns it and where it ended.

    Raises FieldError on truncation, UnknownFieldType on an unknown type.
    """
    return _table(data, start, 0)


def _span(data: bytes, pos: int) -> tuple[int, int]:
    if pos + 4 > len(data):
        raise FieldError("length is cut off")
    end = pos + 4 + int(_LENGTH.unpack_from(data, pos)[0])
    if end > len(data):
        raise FieldError("value is longer than its frame")
    return pos + 4, end


def _table(data: bytes, start: int, depth: int) -> tuple[Table, int]:
    if depth > DEPTH_MAX:
        raise FieldError("table is nested too deeply")
    pos, end = _span(data, start)
    table: Table = {}
    while pos < end:
        name_end = pos + 1 + data[pos]
        if name_end >= end:
            raise FieldError("field name is cut off")
        name = data[pos + 1 : name_end].decode("utf-8", "surrogateescape")  # as 3.10.8: any bytes
        table[name], pos = _value(data, name_end, end, depth)
    if pos != end:
        raise FieldError("value runs past the end of its table")
    return table, end


def _value(data: bytes, pos: int, end: int, depth: int) -> tuple[Field, int]:
    tag = data[pos]
    pos += 1
    fixed = _FIXED.get(tag)
    if fixed is not None:
        kind, packer = fixed
        if pos + packer.size > end:
            raise FieldError(f"{kind} is cut off")
        return (kind, packer.unpack_from(data, pos)[0]), pos + packer.size
    if tag == 0x53 or tag == 0x78:  # S, x
        first, last = _span(data, pos)
        return ("longstr" if tag == 0x53 else "binary", data[first:last]), last
    if tag == 0x46:  # F
        table, last = _table(data, pos, depth + 1)
        return ("table", table), last
    if tag == 0x41:  # A
        if depth > DEPTH_MAX:
            raise FieldError("array is nested too deeply")
        at, last = _span(data, pos)
        items: list[Field] = []
        while at < last:
            item, at = _value(data, at, last, depth + 1)
            items.append(item)
        if at != last:
            raise FieldError("value runs past the end of its array")
        return ("array", items), last
    if tag == 0x56:  # V
        return ("void", None), pos
    if tag == 0x44:  # D
        if pos + 5 > end:
            raise FieldError("decimal is cut off")
        return ("decimal", struct.unpack_from(">BI", data, pos)), pos + 5
    raise UnknownFieldType(f"unknown field type {tag}")


def encode_table(table: Table) -> bytes:
    """The table with its 4-byte length in front."""
    parts: list[bytes] = []
    for name, field in table.items():
        raw = name.encode("utf-8", "surrogateescape")
        parts += (bytes((len(raw),)), raw, _encode(field))
    body = b"".join(parts)
    return _LENGTH.pack(len(body)) + body


def _encode(field: Field) -> bytes:
    kind, value = field
    fixed = _TAG.get(kind)
    if fixed is not None:
        tag, packer = fixed
        return bytes((tag,)) + packer.pack(value)
    if kind == "longstr" or kind == "binary":
        return (b"S" if kind == "longstr" else b"x") + _LENGTH.pack(len(value)) + bytes(value)
    if kind == "table":
        return b"F" + encode_table(value)
    if kind == "array":
        body = b"".join(map(_encode, value))
        return b"A" + _LENGTH.pack(len(body)) + body
    if kind == "void":
        return b"V"
    if kind == "decimal":
        return b"D" + struct.pack(">BI", *value)
    raise FieldError(f"unknown field kind {kind!r}")


def to_json(table: Table) -> dict[str, list[Any]]:
    """The table as JSON values that `from_json` reads back without loss."""
    return {name: _field_to_json(field) for name, field in table.items()}


def _field_to_json(field: Field) -> list[Any]:
    kind, value = field
    if kind == "table":
        return [kind, to_json(value)]
    if kind == "array":
        return [kind, [_field_to_json(item) for item in value]]
    if isinstance(value, bytes):
        return [kind, value.decode("utf-8", "surrogateescape")]
    return [kind, value]


def from_json(value: dict[str, list[Any]]) -> Table:
    """Inverse of `to_json`."""
    return {name: _field_from_json(field) for name, field in value.items()}


def _field_from_json(pair: list[Any]) -> Field:
    kind, value = pair
    if kind == "table":
        return kind, from_json(value)
    if kind == "array":
        return kind, [_field_from_json(item) for item in value]
    if kind in ("longstr", "binary"):
        return kind, value.encode("utf-8", "surrogateescape")
    if kind == "decimal":
        return kind, tuple(value)
    return kind, value
