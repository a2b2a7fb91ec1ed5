"""How RabbitMQ spells a JSON value inside an error text: as an Erlang term.

Decides that spelling and nothing else. Source: io_lib:format "~p" of what its JSON decoder makes
(observed: 3.10.8). LIMIT: "~p" breaks a term that is longer than a line; here it stays on one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mqd.amqp.terms import format_binary, format_float, format_string

Json = Any  # what json.loads returns


def format_json(value: Json) -> str:
    """Text is a binary, an object a map, and a list of codes of characters is shown as those."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return format_binary(value.encode("utf-8", "replace"))
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, list):
        return _format_list(value)
    if isinstance(value, dict):
        pairs = (f"{format_json(key)} => {format_json(value[key])}" for key in sorted(value))
        return f"#{{{','.join(pairs)}}}"
    return str(value)


def _format_list(values: list[Json]) -> str:
    if values and all(type(one) is int and 0 < one < 256 for one in values):
        text = format_string(bytes(values).decode("utf-8", "surrogateescape"))
        if text.startswith('"'):
            return text
    return f"[{','.join(map(format_json, values))}]"


def format_pairs(pairs: Iterable[tuple[str, Json]]) -> str:
    """[{<<"key">>,value}], as settings that nobody knows are named."""
    return f"[{','.join(f'{{{format_json(key)},{format_json(value)}}}' for key, value in pairs)}]"
