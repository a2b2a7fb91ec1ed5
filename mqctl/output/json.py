"""Formatters `json` and `json_stream`: terms as JSON.

Decides how terms map to JSON: atoms and binaries are strings, proplists with atom keys and maps are
objects (maps sorted by key), tuples are arrays, process ids #PID<..>, AMQP arguments triples.
"""

from __future__ import annotations

from mqctl.output.inspect import pid_text
from mqctl.output.terms import Atom, Chars, Pid, Term, is_proplist

_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_TABLE = str.maketrans({**{chr(i): f"\\u{i:04x}" for i in range(32)}, **_ESCAPES})
_LITERALS = {"true": "true", "false": "false", "nil": "null", "null": "null"}


def string(text: str) -> str:
    """A JSON string; what is beyond ASCII stays as it is."""
    return '"' + text.translate(_TABLE) + '"'


def _object(pairs: list[tuple[Term, Term]]) -> str:
    return "{" + ",".join(f"{string(str(k))}:{encode(v)}" for k, v in pairs) + "}"


def encode(value: Term) -> str:
    """One term, no spaces."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Atom):
        return _LITERALS.get(value) or string(value)
    if isinstance(value, Pid):
        return string(pid_text(value))
    if isinstance(value, Chars):
        return "[" + ",".join(str(ord(c)) for c in value) + "]"
    if isinstance(value, str):
        return string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return _object(sorted(value.items(), key=lambda item: str(item[0])))
    if isinstance(value, list) and value and is_proplist(value):
        if all(isinstance(key, Atom) for key, _ in value):
            return _object(value)
    return "[" + ",".join(map(encode, value)) + "]"
