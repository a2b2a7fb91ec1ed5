"""An export as JSON, byte for byte as 3.10.8 writes it.

Decides the layout: no spaces, names of an object in order, characters as they are.
"""

from __future__ import annotations

import json
from typing import Any

from mqd.amqp.terms import format_float
from mqd.definitions.export import Pairs

Json = Any


def to_json(value: Json) -> str:
    """One line."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def _write(value: Json, parts: list[str]) -> None:
    if isinstance(value, dict):
        mark = "{"
        for key in sorted(value):
            parts += (mark, _text(key), ":")
            _write(value[key], parts)
            mark = ","
        parts.append("}" if value else "{}")
    elif isinstance(value, Pairs):
        _write([[key, one] for key, one in value], parts)
    elif isinstance(value, list):
        mark = "["
        for one in value:
            parts.append(mark)
            _write(one, parts)
            mark = ","
        parts.append("]" if value else "[]")
    elif isinstance(value, float):
        parts.append(format_float(value))
    else:
        parts.append(_text(value))


def _text(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()
