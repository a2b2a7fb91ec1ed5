"""JSON of a definitions file, as lenient as RabbitMQ 3.10.8's own reader.

Decides what is read and, where nothing can be, at which line and column and in which words. What
is proper JSON takes the fast way; the rest is read by hand, because the mirrored reader takes more
than JSON (a comma too many or too few, leading zeros, any control character or unknown escape in
a text) and says of what it does not take what is left of the file from there on. Never knows what
a definition is. All observed: 3.10.8.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from mqd.definitions.inspect import inspect_bytes

Json = Any  # what json.loads returns

DEPTH_MAX: Final = 200
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_EXPONENT: Final = re.compile(r"[+-]?[0-9]+")
_PLAIN: Final = re.compile(r'[^"\\\udc80-\udcff]*')
_HEX: Final = re.compile(r"[0-9a-fA-F]{0,4}")
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # perhaps: only the reader looks for the other
_WORDS: Final = {"true": True, "false": False, "null": None}
_ESCAPES: Final = dict(zip('nrtfb"\\/', '\n\r\t\f\b"\\/', strict=True))


class Unreadable(Exception):
    """What is no JSON. reason: in our words; shown: as 3.10.8 prints it, None where it crashes."""

    def __init__(self, reason: str, line: int, column: int, shown: str | None) -> None:
        super().__init__(f"{line}:{column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column
        self.shown = shown


def parse(data: bytes) -> Json:
    """The value of a whole file. Raises Unreadable."""
    try:
        if _HALF.search(data):
            raise ValueError
        return json.loads(data.decode(), parse_constant=_refuse, parse_float=_float)
    except (ValueError, RecursionError):  # of encoding and of numbers too long for Python as well
        return _Reader(data.decode("utf-8", "surrogateescape")).whole()


def lines_of(data: bytes) -> dict[tuple[str, int], int]:
    """On which line every object of a file begins, by its section and number; -1: the section
    itself. Empty for what cannot be read."""
    reader = _Reader(data.decode("utf-8", "surrogateescape"))
    try:
        reader.whole()
    except Unreadable:
        return {}
    starts = sorted((at, key) for key, at in reader.objects.items())
    found: dict[tuple[str, int], int] = {}
    line, last = 1, 0
    for at, key in starts:
        line += reader.text.count("\n", last, at)
        last = at
        found[key] = line
    return found


def _refuse(_word: str) -> NoReturn:
    raise ValueError


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError
    return value


class _Reader:
    """One pass over a text; `_at` is where it is. objects: where those of a file begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._end = len(text.rstrip())
        self._at = 0
        self._depth = 0
        self._section = ""
        self.objects: dict[tuple[str, int], int] = {}

    def whole(self) -> Json:
        self._skip()
        value = self._value("a value")
        self._skip()
        if self._at < self._end:
            raise self._unexpected("the end of the file")
        return value

    def _skip(self) -> None:
        """Whitespace of any kind, as Unicode has it."""
        while self._at < self._end and self.text[self._at].isspace():
            self._at += 1

    # -- failures -----------------------------------------------------------------------------

    def _fault(self, reason: str, shown: str | None, at: int | None = None) -> Unreadable:
        at = min(self._at if at is None else at, len(self.text))
        line = self.text.count("\n", 0, at) + 1
        return Unreadable(reason, line, at - self.text.rfind("\n", 0, at), shown)

    def _unexpected(self, wanted: str, at: int | None = None) -> Unreadable:
        at = self._at if at is None else at
        rest = self.text[at : self._end]
        if not rest:
            return self._ended(wanted)
        left = inspect_bytes(rest.encode("utf-8", "surrogateescape"))
        shown = f"{{:unexpected_token, {left}}}"
        found = rest[0] if rest[0].isprintable() else f"the character {ord(rest[0])}"
        if "\udc80" <= rest[0] <= "\udcff":
            found = f"the byte {ord(rest[0]) - 0xDC00}"
        return self._fault(f"expected {wanted}, found {found}", shown, at)

    def _ended(self, wanted: str) -> Unreadable:
        return self._fault(
            f"expected {wanted}, found the end of the file", ":unexpected_end_of_buffer", self._end
        )

    # -- values -------------------------------------------------------------------------------

    def _value(self, wanted: str) -> Json:
        if self._at >= self._end:
            raise self._ended(wanted)
        first = self.text[self._at]
        if first == '"':
            return self._string()
        if first in "{[":
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise self._fault(f"nested more than {DEPTH_MAX} levels deep", None)
            value = self._object() if first == "{" else self._array()
            self._depth -= 1
            return value
        for word, meant in _WORDS.items():
            if self.text.startswith(word, self._at):
                self._at += len(word)
                return meant
        return self._number(wanted)

    def _number(self, wanted: str) -> int | float:
        start = self._at
        found = _NUMBER.match(self.text, start)
        if found is None or not self.text[start : start + 2].isascii():
            raise self._unexpected(wanted)
        self._at = found.end()
        text = found[0]
        if self.text[self._at : self._at + 1] in ("e", "E"):
            self._at += 1
            exponent = _EXPONENT.match(self.text, self._at)
            if exponent is None:
                raise self._unexpected("digits of an exponent")
            self._at = exponent.end()
            text = f"{text}e{exponent[0]}"
        try:
            return int(text) if "." not in text and "e" not in text else _float(text)
        except ValueError:
            raise self._fault("a number that is too large", None, start) from None

    def _object(self) -> dict[str, Json]:
        self._at += 1
        members: dict[str, Json] = {}
        self._skip()
        while self._here('a name in double quotes, or "}"') != "}":
            if self.text[self._at] != '"':
                raise self._unexpected('a name in double quotes, or "}"')
            name = self._string()
            self._skip()
            if self._here('":"') != ":":
                raise self._unexpected('":"')
            self._at += 1
            self._skip()
            if self._depth == 1:
                self._section = name
                self.objects[name, -1] = self._at
            members[name] = self._value("a value")
            self._comma()
        self._at += 1
        return members

    def _array(self) -> list[Json]:
        self._at += 1
        items: list[Json] = []
        self._skip()
        while self._here('a value, or "]"') != "]":
            if self._depth == 2:
                self.objects[self._section, len(items)] = self._at
            items.append(self._value('a value, or "]"'))
            self._comma()
        self._at += 1
        return items

    def _here(self, wanted: str) -> str:
        if self._at >= self._end:
            raise self._ended(wanted)
        return self.text[self._at]

    def _comma(self) -> None:
        """One may follow, and nothing has to follow it."""
        self._skip()
        if self._at < self._end and self.text[self._at] == ",":
            self._at += 1
            self._skip()

    # -- texts --------------------------------------------------------------------------------

    def _string(self) -> str:
        self._at += 1
        parts: list[str] = []
        while True:
            plain = _PLAIN.match(self.text, self._at)
            assert plain is not None
            parts.append(plain[0])
            self._at = plain.end()
            if self._at >= self._end:
                raise self._ended("the end of a text")
            if self.text[self._at] == '"':
                self._at += 1
                return "".join(parts)
            if self.text[self._at] != "\\":
                raise self._fault("a text that is not UTF-8", None)
            parts.append(self._escape())

    def _escape(self) -> str:
        letter = self.text[self._at + 1 : min(self._at + 2, self._end)]
        if not letter:
            raise self._ended("the end of a text")
        if letter != "u":
            self._at += 2 if letter in _ESCAPES else 1
            return _ESCAPES.get(letter, "\\")
        start = self._at
        code = self._hex()
        if 0xD800 <= code <= 0xDBFF and self.text.startswith("\\u", self._at):
            low = self._hex()
            if 0xDC00 <= low <= 0xDFFF:
                return chr(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00)
        if 0xD800 <= code <= 0xDFFF:
            raise self._fault("half of a pair of escapes", None, start)
        return chr(code)

    def _hex(self) -> int:
        found = _HEX.match(self.text, self._at + 2)
        assert found is not None
        if len(found[0]) < 4:
            raise self._unexpected("four hexadecimal digits", found.end())
        self._at = found.end()
        return int(found[0], 16)
