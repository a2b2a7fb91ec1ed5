"""Erlang terms as text: rabbitmq.config, advanced.config, enabled_plugins' relatives, flags.

Decides the syntax that file:consult/1 reads, without what no configuration has (funs, processes,
arithmetic), and keeps the line of every term so that whoever objects to one can name it. Never
knows what a term means.

Terms are plain Python values once `plain` has seen them: Atom and Chars are strings, a binary is
bytes, a proplist a list of pairs; true and false stay atoms, as in Erlang.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from mqd.config.parse import ConfigError

DEPTH_MAX = 100  # lists in lists; deeper ones are a mistake, and we recurse


class Atom(str):
    """A word."""

    __slots__ = ()


class Chars(str):
    """A list of characters."""

    __slots__ = ()


Plain = Any  # Atom | Chars | bytes | int | float | list | tuple | dict


@dataclass(frozen=True, slots=True)
class Term:
    """One term and the line it begins on. value: Atom, Chars, bytes, int, float, or a list or
    tuple of Terms; a map is a list of pairs of Terms under kind "map"."""

    kind: str  # atom, string, binary, number, list, tuple, map
    value: Any
    line: int

    def plain(self) -> Plain:
        """Without positions."""
        if self.kind == "list":
            return [item.plain() for item in self.value]
        if self.kind == "tuple":
            return tuple(item.plain() for item in self.value)
        if self.kind == "map":
            return {_hashable(key.plain()): value.plain() for key, value in self.value}
        return self.value

    @property
    def pair(self) -> tuple[Term, Term] | None:
        """Name and value of an element of a proplist; an atom alone stands for {atom,true}."""
        if self.kind == "tuple" and len(self.value) == 2 and self.value[0].kind == "atom":
            return self.value[0], self.value[1]
        if self.kind == "atom":
            return self, Term("atom", Atom("true"), self.line)
        return None


def _hashable(value: Plain) -> Plain:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


class _Wrong(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


_TOKEN = re.compile(
    r"""(?P<blank>[\s\u00a0\ufeff]+|%[^\n]*)
    |(?P<number>\d[\d_]*\#[0-9A-Za-z]+|\d[\d_]*\.\d+(?:[eE][+-]?\d+)?|\d[\d_]*)
    |(?P<char>\$(?:\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|\^.|[0-7]{1,3}|.)|[^\\]))
    |(?P<atom>[a-zß-öø-ÿ][\w@]*)
    |'(?P<quoted>(?:[^'\\]|\\.)*)'
    |"(?P<string>(?:[^"\\]|\\.)*)"
    |(?P<mark><<|>>|\#\{|=>|:=|[\[\]{}(),|:/+.-])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|\^.|[0-7]{1,3}|.)", re.DOTALL)
_NAMED = {"n": 10, "t": 9, "r": 13, "b": 8, "f": 12, "v": 11, "e": 27, "s": 32, "d": 127}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, char, atom, string, or the mark itself; "" at the end
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _Wrong(line, _illegal(text[at]))
        kind, here = found.lastgroup or "", line
        line += found[0].count("\n")
        at = found.end()
        if kind == "blank":
            continue
        if kind == "quoted":
            yield _Token("atom", _unescaped(found[kind], here), here)
        elif kind == "string":
            yield _Token("string", _unescaped(found[kind], here), here)
        elif kind == "mark":
            yield _Token(found[0], found[0], here)
        else:
            yield _Token(kind, found[0], here)
    yield _Token("", "", line)


def _illegal(character: str) -> str:
    if character in "\"'":
        return f"a text begins with {character} and does not end"
    if character.isupper() or character == "_":
        return f"a name that begins with '{character}' is a variable, which is not allowed here"
    return f"illegal character {character!r}"


def _unescaped(text: str, line: int) -> str:
    def one(found: re.Match[str]) -> str:
        return chr(_escaped_code(found[1], line))

    return _ESCAPE.sub(one, text) if "\\" in text else text


def _escaped_code(text: str, line: int) -> int:
    if text.startswith("x{"):
        code = int(text[2:-1], 16)
    elif text.startswith("x") and len(text) == 3:
        code = int(text[1:], 16)
    elif text.startswith("^"):
        code = ord(text[1]) & 31
    elif text[0] in "01234567":
        code = int(text, 8)
    else:
        code = _NAMED.get(text, ord(text))
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise _Wrong(line, f"\\{text} is no character")
    return code


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._depth = 0

    def terms(self) -> Iterator[Term]:
        """Each followed by a full stop."""
        while self._next.kind:
            term = self._term()
            self._take(".", "'.' ends the term")
            yield term

    def one(self, stop: bool) -> Term:
        """A single term; a full stop may follow it, where `stop` says so."""
        term = self._term()
        if stop and self._next.kind == ".":
            self._advance()
        if self._next.kind:
            self._refuse("nothing more")
        return term

    def _advance(self) -> _Token:
        token = self._next
        if token.kind:
            self._next = next(self._tokens)
        return token

    def _take(self, kind: str, expected: str) -> _Token:
        if self._next.kind != kind:
            self._refuse(expected)
        return self._advance()

    def _refuse(self, expected: str) -> NoReturn:
        token = self._next
        if not token.kind:
            raise _Wrong(token.line, f"the file ends too early: {expected} expected")
        raise _Wrong(token.line, f"syntax error before {token.text!r}: {expected} expected")

    def _term(self) -> Term:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _Wrong(self._next.line, f"nested more than {DEPTH_MAX} deep")
        try:
            return self._any()
        finally:
            self._depth -= 1

    def _any(self) -> Term:
        token = self._next
        if token.kind == "atom":
            self._advance()
            return Term("atom", Atom(token.text), token.line)
        if token.kind == "string":
            return Term("string", Chars(self._string()), token.line)
        if token.kind in ("number", "char", "-", "+"):
            return Term("number", self._number(), token.line)
        if token.kind == "[":
            return self._list()
        if token.kind == "{":
            self._advance()
            return Term("tuple", tuple(self._items("}")), token.line)
        if token.kind == "<<":
            return self._binary()
        if token.kind != "#{":
            self._refuse("a term")
        return self._map()

    def _string(self) -> str:
        text = ""
        while self._next.kind == "string":
            text += self._advance().text
        return text

    def _number(self) -> int | float:
        sign = 1
        while self._next.kind in ("-", "+"):
            sign = -sign if self._advance().kind == "-" else sign
        token = self._next
        if token.kind == "char":
            self._advance()
            code = token.text[1:]
            return sign * (_escaped_code(code[1:], token.line) if len(code) > 1 else ord(code))
        self._take("number", "a number")
        return sign * _read_number(token)

    def _items(self, closing: str) -> Iterator[Term]:
        if self._next.kind == closing:
            self._advance()
            return
        while True:
            yield self._term()
            if self._next.kind == closing:
                self._advance()
                return
            self._take(",", f"',' or '{closing}'")

    def _list(self) -> Term:
        line = self._advance().line
        items: list[Term] = []
        if self._next.kind == "]":
            self._advance()
            return Term("list", (), line)
        while True:
            items.append(self._term())
            if self._next.kind == "|":
                self._advance()
                tail = self._term()
                if tail.kind != "list":
                    raise _Wrong(tail.line, "what follows '|' must be a list")
                items += tail.value
                self._take("]", "']'")
                break
            if self._next.kind == "]":
                self._advance()
                break
            self._take(",", "',' or ']'")
        return Term("list", tuple(items), line)

    def _map(self) -> Term:
        line = self._advance().line
        pairs: list[tuple[Term, Term]] = []
        while self._next.kind != "}":
            key = self._term()
            self._take("=>", "'=>'")
            pairs.append((key, self._term()))
            if self._next.kind != "}":
                self._take(",", "',' or '}'")
                if self._next.kind == "}":
                    self._refuse("a term")
        self._advance()
        return Term("map", tuple(pairs), line)

    # -- bit syntax -----------------------------------------------------------------------------

    def _binary(self) -> Term:
        line = self._advance().line
        data = bytearray()
        while self._next.kind != ">>":
            data += self._segment()
            if self._next.kind != ">>":
                self._take(",", "',' or '>>'")
                if self._next.kind == ">>":
                    self._refuse("a segment")
        self._advance()
        return Term("binary", bytes(data), line)

    def _segment(self) -> bytes:
        token = self._next
        text: str | None = None
        value: int | float = 0
        if token.kind == "string":
            text = self._string()
        elif token.kind in ("number", "char", "-", "+"):
            value = self._number()
        else:
            self._refuse("a number or a text")
        size: int | None = None
        if self._next.kind == ":":
            self._advance()
            size = int(_read_number(self._take("number", "a size in bits")))
        kinds, unit = self._specifiers()
        try:
            if text is not None:
                return b"".join(_bits(ord(each), size, kinds, unit) for each in text)
            return _bits(value, size, kinds, unit)
        except (ValueError, OverflowError, struct.error) as error:
            raise _Wrong(token.line, f"no such segment of a binary: {error}") from error

    def _specifiers(self) -> tuple[set[str], int]:
        kinds, unit = set(), 0
        mark = "/"
        while self._next.kind == mark:
            self._advance()
            name = self._take("atom", "a type such as native").text
            if self._next.kind == ":":
                self._advance()
                unit = int(_read_number(self._take("number", "a number")))
            else:
                kinds.add(name)
            mark = "-"
        return kinds, unit


_TYPES = {"integer", "float", "utf8", "utf16", "utf32", "signed", "unsigned"}
_TYPES |= {"big", "little", "native"}
_SEGMENT_BITS_MAX = 1 << 16


def _bits(value: int | float, size: int | None, kinds: set[str], unit: int) -> bytes:
    if kinds - _TYPES:
        raise ValueError(f"type {min(kinds - _TYPES)}")
    little = "little" in kinds or ("native" in kinds and sys.byteorder == "little")
    if kinds & {"utf8", "utf16", "utf32"}:
        name = "utf-8" if "utf8" in kinds else "utf-16" if "utf16" in kinds else "utf-32"
        suffix = "" if name == "utf-8" else "-le" if little else "-be"
        return chr(int(value)).encode(name + suffix)
    if "float" in kinds:
        code = {64: "d", 32: "f", 16: "e"}.get((64 if size is None else size) * (unit or 1), "")
        if not code:
            raise ValueError(f"a float of {size} bits")
        return struct.pack(("<" if little else ">") + code, value)
    bits = (8 if size is None else size) * (unit or 1)
    if bits % 8 or bits > _SEGMENT_BITS_MAX:
        raise ValueError(f"{bits} bits, which are not whole bytes" if bits % 8 else f"{bits} bits")
    if isinstance(value, float):
        raise ValueError(f"{value} is no integer")
    return (value & ((1 << bits) - 1)).to_bytes(bits // 8, "little" if little else "big")


_DIGITS_MAX = 1000


def _read_number(token: _Token) -> int | float:
    text = token.text.replace("_", "")
    if len(text) > _DIGITS_MAX:
        raise _Wrong(token.line, f"a number of {len(text)} digits")
    base, mark, digits = text.partition("#")
    try:
        if mark:
            if not 2 <= int(base) <= 36:
                raise ValueError
            return int(digits, int(base))
        return float(text) if "." in text else int(text)
    except ValueError:
        raise _Wrong(token.line, f"{token.text!r} is no number") from None


def consult(text: str, file: str) -> list[Term]:
    """All terms of a file, each ended by a full stop. Raises ConfigError with file and line."""
    try:
        return list(_Reader(text).terms())
    except _Wrong as error:
        raise ConfigError([f"{file}:{error.line}: {error}"]) from error


def parse(text: str, place: str = "term", stop: bool = True) -> Term:
    """One term, with or without a full stop. Raises ConfigError."""
    try:
        return _Reader(text).one(stop)
    except _Wrong as error:
        raise ConfigError([f"{place}: {error}"]) from error
