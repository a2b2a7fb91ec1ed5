"""How RabbitMQ spells a value of a field table inside an error text: as an Erlang term.

Decides that spelling and nothing else. Source: io_lib:format "~p" and "~w" (observed: 3.10.8).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from mqd.amqp.fields import Field

_PLAIN_ATOM = re.compile(r"[a-z][A-Za-z0-9_@]*")
_QUOTED = re.compile(r"['\\]")
_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e"}
_ESCAPES |= {34: '\\"', 92: "\\\\"}

_EXACT_INTEGERS = 2.0**53  # from there on a number without exponent would seem too exact


def format_binary(value: bytes) -> str:
    """<<"text">> when every byte can be shown, <<1,2,3>> otherwise."""
    if not value:
        return "<<>>"
    shown = _shown(value)
    return f'<<"{shown}">>' if shown is not None else f"<<{','.join(map(str, value))}>>"


def format_string(value: str) -> str:
    """A list of characters: "text", or [1,2,3] when some cannot be shown."""
    raw = value.encode("utf-8", "surrogateescape")
    shown = _shown(raw)
    return f'"{shown}"' if shown is not None else f"[{','.join(map(str, raw))}]"


def _shown(raw: bytes) -> str | None:
    """The bytes as Latin-1 text with its escapes; None when one of them is not printable.

    Bytes, not characters: what was UTF-8 is UTF-8 again when the text reaches the wire.
    """
    parts: list[bytes] = []
    for byte in raw:
        if byte in _ESCAPES:
            parts.append(_ESCAPES[byte].encode())
        elif 32 <= byte < 127 or byte >= 160:
            parts.append(bytes((byte,)))
        else:
            return None
    return b"".join(parts).decode("utf-8", "surrogateescape")


def format_atom(name: str) -> str:
    """A word, quoted unless it is a plain one."""
    return name if _PLAIN_ATOM.fullmatch(name) else "'" + _QUOTED.sub(r"\\\g<0>", name) + "'"


def format_float(value: float) -> str:
    """The shortest digits that read back as the same number, always with a point; an exponent
    where that is shorter than zeros (io_lib_format: fwrite_g)."""
    if value == 0 or value != value or value in (math.inf, -math.inf):
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    minus, shown = "-" * sign, "".join(map(str, digits))
    point = len(shown) + exponent  # how many digits stand before the point
    if 0 < point < len(shown):
        return f"{minus}{shown[:point]}.{shown[point:]}"
    plain = f"{shown}{'0' * (point - len(shown))}.0" if point > 0 else f"0.{'0' * -point}{shown}"
    scientific = f"{shown[0]}.{shown[1:] or '0'}e{point - 1}"
    zeros = point - len(shown) + 2 if point > 0 else 2 - point
    cost = len(str(point - 1)) + 1 + (2 if len(shown) == 1 else 1)
    short = point == 0 or zeros <= cost
    return minus + (plain if short and abs(value) < _EXACT_INTEGERS else scientific)


def format_field(field: Field) -> str:
    """The value of a field, without its type; inside tables and arrays with it."""
    kind, value = field
    if kind in ("longstr", "binary"):
        return format_binary(value)
    if kind == "bool":
        return "true" if value else "false"
    if kind == "void":
        return "undefined"
    if kind in ("double", "float"):
        return format_float(value)
    if kind == "decimal":
        return f"{{{value[0]},{value[1]}}}"
    if kind == "array":
        return "[" + ",".join(f"{{{item[0]},{format_field(item)}}}" for item in value) + "]"
    if kind == "table":
        rows = (
            f"{{{format_binary(name.encode())},{item[0]},{format_field(item)}}}"
            for name, item in value.items()
        )
        return "[" + ",".join(rows) + "]"
    return str(value)
