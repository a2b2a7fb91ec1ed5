"""How RabbitMQ spells a value of a field table inside an error text: as an Erlang term.

Decides that spelling and nothing else. Source: io_lib:format "~p" and "~w" (observed: 3.10.8).
"""

from __future__ import annotations

from mqd.amqp.fields import Field

_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e"}
_ESCAPES |= {34: '\\"', 92: "\\\\"}


def format_binary(value: bytes) -> str:
    """<<"text">> when every byte can be shown, <<1,2,3>> otherwise."""
    if not value:
        return "<<>>"
    if all(32 <= byte < 127 or byte >= 160 or byte in _ESCAPES for byte in value):
        # bytes, not characters: what was UTF-8 stays UTF-8 in the text
        shown = b"".join(
            _ESCAPES[byte].encode() if byte in _ESCAPES else bytes((byte,)) for byte in value
        )
        return f'<<"{shown.decode("utf-8", "surrogateescape")}">>'
    return "<<" + ",".join(map(str, value)) + ">>"


def format_string(value: str) -> str:
    """A character list: "text"."""
    return '"' + "".join(_ESCAPES.get(ord(char), char) for char in value) + '"'


def format_float(value: float) -> str:
    """The shortest digits that read back as the same number, always with a point."""
    text = repr(value)
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent)}"
    return text


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
