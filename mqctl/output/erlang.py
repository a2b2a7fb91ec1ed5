"""Formatter `erlang`: one term as io:format("~p") prints it, on lines of 80 characters.

Decides the layout of io_lib_pretty (Erlang/OTP 25) for the terms that verbs produce: what fits
stays on one line, else every composite element takes its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mqctl.output.terms import Atom, Chars, Octets, Pid, Term

LINE = 80
_BARE_ATOM = re.compile(r"[a-zß-öø-ÿ][0-9A-Za-z_@ß-öø-ÿÀ-ÖØ-Þ]*\Z")
_RESERVED_WORDS = """
after and andalso band begin bnot bor bsl bsr bxor case catch cond div end fun if let not of or
orelse receive rem try when xor maybe
"""
_RESERVED = frozenset(_RESERVED_WORDS.split())
_ESCAPES = {
    ord("\n"): "\\n",
    ord("\t"): "\\t",
    ord("\r"): "\\r",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord("\v"): "\\v",
    27: "\\e",
    ord("\\"): "\\\\",
}


def is_printable(codes: Iterable[int]) -> bool:
    """io_lib:printable_latin1_list/1."""
    return all(32 <= c <= 126 or 160 <= c <= 255 or 8 <= c <= 13 or c == 27 for c in codes)


def quoted(codes: Iterable[int], mark: str) -> str:
    """Characters between marks, escaped."""
    inner = "".join(
        "\\" + mark if chr(c) == mark else _ESCAPES[c] if c in _ESCAPES else chr(c) for c in codes
    )
    return f"{mark}{inner}{mark}"


def atom_text(name: str) -> str:
    """An atom, quoted where Erlang's syntax asks for it."""
    if _BARE_ATOM.match(name) and name not in _RESERVED:
        return name
    return quoted(map(ord, name), "'")


def float_text(value: float) -> str:
    """Shortest digits that read back as the same number, in Erlang's form (1.0e-5, 1.0e20)."""
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}e{int(exponent)}"


def atomic_text(value: Term) -> str | None:
    """What prints without structure, else None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Atom):
        return atom_text(value)
    if isinstance(value, Pid):
        return str(value)
    if isinstance(value, Chars):
        codes = [ord(c) for c in value]
        if not codes:
            return "[]"
        return quoted(codes, '"') if is_printable(codes) else None
    if isinstance(value, str):
        data = value.encode("latin-1" if isinstance(value, Octets) else "utf-8")
        if is_printable(data):
            return f"<<{quoted(data, chr(34))}>>" if data else "<<>>"
        return "<<" + ",".join(map(str, data)) + ">>"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict) and not value:
        return "#{}"
    if value in ([], ()):
        return "[]" if isinstance(value, list) else "{}"
    return None


def flat(value: Term) -> str:
    """The whole term on one line."""
    text = atomic_text(value)
    if text is not None:
        return text
    if isinstance(value, str):  # Chars that are no text
        return "[" + ",".join(str(ord(c)) for c in value) + "]"
    if isinstance(value, dict):
        return "#{" + ",".join(f"{flat(k)} => {flat(v)}" for k, v in sorted_items(value)) + "}"
    inner = ",".join(map(flat, value))
    return f"{{{inner}}}" if isinstance(value, tuple) else f"[{inner}]"


def sorted_items(value: dict[Term, Term]) -> list[tuple[Term, Term]]:
    """Small Erlang maps keep their keys in term order: atoms before binaries."""
    return sorted(value.items(), key=lambda item: (not isinstance(item[0], Atom), str(item[0])))


class _TooDeep(Exception):
    """A layout that leaves too little room to the right."""


def format_term(value: Term) -> str:
    """The term over as many lines as it needs.

    io_lib_pretty first puts the elements of a tagged tuple right after the tag; where that starts
    beyond the middle of the line it indents them by 4 from the tuple, at last by 1.
    """
    for tag_indent in (-1, 4):
        try:
            return _Layout(tag_indent).pretty(value, 1, 0)
        except _TooDeep:
            continue
    return _Layout(1).pretty(value, 1, 0)


class _Layout:
    """tag_indent: columns from a tuple's start to what follows its tag; -1: right after the tag."""

    def __init__(self, tag_indent: int) -> None:
        self.tag_indent = tag_indent

    def pretty(self, value: Term, column: int, after: int) -> str:
        """column: where the term starts, from 1; after: closing brackets that follow it."""
        text = flat(value)
        if len(text) < LINE - column - after:
            return text
        if text.startswith("<<") and text[2].isdigit():
            octets = value.encode("latin-1" if isinstance(value, Octets) else "utf-8")
            return "<<" + self._elements(list(octets), column + 2, after + 2) + ">>"
        if atomic_text(value) is not None:
            return text
        if isinstance(value, tuple):
            if len(value) > 1 and isinstance(value[0], (Atom, bool)):
                return "{" + self._tagged(value, column, after + 1) + "}"
            return "{" + self._elements(value, column + 1, after + 1) + "}"
        if isinstance(value, dict):
            return "#{" + self._pairs(value, column + 2, after + 1) + "}"
        items = [ord(c) for c in value] if isinstance(value, str) else value
        return "[" + self._elements(items, column + 1, after + 1) + "]"

    def _tagged(self, value: tuple[Term, ...], column: int, after: int) -> str:
        tag = flat(value[0])
        width = len(tag) + 2
        indented = 0 < self.tag_indent < width
        start = column + (self.tag_indent if indented else width)
        if self.tag_indent != 1 and start >= LINE // 2:
            raise _TooDeep
        if indented:
            return tag + self._tail(value[1:], start, column + width, after)
        return f"{tag}," + self._elements(value[1:], start, after)

    def _elements(self, items: Sequence[Term], column: int, after: int) -> str:
        first = self.pretty(items[0], column, after if len(items) == 1 else 0)
        at = column + len(first) if atomic_text(items[0]) is not None else LINE
        return first + self._tail(items[1:], column, at, after)

    def _tail(self, items: Sequence[Term], column: int, at: int, after: int) -> str:
        """What follows an element: atomic ones gather on its line, composite ones do not."""
        out: list[str] = []
        for index, item in enumerate(items):
            closing = after if index == len(items) - 1 else 0
            text = atomic_text(item)
            if text is not None and len(text) + 1 + max(closing, 1) < LINE - at:
                out.append("," + text)
                at += 1 + len(text)
                continue
            piece = self.pretty(item, column, closing)
            out.append(",\n" + " " * (column - 1) + piece)
            at = column + len(piece) if text is not None else LINE
        return "".join(out)

    def _pairs(self, value: dict[Term, Term], column: int, after: int) -> str:
        out: list[str] = []
        at = column
        items = sorted_items(value)
        for index, (key, inner) in enumerate(items):
            closing = after if index == len(items) - 1 else 0
            text = f"{flat(key)} => {flat(inner)}"
            atomic = atomic_text(inner) is not None
            if index and atomic and len(text) + 1 + max(closing, 1) < LINE - at:
                out.append("," + text)
                at += 1 + len(text)
                continue
            fits = len(text) < LINE - column - closing
            if not fits:
                start = column + (self.tag_indent if self.tag_indent > 0 else 4)
                text = f"{flat(key)} =>\n{' ' * (start - 1)}" + self.pretty(inner, start, closing)
            out.append((",\n" + " " * (column - 1) if index else "") + text)
            at = column + len(text) if atomic and fits else LINE
        return "".join(out)
