"""Erlang source text to tokens.

Decides what a token is and what is none, with the words of Erlang's own scanner (observed: OTP 25,
erl_scan). Never knows what a sequence of tokens means: `mqd.erlang.parser`.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple


class Unscannable(Exception):
    """Text that is no token; the message is erl_scan's."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Token(NamedTuple):
    """kind: atom, var, integer, float, string, char, dot, the word itself, or "" at the end."""

    kind: str
    value: Any
    line: int


_WORDS: Final = """
after and andalso band begin bnot bor bsl bsr bxor case catch cond div end fun if let not of or
orelse receive rem try when xor
"""
KEYWORDS: Final = frozenset(_WORDS.split())

_SYMBOLS: Final = """
=:= =/= ==> <<- << >> <= => := -> <- == /= =< >= ++ -- || :: ..
( ) { } [ ] # , ; | : = + - * / < > ! ?
"""
_SYMBOL: Final = "|".join(
    re.escape(symbol) for symbol in sorted(_SYMBOLS.split(), key=len, reverse=True)
)
_TOKEN: Final = re.compile(
    rf"""
    (?P<space>[\s]+|%[^\n]*)
  | (?P<float>\d[\d_]*\.\d+(?:[eE][+-]?\d+)?)
  | (?P<based>\d+\#[0-9a-zA-Z]+)
  | (?P<integer>\d[\d_]*)
  | (?P<word>[a-zß-öø-ÿ][\w@]*)
  | (?P<var>[A-Z_À-ÖØ-Þ][\w@]*)
  | (?P<char>\$(?:\\(?:x\{{[0-9a-fA-F]+\}}|x[0-9a-fA-F]{{2}}|\^.|[0-7]{{1,3}}|.)|.|\n))
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<quoted>'(?:[^'\\]|\\.)*')
  | (?P<open>["'](?:.|\n)*)
  | (?P<dot>\.(?=\s|%|\Z))
  | (?P<symbol>{_SYMBOL}|\.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(x\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|\^.|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED: Final = {
    "n": 10, "r": 13, "t": 9, "v": 11, "b": 8, "f": 12, "e": 27, "s": 32, "d": 127
}  # fmt: skip


def _escape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:].strip("{}"), 16))
    if code[0] == "^":
        return chr(ord(code[1]) & 31)
    if code[0] in "01234567":
        return chr(int(code, 8))
    return chr(_ESCAPED.get(code, ord(code[0])))


def unescape(text: str) -> str:
    """What stands between quotes, with its escapes resolved."""
    return _ESCAPE.sub(_escape, text)


def tokens(text: str) -> list[Token]:
    """All tokens, closed by one of no kind. Raises Unscannable."""
    found: list[Token] = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unscannable("illegal character", line)
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(_token(kind, match[0], line))
        line += match[0].count("\n")
        position = match.end()
    found.append(Token("", "", line))
    return found


def _token(kind: str, text: str, line: int) -> Token:
    if kind == "open":
        what = "string" if text[0] == '"' else "atom"
        shown = text if what == "string" else text[1:]
        quoted = f'"{shown[1:]}"' if what == "string" else f"'{shown}'"
        raise Unscannable(f"unterminated {what} starting with {quoted}", line)
    if kind == "word":
        return Token(text if text in KEYWORDS else "atom", text, line)
    if kind == "quoted":
        return Token("atom", unescape(text[1:-1]), line)
    if kind == "string":
        return Token("string", unescape(text[1:-1]), line)
    if kind == "char":
        return Token("char", ord(unescape(text[1:])), line)
    if kind == "integer":
        return Token("integer", int(text.replace("_", "")), line)
    if kind == "float":
        return Token("float", float(text.replace("_", "")), line)
    if kind == "based":
        base, _, digits = text.partition("#")
        try:
            return Token("integer", int(digits, int(base)), line)
        except ValueError:
            raise Unscannable("illegal integer", line) from None
    return Token(kind if kind in ("var", "dot") else text, text, line)
