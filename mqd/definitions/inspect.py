"""What is left of a file, as Elixir's inspect/1 shows it inside RabbitMQ's error texts.

Decides quoting, and where it stops: a text after 4,096 characters, bytes that are no text after 50.
"""

from __future__ import annotations

import unicodedata
from typing import Final

TEXT_MAX: Final = 4096
BYTES_MAX: Final = 50
_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
    "\x1b": "\\e",
    '"': '\\"',
    "\\": "\\\\",
    "\ufeff": "\\uFEFF",
}


def inspect_bytes(data: bytes) -> str:
    """A text between quotes where it is printable UTF-8, else its bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _numbers(data)
    shown = text[:TEXT_MAX]
    if not all(map(_is_printable, shown)):
        return _numbers(data)
    quoted = "".join(_ESCAPES.get(each, each) for each in shown).replace("#{", "\\#{")
    return f'"{quoted}"' + (" <> ..." if len(text) > TEXT_MAX else "")


def _is_printable(char: str) -> bool:
    if char in _ESCAPES:
        return True
    return unicodedata.category(char) not in ("Cc", "Cs", "Cn")


def _numbers(data: bytes) -> str:
    shown = ", ".join(map(str, data[:BYTES_MAX]))
    return f"<<{shown}{', ...' if len(data) > BYTES_MAX else ''}>>"
