"""Escapes and classes of PCRE, read byte by byte.

Decides which bytes an escape or a class stands for, and what is wrong with one, in PCRE's words
and at PCRE's offset (observed: Erlang/OTP 25, re:compile). Never knows what stands around it.
"""

from __future__ import annotations

import re
import string

from mqd.auth.byteclasses import ESCAPED, EVERY, POSIX, ByteSet, of_category, spelled

_POSIX = re.compile(r"\[([:.=])(\^?)([a-zA-Z]*)\1\]")
_SIMPLE = {"a": 7, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9}
UNSUPPORTED_ESCAPE = "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u"
_CATEGORY = re.compile(r"\\([pP])(?:\{(\^?)([A-Za-z_&]+)\}|([A-Za-z]))")


class Fault(Exception):
    """What is wrong and where; the caller says with which expression."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


class Reader:
    """A place in an expression whose characters are bytes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.size = len(text)
        self.at = 0

    def letter(self) -> str:
        """The character after the backslash."""
        if self.at + 1 >= self.size:
            raise Fault("\\ at end of pattern", self.at + 1)
        return self.text[self.at + 1]

    def category(self) -> ByteSet:
        match = _CATEGORY.match(self.text, self.at)
        if match is None:
            raise Fault("malformed \\P or \\p sequence", self.at + 2)
        members = of_category(match[3] or match[4])
        if not members and (match[3] or match[4]) not in ("C", "Cn", "Co", "Cs", "Lt", "Lm"):
            raise Fault("unknown property name after \\P or \\p", match.end() - 1)
        self.at = match.end()
        return EVERY - members if (match[1] == "P") != (match[2] == "^") else members

    def escaped_byte(self) -> int:
        """The byte that an escape stands for; leaves `at` behind it."""
        letter = self.letter()
        self.at += 2
        if letter in _SIMPLE:
            return _SIMPLE[letter]
        if letter in "LlUu":
            raise Fault(UNSUPPORTED_ESCAPE, self.at - 1)
        if letter == "c":
            return self._control()
        if letter in "xo":
            return self._coded(letter)
        if letter in "01234567":
            match = re.compile(r"[0-7]{1,3}").match(self.text, self.at - 1)
            assert match is not None
            self.at = match.end()
            if int(match[0], 8) > 255:
                reason = "octal value is greater than \\377 in 8-bit non-UTF-8 mode"
                raise Fault(reason, self.at - 1)
            return int(match[0], 8)
        return ord(letter)

    def _control(self) -> int:
        if self.at >= self.size:
            raise Fault("\\c at end of pattern", self.size)
        char = self.text[self.at].upper()
        if ord(char) > 127:
            raise Fault("\\c must be followed by an ASCII character", self.at)
        self.at += 1
        return ord(char) ^ 64

    def _coded(self, letter: str) -> int:
        digits, base = (string.hexdigits, 16) if letter == "x" else (string.octdigits, 8)
        what = "hex" if letter == "x" else "octal"
        braced = self.text[self.at : self.at + 1] == "{"
        first = self.at + braced
        end = first
        while end < self.size and self.text[end] in digits and (braced or end < first + 2):
            end += 1
        if braced and (end == first or self.text[end : end + 1] != "}"):
            raise Fault(f"non-{what} character in \\{letter}{{}} (closing brace missing?)", end)
        if letter == "o" and not braced:
            raise Fault("missing opening brace after \\o", self.at - 1)
        value = int(self.text[first:end] or "0", base)
        if value > 255:
            raise Fault("character value in \\x{} or \\o{} is too large", end)
        self.at = end + braced
        return value

    def byte_class(self) -> str:
        """The class that opens here, as Python writes it."""
        self.at += 1
        negated = self.text[self.at : self.at + 1] == "^"
        self.at += negated
        if _POSIX.match(self.text, self.at - 1):
            raise Fault("POSIX named classes are supported only within a class", self.at - 1)
        members: set[int] = set()
        first = True
        while True:
            if self.at >= self.size:
                raise Fault("missing terminating ] for character class", self.size)
            if self.text[self.at] == "]" and not first:
                break
            first = False
            members |= self._class_item()
        self.at += 1
        return spelled(frozenset(members), negated)

    def _class_item(self) -> ByteSet:
        """One member of a class: a named set, a byte, or a range."""
        if self.text.startswith("\\Q", self.at):
            return self._quoted_members()
        low = self._class_atom()
        if not isinstance(low, int):
            return low
        dash = self.text[self.at : self.at + 1] == "-"
        if not dash or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return frozenset((low,))
        self.at += 1
        high = self._class_atom()
        if not isinstance(high, int):
            raise Fault("invalid range in character class", self.at - 1)
        if high < low:
            raise Fault("range out of order in character class", self.at - 1)
        return frozenset(range(low, high + 1))

    def _quoted_members(self) -> ByteSet:
        end = self.text.find("\\E", self.at)
        quoted = self.text[self.at + 2 : self.size if end < 0 else end]
        self.at = self.size if end < 0 else end + 2
        return frozenset(map(ord, quoted))

    def _class_atom(self) -> int | ByteSet:
        char = self.text[self.at]
        if char == "[":
            match = _POSIX.match(self.text, self.at)
            if match is not None:
                return self._posix(match)
        if char != "\\":
            self.at += 1
            return ord(char)
        letter = self.letter()
        if letter in ESCAPED:
            self.at += 2
            return ESCAPED[letter]
        if letter in "pP":
            return self.category()
        if letter == "b":
            self.at += 2
            return 8
        if letter == "E":
            self.at += 2
            return frozenset()
        return self.escaped_byte()

    def _posix(self, match: re.Match[str]) -> ByteSet:
        if match[1] != ":":
            raise Fault("POSIX collating elements are not supported", match.start())
        members = POSIX.get(match[3])
        if members is None:
            raise Fault("unknown POSIX class name", match.start(2))
        self.at = match.end()
        return EVERY - members if match[2] else members


def literal(byte: int) -> str:
    """That byte, meaning nothing but itself."""
    char = chr(byte)
    if char in string.ascii_letters or char in string.digits or char == "_":
        return char
    return f"\\x{byte:02x}"
