"""Sets of bytes behind the names that regular expressions use for them.

Decides what `\\w`, `[:alpha:]` and `\\p{Lu}` contain: bytes taken as Latin-1, as Erlang's `re` does
without its unicode option (every set observed: Erlang/OTP 25). Never parses an expression.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

ByteSet = frozenset[int]
EVERY: Final[ByteSet] = frozenset(range(256))


def _of(ranges: str) -> ByteSet:
    """The set written as hexadecimal ranges: "30-39 5f"."""
    members: set[int] = set()
    for part in ranges.split():
        first, _, last = part.partition("-")
        members.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(members)


_DIGIT = _of("30-39")
_ALPHA = _of("41-5a 61-7a aa b5 ba c0-d6 d8-f6 f8-ff")
_WORD = _ALPHA | _DIGIT | _of("5f")
_SPACE = _of("09-0d 20")
_HORIZONTAL = _of("09 20 a0")
_VERTICAL = _of("0a-0d 85")

# by the letter after the backslash; the capital letter is the complement
ESCAPED: Final[dict[str, ByteSet]] = {
    "d": _DIGIT,
    "w": _WORD,
    "s": _SPACE,
    "h": _HORIZONTAL,
    "v": _VERTICAL,
}
ESCAPED.update({name.upper(): EVERY - members for name, members in list(ESCAPED.items())})

POSIX: Final[dict[str, ByteSet]] = {
    "alpha": _ALPHA,
    "lower": _of("61-7a aa b5 ba df-f6 f8-ff"),
    "upper": _of("41-5a c0-d6 d8-de"),
    "alnum": _ALPHA | _DIGIT,
    "ascii": EVERY,
    "blank": _of("09 20"),
    "cntrl": _of("00-1f 7f-9f"),
    "digit": _DIGIT,
    "graph": _of("21-7e a0-ff"),
    "print": _of("20-7e a0-ff"),
    "punct": _of("21-2f 3a-40 5b-60 7b-7e a0-a9 ab-b4 b6-b9 bb-bf d7 f7"),
    "space": _SPACE,
    "word": _WORD,
    "xdigit": _of("30-39 41-46 61-66"),
}


@cache
def of_category(name: str) -> ByteSet:
    """The bytes of a Unicode general category such as L or Lu; empty when there is none."""
    if name == "Any":
        return EVERY
    return frozenset(byte for byte in EVERY if unicodedata.category(chr(byte)).startswith(name))


def spelled(members: ByteSet, negated: bool = False) -> str:
    """The set as a class of Python's `re` over bytes, written in ASCII."""
    parts: list[str] = []
    for byte in range(256):
        if byte in members and byte - 1 not in members:
            end = byte
            while end + 1 in members:
                end += 1
            parts.append(f"\\x{byte:02x}" + (f"-\\x{end:02x}" if end > byte else ""))
    if not parts:
        return "[\\x00-\\xff]" if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(parts)}]"
