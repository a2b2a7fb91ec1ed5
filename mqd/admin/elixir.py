"""Terms as RabbitMQ's tools print them inside error messages: Elixir's inspect/1.

Decides quoting only. Scripts match these texts, so a name in one is written as Elixir would
write it. Never used for anything but error texts.
"""

from __future__ import annotations

from typing import Final

_ESCAPES: Final = {
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\0": "\\0",
    "\a": "\\a",
    "\b": "\\b",
    "\v": "\\v",
    "\f": "\\f",
    "\x1b": "\\e",
    "\x7f": "\\d",
}


def inspect(value: str) -> str:
    """A binary: "text"."""
    return f'"{_escaped(value, chr(34))}"'


def charlist(value: str) -> str:
    """An Erlang string: 'text'."""
    return f"'{_escaped(value, chr(39))}'"


def _escaped(value: str, quote: str) -> str:
    out = "".join(f"\\{c}" if c == quote else _ESCAPES.get(c, c) for c in value)
    return out.replace("#{", "\\#{")
