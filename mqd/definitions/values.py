"""Fields of a definition as JSON has them, and arguments as AMQP has them.

Decides what a field may be and which wire type a JSON value gets, and back (RabbitMQ: rabbit_misc,
to_amqp_table; observed: 3.10.8). Never knows which fields an object has.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from mqd.amqp.fields import Field, Table

Json = Any

NAME_BYTES_MAX: Final = 255
_LONG_MAX: Final = 2**63 - 1


class Wrong(Exception):
    """A field that is missing or is not what it must be."""


def text(item: Mapping[str, Json], key: str, default: str | None = None) -> str:
    """A text. default: what one that is missing is; None: it may not be missing."""
    value = item.get(key, default)
    if value is None:
        raise Wrong(f"{key} is missing")
    if not isinstance(value, str):
        raise Wrong(f"{key} must be a text, but is {kind_of(value)}")
    return value


def name(item: Mapping[str, Json], key: str, default: str | None = None) -> str:
    """A name: a text that fits into the protocol's short string."""
    value = text(item, key, default)
    if len(value.encode("utf-8", "surrogateescape")) > NAME_BYTES_MAX:
        raise Wrong(f"{key} is longer than {NAME_BYTES_MAX} bytes")
    return value


def flag(item: Mapping[str, Json], key: str, default: bool | None = None) -> bool:
    """true or false."""
    value = item.get(key, default)
    if value is None:
        raise Wrong(f"{key} is missing")
    if not isinstance(value, bool):
        raise Wrong(f"{key} must be true or false, but is {kind_of(value)}")
    return value


def mapping(item: Mapping[str, Json], key: str) -> dict[str, Json]:
    """An object; none, and a list without anything, are an empty one."""
    value = item.get(key)
    if value is None or value == []:
        return {}
    if not isinstance(value, dict):
        raise Wrong(f"{key} must be an object, but is {kind_of(value)}")
    return value


def kind_of(value: Json) -> str:
    """What a JSON value is, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds[type(value)]


# -- arguments ------------------------------------------------------------------------------------


def to_table(arguments: Mapping[str, Json]) -> Table:
    """Arguments with wire types, in order of names as RabbitMQ's maps are. Raises Wrong."""
    return {key: _field(key, arguments[key]) for key in sorted(arguments)}


def _field(key: str, value: Json) -> Field:
    if len(key.encode("utf-8", "surrogateescape")) > NAME_BYTES_MAX:
        raise Wrong(f"the name of argument '{key[:40]}...' is longer than {NAME_BYTES_MAX} bytes")
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int):
        if not -_LONG_MAX - 1 <= value <= _LONG_MAX:
            raise Wrong(f"argument '{key}' is a number of more than 64 bits")
        return ("long", value)
    if isinstance(value, float):
        return ("double", value)
    if isinstance(value, str):
        return ("longstr", value.encode("utf-8", "surrogateescape"))
    if isinstance(value, list):
        return ("array", [_field(key, each) for each in value])
    if isinstance(value, dict):
        return ("table", to_table(value))
    raise Wrong(f"argument '{key}' is null, which no argument can be")


def from_table(table: Table) -> dict[str, Json]:
    """Arguments as 3.10.8 exports them: wire types are forgotten, what JSON has not is a text."""
    return {key: _plain(field) for key, field in table.items()}


def _plain(field: Field) -> Json:
    kind, value = field
    if kind == "table":
        return from_table(value)
    if kind == "array":
        return [_plain(each) for each in value]
    if kind == "void":
        return Atom("undefined")
    if kind == "decimal":
        return float(f"{value[0]}.{value[1]}")  # as 3.10.8 does: the scale is not one
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"Not UTF-8, base64 is: {base64.b64encode(value).decode()}"
    return value


class Atom(str):
    """A text that is an atom where terms are written, and a text in JSON."""

    __slots__ = ()
