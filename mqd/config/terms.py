"""Erlang terms as one line of text: the inverse of `mqd.config.erlang`.

Decides how a value of a configuration is shown and compared. Never breaks lines.
"""

from __future__ import annotations

import re

from mqd.config.erlang import Atom, Chars, Plain

_PLAIN_ATOM = re.compile(r"[a-z][A-Za-z0-9_@]*")
_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e", 92: "\\\\"}


def _quoted(text: str, mark: str) -> str:
    inner = "".join(
        f"\\{c}" if c == mark else _ESCAPES.get(ord(c)) or (c if c >= " " else f"\\x{{{ord(c):x}}}")
        for c in text
    )
    return f"{mark}{inner}{mark}"


def as_text(value: Plain) -> str:
    """What would be read as the same term."""
    if isinstance(value, Atom):
        return value if _PLAIN_ATOM.fullmatch(value) else _quoted(value, "'")
    if isinstance(value, Chars):
        return _quoted(value, '"')
    if isinstance(value, bytes):
        if value.isascii() and all(byte >= 32 for byte in value):
            return f"<<{_quoted(value.decode(), chr(34))}>>" if value else "<<>>"
        return f"<<{','.join(map(str, value))}>>"
    if isinstance(value, list):
        return "[" + ",".join(map(as_text, value)) + "]"
    if isinstance(value, tuple):
        return "{" + ",".join(map(as_text, value)) + "}"
    if isinstance(value, dict):
        return "#{" + ",".join(f"{as_text(k)} => {as_text(v)}" for k, v in value.items()) + "}"
    return str(value)
