"""Rows that other members list for the tools, as JSON.

Decides how a message of the catalogue becomes an object: what is not set is not there, tables are
objects, lists of names are lists. Never asks anybody.
"""

from __future__ import annotations

from typing import Any, Final

from mqd.rpc.v1 import values_pb2 as pb

Json = Any

_TABLE: Final = pb.Table.DESCRIPTOR.full_name
_NAMES: Final = pb.Names.DESCRIPTOR.full_name


def to_json(message: Any) -> dict[str, Json]:
    """By the names of the message's fields."""
    return {field.name: _value(value) for field, value in message.ListFields()}


def _value(value: Json) -> Json:
    kind = getattr(getattr(value, "DESCRIPTOR", None), "full_name", None)
    if kind == _TABLE:
        return {entry.name: _field(entry.value) for entry in value.entries}
    if kind == _NAMES:
        return list(value.items)
    return value if kind is None else str(value)


def _field(value: pb.FieldValue) -> Json:
    kind = value.WhichOneof("kind")
    if kind is None or kind == "void":
        return None
    found = getattr(value, kind)
    if kind == "table":
        return _value(found)
    if kind == "array":
        return [_field(item) for item in found.items]
    if kind == "decimal":
        return float(f"{found.scale}.{found.value}")
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found
