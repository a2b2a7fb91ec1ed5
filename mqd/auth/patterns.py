"""Regular expressions in the dialect operators write for RabbitMQ (PCRE, over bytes).

Decides how such an expression is said in Python's `re`, and what is wrong with a bad one, in
PCRE's words and at PCRE's offset (observed: Erlang/OTP 25, re:compile). The translation goes atom
by atom, so that nothing reaches Python's parser that it might read in its own way. What neither
dialect shares with the other (recursion, callouts, backtracking verbs) is refused by name.

LIMIT: lookbehind alternatives of different lengths and references to later groups are refused;
letters beyond ASCII do not fold their case under (?i).
"""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import Final

from mqd.auth.byteclasses import ESCAPED, EVERY, POSIX, ByteSet, of_category, spelled
from mqd.errors import ErrorCode, MqdError

PATTERN_BYTES_MAX: Final = 65_535
_DEPTH_MAX: Final = 120  # nested groups; what Python's parser takes with its default stack
_REPEAT_MAX: Final = 65_535  # PCRE's
_COMPILED_MAX: Final = 1024  # a broker has a handful of distinct expressions

_QUANTIFIER = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_NAME = re.compile(r"[A-Za-z0-9_]*")
_POSIX = re.compile(r"\[([:.=])(\^?)([a-zA-Z]*)\1\]")
_SIMPLE = {"a": 7, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9}
_UNSUPPORTED_ESCAPE = "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u"
_WORD = spelled(ESCAPED["w"])
_NOT_WORD = spelled(ESCAPED["W"])
_BOUNDARY = f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"
_NO_BOUNDARY = f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))"
_ASSERTIONS = {
    "b": _BOUNDARY,
    "B": _NO_BOUNDARY,
    "A": "\\A",
    "G": "\\A",
    "z": "\\Z",
    "Z": "(?=\\n?\\Z)",
    "K": "(?:)",  # moves the start of the match, which nobody asks for
}
_SEQUENCES = {
    "R": "(?>\\r\\n|[\\n\\x0b\\f\\r\\x85])",
    "N": "[^\\n]",
    "C": "[\\x00-\\xff]",
    "X": "(?>\\r\\n|[\\x00-\\xff])",
}


class InvalidPattern(MqdError):
    """An expression that cannot be compiled.

    reason and offset (in bytes) are PCRE's; the message is what rabbitmqctl prints.
    """

    def __init__(self, pattern: str, reason: str, offset: int) -> None:
        super().__init__(
            ErrorCode.INVALID_ARGUMENT,
            f"{{:invalid_regexp, {_charlist(pattern)}, {{{_charlist(reason)}, {offset}}}}}",
        )
        self.pattern = pattern
        self.reason = reason
        self.offset = offset


@lru_cache(maxsize=_COMPILED_MAX)
def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """The expression, ready to search bytes. Raises InvalidPattern."""
    raw = pattern.encode("utf-8", "surrogateescape").decode("latin-1")
    if len(raw) > PATTERN_BYTES_MAX:
        raise InvalidPattern(pattern, "regular expression is too large", PATTERN_BYTES_MAX)
    try:
        return re.compile(_Translation(raw).run().encode("latin-1"))
    except _Fault as fault:
        raise InvalidPattern(pattern, fault.reason, fault.offset) from None
    except re.error as error:
        raise InvalidPattern(pattern, _pcre_reason(error.msg), len(raw)) from None
    except (OverflowError, RecursionError):
        raise InvalidPattern(pattern, "regular expression is too large", len(raw)) from None


class _Fault(Exception):
    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


class _Group:
    """An open group: what opened it, and the flags switched on inside, to be closed with it."""

    __slots__ = ("flags", "extended")

    def __init__(self, extended: bool) -> None:
        self.flags: list[str] = []
        self.extended = extended  # (?x): white space and comments do not count


