"""Terms as RabbitMQ's tools print them inside error messages: Elixir's inspect/1.

Decides quoting only. Scripts match these texts, so a name in one is written as Elixir would
write it. Never used for anything but error texts.
"""

from __future__ import annotations

import re
from typing import Final

_BARE_ATOM: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*[?!]?")

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


def atom(name: str) -> str:
    """An atom: :name, quoted where the syntax asks for it."""
    if _BARE_ATOM.fullmatch(name):
        return f":{name}"
    return f':"{_escaped(name, chr(34))}"'
