"""The words of a transcript: values as text, and text as values.

Decides how a string, a number, a table and a message look in a scenario file. Both ways, so that
what was recorded from the server can be pasted into a step. Knows no scenario and no socket.

    'text' or "text"      string; bytes beyond ASCII as \\xNN; 'x'*70000 repeats
    word                  string, when it is made of letters, digits and ._#*$/@+-
    12  true  false       number, boolean
    {a='x', n=5}          table: strings are S, numbers I, booleans t unless a kind is named
    l:5  T:0  d:1.5  x:'bin'  V  D:(2,314)  [1, 'two']  {n={}}   values of a named kind, arrays
"""

from __future__ import annotations

import re
from typing import Any

from tests.protocol import wire

_WORD = re.compile(r"[A-Za-z0-9_.#*$/@+-]+")
_NUMBER = re.compile(r"-?[0-9]+")
_KIND = re.compile(r"([IlbBsuidfTtSxL]):")
_STRING = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


class NotationError(ValueError):
    """A line that cannot be read; says what stands where it stopped."""


class Parser:
    """Reads `key=value ...` from the rest of a line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0

    def pairs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._skip():
            match = re.compile(r"[a-z_]+(?==)").match(self.source, self.at)
            if match is None:
                raise self._error("key=value")
            self.at = match.end() + 1
            found[match.group()] = self.value()
        return found

    def value(self) -> Any:
        """A plain value; a table is {name: (kind, value)}."""
        if self._peek("{"):
            return self._table()
        kind, value = self.field()
        return value if kind not in "A" else [item for _, item in value]

    def field(self) -> wire.Field:
        if self._peek("{"):
            return "F", self._table()
        if self._peek("["):
            return "A", self._array()
        match = _KIND.match(self.source, self.at)
        if match:
            self.at = match.end()
            return match.group(1), self._of_kind(match.group(1))
        if self.source.startswith("D:(", self.at):
            match = re.compile(r"D:\((\d+),(\d+)\)").match(self.source, self.at)
            if match is None:
                raise self._error("D:(scale,value)")
            self.at = match.end()
            return "D", (int(match.group(1)), int(match.group(2)))
        if self.source[self.at : self.at + 1] in ("'", '"'):
            return "S", self._string()
        match = _WORD.match(self.source, self.at)
        if match is None:
            raise self._error("a value")
        self.at = match.end()
        return self._word(match.group())

    def _word(self, word: str) -> wire.Field:
        if word in ("true", "false"):
            return "t", word == "true"
        if word == "V":
            return "V", None
        if _NUMBER.fullmatch(word):
            return "I", int(word)
        return "S", word

    def _of_kind(self, kind: str) -> Any:
        _, value = self.field()
        if kind in "df":
            return float(value)
        return value

    def _table(self) -> wire.Table:
        self.at += 1
        found: wire.Table = {}
        while not self._closing("}"):
            if self.source[self.at] in "'\"":
                name = self._string()
            else:
                match = re.compile(r"[A-Za-z0-9_.-]+").match(self.source, self.at)
                if match is None:
                    raise self._error("a field name")
                name, self.at = match.group(), match.end()
            if not self._peek("="):
                raise self._error("=")
            self.at += 1
            found[name] = self.field()
        return found

    def _array(self) -> list[wire.Field]:
        self.at += 1
        found = []
        while not self._closing("]"):
            found.append(self.field())
        return found

    def _closing(self, mark: str) -> bool:
        while self._peek(",") or self._peek(" "):
            self.at += 1
        if self.at >= len(self.source):
            raise self._error(mark)
        if self._peek(mark):
            self.at += 1
            return True
        return False

    def _string(self) -> str:
        match = _STRING.match(self.source, self.at)
        if match is None:
            raise self._error("a string")
        self.at = match.end()
        value = unescape(match.group(1) if match.group(1) is not None else match.group(2))
        times = re.compile(r"\*(\d+)").match(self.source, self.at)
        if times:
            self.at = times.end()
            value *= int(times.group(1))
        return value

    def _peek(self, mark: str) -> bool:
        return self.source.startswith(mark, self.at)

    def _skip(self) -> bool:
        while self._peek(" "):
            self.at += 1
        return self.at < len(self.source)

    def _error(self, wanted: str) -> NotationError:
        rest = self.source[self.at : self.at + 30]
        return NotationError(f"expected {wanted} at {rest!r} in {self.source!r}")


def unescape(source: str) -> str:
    """A quoted string's inside, as text that remembers every byte."""

    def one(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) == 3:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    return wire.text(_ESCAPE.sub(one, source).encode("latin-1"))


def quote(value: str) -> str:
    """A string as the notation spells it."""
    data = wire.raw(value)
    if len(data) > 64 and len(set(data)) == 1:
        return f"{quote(wire.text(data[:1]))}*{len(data)}"
    mark = '"' if b"'" in data and b'"' not in data else "'"
    out = []
    for octet in data:
        char = chr(octet)
        if char in (mark, "\\"):
            out.append("\\" + char)
        else:
            out.append(char if 32 <= octet < 127 else f"\\x{octet:02x}")
    return mark + "".join(out) + mark


def show(value: Any) -> str:
    """A method's or property's value."""
    if isinstance(value, dict):
        return show_table(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else quote(value)


def show_table(value: wire.Table) -> str:
    return "{" + ", ".join(f"{_name(k)}={show_field(v)}" for k, v in value.items()) + "}"


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else quote(name)


def show_field(item: wire.Field) -> str:
    kind, value = item
    if kind == "F":
        return show_table(value)
    if kind == "A":
        return "[" + ", ".join(map(show_field, value)) + "]"
    if kind in ("S", "t"):
        return show(value)
    if kind == "V":
        return "V"
    if kind == "D":
        return f"D:({value[0]},{value[1]})"
    if kind == "x":
        return "x:" + quote(value)
    return f"{kind}:{value}"


def show_pairs(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={show(value)}" for name, value in values.items())
