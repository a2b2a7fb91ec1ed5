"""Formatter `inspect`, and the text of values without another: Elixir's inspect/1, to_string/1."""

from __future__ import annotations

from mqctl.output.terms import Atom, Chars, Octets, Pid, Term, is_proplist


def pid_text(pid: Pid) -> str:
    """#PID<..>: what Elixir calls a process id."""
    return "#PID" + str(pid)


_OPERATORS = frozenset(
    ("+", "-", "*", "/", "++", "--", "<", ">", ">=", "==", "=", "|", "&", ".", "^", "!")
)


_ESCAPES = {
    **{code: "\\" + letter for code, letter in zip(range(7, 14), "abtnvfr", strict=True)},
    27: "\\e",
    34: '\\"',
    92: "\\\\",
    127: "\\d",
}
_UNPRINTABLE = frozenset(map(chr, [*range(32), *range(128, 160)])) - frozenset(map(chr, _ESCAPES))


def _atom(name: str) -> str:
    if name in ("nil", "true", "false"):
        return name
    if name in _OPERATORS:
        return ":" + name
    if name.replace("_", "a").replace("@", "a").isalnum() and not name[:1].isdigit() and name:
        return ":" + name
    return ':"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def inspect(value: Term) -> str:
    """As Elixir's inspect/1, without its line breaks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Atom):
        return _atom(value)
    if isinstance(value, Pid):
        return pid_text(value)
    if isinstance(value, Octets):
        return "<<" + ", ".join(str(ord(c)) for c in value) + ">>"
    if isinstance(value, Chars):
        if not value:
            return "[]"
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, str):
        if not _UNPRINTABLE.isdisjoint(value):
            return "<<" + ", ".join(map(str, value.encode())) + ">>"
        return '"' + value.translate(_ESCAPES).replace("#{", "\\#{") + '"'
    if isinstance(value, dict):
        if value and all(isinstance(key, Atom) for key in value):
            return "%{" + ", ".join(f"{k}: {inspect(v)}" for k, v in sorted(value.items())) + "}"
        pairs = (f"{inspect(k)} => {inspect(v)}" for k, v in value.items())
        return "%{" + ", ".join(pairs) + "}"
    if isinstance(value, tuple):
        return "{" + ", ".join(map(inspect, value)) + "}"
    if isinstance(value, list):
        if value and is_proplist(value) and all(isinstance(k, Atom) for k, _ in value):
            return "[" + ", ".join(f"{k}: {inspect(v)}" for k, v in value) + "]"
        return "[" + ", ".join(map(inspect, value)) + "]"
    if isinstance(value, float):
        from mqctl.output.erlang import float_text

        return float_text(value)
    return str(value)


def _characters(items: list[Term]) -> str | None:
    """A list of texts, of characters and of such lists as one text, empty when it is; else None."""
    found: list[str] = []
    for item in items:
        if isinstance(item, list):
            inner = _characters(item)
            if inner is None:
                return None
            found.append(inner)
        elif isinstance(item, str) and not isinstance(item, (Atom, Pid, Octets)):
            found.append(item)
        elif type(item) is int and 0 <= item < 0xD800:
            found.append(chr(item))
        else:
            return None
    return "".join(found)


def text(value: Term) -> str:
    """to_string/1 where that is defined, else inspect/1: what the string formatter prints."""
    if isinstance(value, Pid):
        return inspect(value)
    if isinstance(value, bool):
        return inspect(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        joined = _characters(value)
        return inspect(value) if joined is None else joined
    if isinstance(value, float):
        from mqctl.output.erlang import float_text

        return float_text(value)
    return inspect(value)
