"""io:format: a text with ~s, ~w, ~p, ~b, ~c and ~n in it, and terms on one line.

Decides how a term is written for ~w and ~p; ~p breaks no lines here. Other directives, and fields
with a width, are refused as not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mqd.erlang.failures import TooLong
from mqd.erlang.lexer import KEYWORDS
from mqd.erlang.terms import Atom, Term, is_text

_DIRECTIVE: Final = re.compile(r"~(t?.|\Z)", re.DOTALL)
_PLAIN_ATOM: Final = re.compile(r"[a-z][a-zA-Z0-9_@]*")


def fill(form: str, given: list[Term]) -> str:
    """The text with the terms in it. Raises ValueError when they do not fit, TooLong."""
    left = iter(given)
    text = _DIRECTIVE.sub(lambda found: _directive(found[1].removeprefix("t"), left), form)
    if next(left, None) is not None:
        raise ValueError(given)
    return text


def _directive(kind: str, left: Iterator[Term]) -> str:
    if kind in ("n", "~"):
        return "\n" if kind == "n" else "~"
    if kind not in "swpbc" or not kind:
        raise TooLong(f"io:format's ~{kind} is not known here")
    try:
        value = next(left)
    except StopIteration:
        raise ValueError(kind) from None
    if kind == "s":
        return _as_text(value)
    if kind in "bc":
        if not isinstance(value, int):
            raise ValueError(value)
        return str(value) if kind == "b" else chr(value)
    return written(value, texts=kind == "p")


def _as_text(value: Term) -> str:
    if isinstance(value, Atom):
        return str(value)
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, list):
        raise ValueError(value)
    return "".join(chr(part) if isinstance(part, int) else _as_text(part) for part in value)


def written(value: Term, *, texts: bool) -> str:
    """A term as Erlang's source. texts: lists and binaries of characters in double quotes."""
    if isinstance(value, Atom):
        plain = _PLAIN_ATOM.fullmatch(value) and value not in KEYWORDS
        return str(value) if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, bytes):
        if texts and value and is_text(list(value)):
            return f"<<{_quoted(value.decode('latin-1'))}>>"
        return f"<<{','.join(map(str, value))}>>"
    if isinstance(value, list):
        if texts and value and is_text(value):
            return _quoted("".join(map(chr, value)))
        return f"[{_joined(value, texts)}]"
    if isinstance(value, tuple):
        return f"{{{_joined(value, texts)}}}"
    if isinstance(value, dict):
        pairs = (
            f"{written(key, texts=texts)} => {written(item, texts=texts)}"
            for key, item in value.items()
        )
        return f"#{{{','.join(pairs)}}}"
    if isinstance(value, (int, float)):
        return str(value)
    return "#Fun<erl_eval>"


def _joined(values: list[Term] | tuple[Term, ...], texts: bool) -> str:
    return ",".join(written(value, texts=texts) for value in values)


def _quoted(text: str) -> str:
    shown = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{shown}"'