class _Translation:
    """One pass over an expression whose characters are bytes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.size = len(text)
        self.at = 0
        self.out: list[str] = []
        self.groups = [_Group(False)]
        self.repeatable = False  # whether a quantifier may follow
        self.captures = 0
        self.names: set[str] = set()

    def run(self) -> str:
        while self.at < self.size:
            self._step(self.text[self.at])
        if len(self.groups) > 1:
            raise _Fault("missing )", self.size)
        self._close_flags()
        return "".join(self.out)

    def _step(self, char: str) -> None:
        if self.groups[-1].extended and (char.isspace() or char == "#"):
            self._skip_space(char)
        elif char == "\\":
            self._escape()
        elif char == "[":
            self._class()
        elif char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char == "|":
            self._alternative()
        elif char in "*+?" or (char == "{" and _QUANTIFIER.match(self.text, self.at)):
            self._repeat(char)
        elif char in "^$":
            self._emit(char, 1, repeatable=False)
        elif char == ".":
            self._emit(char, 1)
        else:
            self._emit(_literal(ord(char)), 1)

    def _emit(self, text: str, width: int, repeatable: bool = True) -> None:
        self.out.append(text)
        self.at += width
        self.repeatable = repeatable

    def _skip_space(self, char: str) -> None:
        end = self.text.find("\n", self.at) if char == "#" else self.at
        self.at = self.size if end < 0 else end + 1

    # -- repetition ------------------------------------------------------------------------

    def _repeat(self, char: str) -> None:
        text = char
        if char == "{":
            match = _QUANTIFIER.match(self.text, self.at)
            assert match is not None
            text = match[0]
            self._check_counts(match)
        last = self.at + len(text) - 1
        if not self.repeatable:
            raise _Fault("nothing to repeat", last)
        suffix = self.text[last + 1 : last + 2]
        if suffix and suffix in "?+":
            text += suffix
        self._emit(text, len(text), repeatable=False)

    def _check_counts(self, match: re.Match[str]) -> None:
        for number in (1, 3):
            if match[number] and int(match[number][:6]) > _REPEAT_MAX:
                raise _Fault("number too big in {} quantifier", match.start(number) + 5)
        if match[3] and int(match[3]) < int(match[1]):
            raise _Fault("numbers out of order in {} quantifier", match.end() - 1)

    # -- escapes ---------------------------------------------------------------------------

    def _escape(self) -> None:
        letter = self._letter()
        if letter in _ASSERTIONS:
            self._emit(_ASSERTIONS[letter], 2, repeatable=False)
        elif letter in ESCAPED:
            self._emit(spelled(ESCAPED[letter]), 2)
        elif letter == "N" and self.text[self.at + 2 : self.at + 3] == "{":
            raise _Fault(_UNSUPPORTED_ESCAPE, self.at + 1)
        elif letter in _SEQUENCES:
            self._emit(_SEQUENCES[letter], 2)
        elif letter in "pP":
            self._emit(spelled(self._category()), 0)
        elif letter == "Q":
            self._quoted()
        elif letter == "E":
            self.at += 2
        elif letter in "gk" or letter in "123456789":
            self._reference(letter)
        else:
            self._emit(_literal(self._escaped_byte()), 0)

    def _letter(self) -> str:
        """The character after the backslash."""
        if self.at + 1 >= self.size:
            raise _Fault("\\ at end of pattern", self.at + 1)
        return self.text[self.at + 1]

    def _quoted(self) -> None:
        end = self.text.find("\\E", self.at + 2)
        quoted = self.text[self.at + 2 : self.size if end < 0 else end]
        for char in quoted:
            self._emit(_literal(ord(char)), 0)
        self.at = self.size if end < 0 else end + 2

    def _category(self) -> ByteSet:
        match = re.compile(r"\\([pP])(?:\{(\^?)([A-Za-z_&]+)\}|([A-Za-z]))").match(
            self.text, self.at
        )
        if match is None:
            raise _Fault("malformed \\P or \\p sequence", self.at + 2)
        members = of_category(match[3] or match[4])
        if not members and (match[3] or match[4]) not in ("C", "Cn", "Co", "Cs", "Lt", "Lm"):
            raise _Fault("unknown property name after \\P or \\p", match.end() - 1)
        self.at = match.end()
        return EVERY - members if (match[1] == "P") != (match[2] == "^") else members

    def _reference(self, letter: str) -> None:
        if letter in "123456789":
            self._numbered_reference()
            return
        match = re.compile(
            r"\\(?:g(?:(-?[0-9]+)|\{(-?[0-9]+)\}|\{([A-Za-z_]\w*)\})"
            r"|k(?:<(\w+)>|'(\w+)'|\{(\w+)\}))",
            re.ASCII,
        ).match(self.text, self.at)
        if match is None:
            form = "name/number or by a plain number" if letter == "g" else "name"
            reason = f"\\{letter} is not followed by a braced, angle-bracketed, or quoted {form}"
            raise _Fault(reason, self.at + 1)
        name = match[3] or match[4] or match[5] or match[6]
        if name:
            if name not in self.names:
                raise _Fault("reference to non-existent subpattern", match.end() - 1)
            self._emit(f"(?P={name})", match.end() - self.at)
            return
        number = int(match[1] or match[2])
        if number == 0:
            raise _Fault("a numbered reference must not be zero", match.end() - 1)
        if number < 0:
            number += self.captures + 1
            if number < 1:
                raise _Fault("reference to non-existent subpattern", match.end() - 1)
        self._emit_reference(number)
        self.at = match.end()

    def _numbered_reference(self) -> None:
        match = re.compile(r"\\([0-9]+)").match(self.text, self.at)
        assert match is not None
        number = int(match[1][:6])
        if number < 8 or number <= self.captures:
            self._emit_reference(number)
            self.at = match.end()
        else:
            self._emit(_literal(self._escaped_byte()), 0)

    def _emit_reference(self, number: int) -> None:
        if not 0 < number <= self.captures:
            raise _Fault("reference to non-existent subpattern", self.size)
        # in a group of its own, so that digits which follow are not read as part of the number
        self._emit(f"(?:\\{number})", 0)

    def _escaped_byte(self) -> int:
        """The byte that an escape stands for; leaves `at` behind it."""
        letter = self._letter()
        self.at += 2
        if letter in _SIMPLE:
            return _SIMPLE[letter]
        if letter in "LlUu":
            raise _Fault(_UNSUPPORTED_ESCAPE, self.at - 1)
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
                raise _Fault(reason, self.at - 1)
            return int(match[0], 8)
        return ord(letter)

    def _control(self) -> int:
        if self.at >= self.size:
            raise _Fault("\\c at end of pattern", self.size)
        char = self.text[self.at].upper()
        if ord(char) > 127:
            raise _Fault("\\c must be followed by an ASCII character", self.at)
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
            raise _Fault(f"non-{what} character in \\{letter}{{}} (closing brace missing?)", end)
        if letter == "o" and not braced:
            raise _Fault("missing opening brace after \\o", self.at - 1)
        value = int(self.text[first:end] or "0", base)
        if value > 255:
            raise _Fault("character value in \\x{} or \\o{} is too large", end)
        self.at = end + braced
        return value

    # -- classes ---------------------------------------------------------------------------

    def _class(self) -> None:
        self.at += 1
        negated = self.text[self.at : self.at + 1] == "^"
        self.at += negated
        if _POSIX.match(self.text, self.at - 1):
            raise _Fault("POSIX named classes are supported only within a class", self.at - 1)
        members: set[int] = set()
        first = True
        while True:
            if self.at >= self.size:
                raise _Fault("missing terminating ] for character class", self.size)
            if self.text[self.at] == "]" and not first:
                break
            first = False
            members |= self._class_item()
        self._emit(spelled(frozenset(members), negated), 1)

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
            raise _Fault("invalid range in character class", self.at - 1)
        if high < low:
            raise _Fault("range out of order in character class", self.at - 1)
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
        letter = self._letter()
        if letter in ESCAPED:
            self.at += 2
            return ESCAPED[letter]
        if letter in "pP":
            return self._category()
        if letter == "b":
            self.at += 2
            return 8
        if letter == "E":
            self.at += 2
            return frozenset()
        return self._escaped_byte()

    def _posix(self, match: re.Match[str]) -> ByteSet:
        if match[1] != ":":
            raise _Fault("POSIX collating elements are not supported", match.start())
        members = POSIX.get(match[3])
        if members is None:
            raise _Fault("unknown POSIX class name", match.start(2))
        self.at = match.end()
        return EVERY - members if match[2] else members

    # -- groups ----------------------------------------------------------------------------

    def _open(self) -> None:
        text, at = self.text, self.at
        if text.startswith("(*", at):
            if text[at + 2 : at + 3].isupper() or text[at + 2 : at + 3] == ":":
                end = text.find(")", at)
                raise _Fault("(*VERB) not recognized or malformed", end if end > 0 else at + 2)
            raise _Fault("nothing to repeat", at + 1)
        if not text.startswith("(?", at):
            self.captures += 1
            self._enter("(", 1)
            return
        for opening in ("(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"):
            if text.startswith(opening, at):
                self._enter(opening, len(opening))
                return
        kind = text[at + 2 : at + 3]
        if kind == "#":
            end = text.find(")", at)
            if end < 0:
                raise _Fault("missing ) after comment", self.size)
            self.at = end + 1
        elif kind and kind in "P<'":
            self._named(kind)
        elif kind == "(":
            self._conditional()
        elif kind and kind in "R&|C+0123456789":
            raise _Fault(f"(?{kind} is not supported", at + 2)
        else:
            self._flags()

    def _enter(self, opening: str, width: int) -> None:
        if len(self.groups) > _DEPTH_MAX:
            raise _Fault("parentheses are too deeply nested", self.at)
        self.groups.append(_Group(self.groups[-1].extended))
        self._emit(opening, width, repeatable=False)

    def _close(self) -> None:
        if len(self.groups) == 1:
            raise _Fault("unmatched parentheses", self.at)
        self._close_flags()
        self.groups.pop()
        self._emit(")", 1)

    def _alternative(self) -> None:
        """Flags that a branch switched on hold in the branches after it, too."""
        flags = self.groups[-1].flags
        self._emit(")" * len(flags) + "|" + "".join(flags), 1, repeatable=False)

    def _close_flags(self) -> None:
        self.out.append(")" * len(self.groups[-1].flags))

    def _named(self, kind: str) -> None:
        start = self.at + 2 + (kind == "P")
        if kind == "P":
            form = self.text[start : start + 1]
            if form == "=":
                self._named_reference(start + 1)
                return
            if form == ">":
                raise _Fault("(?P> is not supported", start)
            if form != "<":
                raise _Fault("unrecognized character after (?P", start)
        name, end = self._name(start + 1, "'" if kind == "'" else ">", bare=kind == "<")
        if name in self.names:
            raise _Fault("two named subpatterns have the same name", end)
        self.names.add(name)
        self.captures += 1
        self._enter(f"(?P<{name}>", end + 1 - self.at)

    def _name(self, start: int, terminator: str, bare: bool = False) -> tuple[str, int]:
        """bare: '(?<', which might have become a lookbehind."""
        match = _NAME.match(self.text, start)
        assert match is not None
        if bare and not match[0]:
            raise _Fault("unrecognized character after (?<", start)
        if match[0][:1].isdigit():
            raise _Fault("group name must start with a non-digit", start)
        end = match.end()
        if not match[0] or self.text[end : end + 1] != terminator:
            raise _Fault("syntax error in subpattern name (missing terminator)", end)
        return match[0], end

    def _named_reference(self, start: int) -> None:
        name, end = self._name(start, ")")
        if name not in self.names:
            raise _Fault("reference to non-existent subpattern", end)
        self._emit(f"(?P={name})", end + 1 - self.at)

    def _conditional(self) -> None:
        match = re.compile(r"\(\?\((?:<(\w+)>|'(\w+)'|(\w+))\)", re.ASCII).match(self.text, self.at)
        if match is None:
            raise _Fault("assertion expected after (?(", self.at + 3)
        name = match[1] or match[2] or match[3]
        known = 0 < int(name) <= self.captures if name.isdigit() else name in self.names
        if not known:
            raise _Fault("reference to non-existent subpattern", match.end())
        self._enter(f"(?({name})", match.end() - self.at)

    def _flags(self) -> None:
        end = self.at + 2
        while self.text[end : end + 1] and self.text[end] in "imsx-":
            end += 1
        closing = self.text[end : end + 1]
        if closing not in (")", ":"):
            raise _Fault("unrecognized character after (? or (?-", end)
        on, _, off = self.text[self.at + 2 : end].partition("-")
        opening = _flag_group(on, off)
        group = self.groups[-1]
        outer = group.extended
        extended = (outer or "x" in on) and "x" not in off
        if closing == ":":
            self._enter(opening, end + 1 - self.at)
            self.groups[-1].extended = extended
            return
        group.extended = extended
        group.flags.append(opening)
        self._emit(opening, end + 1 - self.at, repeatable=False)


def _flag_group(on: str, off: str) -> str:
    """`x` is dealt with here and never passed on; Python wants each flag on one side only."""
    switched_off = "".join(sorted(set(off) & set("ims")))
    switched_on = "".join(sorted((set(on) & set("ims")) - set(switched_off)))
    return f"(?{switched_on}{'-' if switched_off else ''}{switched_off}:"


def _literal(byte: int) -> str:
    char = chr(byte)
    if char in string.ascii_letters or char in string.digits or char == "_":
        return char
    return f"\\x{byte:02x}"


def _pcre_reason(message: str) -> str:
    """PCRE's words for what only Python's own parser found."""
    if "look-behind" in message:
        return "lookbehind assertion is not fixed length"
    if "two branches" in message:
        return "conditional group contains more than two branches"
    return message


def _charlist(text: str) -> str:
    """As Elixir shows an Erlang string: 'text', or the list of codes when some cannot be shown."""
    if all(char.isprintable() for char in text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "[" + ", ".join(str(ord(char)) for char in text) + "]"
