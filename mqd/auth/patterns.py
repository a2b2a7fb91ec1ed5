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
from functools import lru_cache
from typing import Final

from mqd.auth.byteclasses import ESCAPED, spelled
from mqd.auth.escapes import UNSUPPORTED_ESCAPE, Fault, Reader, literal
from mqd.errors import ErrorCode, MqdError

PATTERN_BYTES_MAX: Final = 65_535
_DEPTH_MAX: Final = 120  # nested groups; what Python's parser takes with its default stack
_REPEAT_MAX: Final = 65_535  # PCRE's
_COMPILED_MAX: Final = 1024  # a broker has a handful of distinct expressions

_QUANTIFIER = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_NAME = re.compile(r"[A-Za-z0-9_]*")
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
    except Fault as fault:
        raise InvalidPattern(pattern, fault.reason, fault.offset) from None
    except re.error as error:
        raise InvalidPattern(pattern, _pcre_reason(error.msg), len(raw)) from None
    except (OverflowError, RecursionError):
        raise InvalidPattern(pattern, "regular expression is too large", len(raw)) from None


def found_in(pattern: str, name: str) -> bool:
    """Whether the expression is found in the name, anywhere. False for one that cannot be compiled:
    none gets in by the front door, and one that an imported file brought must not match anything.
    """
    try:
        compiled = compile_pattern(pattern)
    except InvalidPattern:
        return False
    return compiled.search(name.encode("utf-8", "surrogateescape")) is not None


class _Group:
    """An open group: what opened it, and the flags switched on inside, to be closed with it."""

    __slots__ = ("flags", "extended")

    def __init__(self, extended: bool) -> None:
        self.flags: list[str] = []
        self.extended = extended  # (?x): white space and comments do not count


class _Translation(Reader):
    """One pass over an expression whose characters are bytes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.out: list[str] = []
        self.groups = [_Group(False)]
        self.repeatable = False  # whether a quantifier may follow
        self.captures = 0
        self.names: set[str] = set()

    def run(self) -> str:
        while self.at < self.size:
            self._step(self.text[self.at])
        if len(self.groups) > 1:
            raise Fault("missing )", self.size)
        self._close_flags()
        return "".join(self.out)

    def _step(self, char: str) -> None:
        if self.groups[-1].extended and (char.isspace() or char == "#"):
            self._skip_space(char)
        elif char == "\\":
            self._escape()
        elif char == "[":
            self._emit(self.byte_class(), 0)
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
            self._emit(literal(ord(char)), 1)

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
            raise Fault("nothing to repeat", last)
        suffix = self.text[last + 1 : last + 2]
        if suffix and suffix in "?+":
            text += suffix
        self._emit(text, len(text), repeatable=False)

    def _check_counts(self, match: re.Match[str]) -> None:
        for number in (1, 3):
            if match[number] and int(match[number][:6]) > _REPEAT_MAX:
                raise Fault("number too big in {} quantifier", match.start(number) + 5)
        if match[3] and int(match[3]) < int(match[1]):
            raise Fault("numbers out of order in {} quantifier", match.end() - 1)

    # -- escapes ---------------------------------------------------------------------------

    def _escape(self) -> None:
        letter = self.letter()
        if letter in _ASSERTIONS:
            self._emit(_ASSERTIONS[letter], 2, repeatable=False)
        elif letter in ESCAPED:
            self._emit(spelled(ESCAPED[letter]), 2)
        elif letter == "N" and self._is_named_character():
            raise Fault(UNSUPPORTED_ESCAPE, self.at + 1)
        elif letter in _SEQUENCES:
            self._emit(_SEQUENCES[letter], 2)
        elif letter in "pP":
            self._emit(spelled(self.category()), 0)
        elif letter == "Q":
            self._quoted()
        elif letter == "E":
            self.at += 2
        elif letter in "gk" or letter in "123456789":
            self._reference(letter)
        else:
            self._emit(literal(self.escaped_byte()), 0)

    def _is_named_character(self) -> bool:
        """\\N{name}, where \\N{2} would be twice any byte but a line feed."""
        opens = self.text[self.at + 2 : self.at + 3] == "{"
        return opens and not _QUANTIFIER.match(self.text, self.at + 2)

    def _quoted(self) -> None:
        end = self.text.find("\\E", self.at + 2)
        quoted = self.text[self.at + 2 : self.size if end < 0 else end]
        for char in quoted:
            self._emit(literal(ord(char)), 0)
        self.at = self.size if end < 0 else end + 2

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
            raise Fault(reason, self.at + 1)
        name = match[3] or match[4] or match[5] or match[6]
        if name:
            if name not in self.names:
                raise Fault("reference to non-existent subpattern", match.end() - 1)
            self._emit(f"(?P={name})", match.end() - self.at)
            return
        number = int(match[1] or match[2])
        if number == 0:
            raise Fault("a numbered reference must not be zero", match.end() - 1)
        if number < 0:
            number += self.captures + 1
            if number < 1:
                raise Fault("reference to non-existent subpattern", match.end() - 1)
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
            self._emit(literal(self.escaped_byte()), 0)

    def _emit_reference(self, number: int) -> None:
        if not 0 < number <= self.captures:
            raise Fault("reference to non-existent subpattern", self.size)
        # in a group of its own, so that digits which follow are not read as part of the number
        self._emit(f"(?:\\{number})", 0)

    # -- groups ----------------------------------------------------------------------------

    def _open(self) -> None:
        text, at = self.text, self.at
        if text.startswith("(*", at):
            if text[at + 2 : at + 3].isupper() or text[at + 2 : at + 3] == ":":
                end = text.find(")", at)
                raise Fault("(*VERB) not recognized or malformed", end if end > 0 else at + 2)
            raise Fault("nothing to repeat", at + 1)
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
                raise Fault("missing ) after comment", self.size)
            self.at = end + 1
        elif kind and kind in "P<'":
            self._named(kind)
        elif kind == "(":
            self._conditional()
        elif kind and kind in "R&|C+0123456789":
            raise Fault(f"(?{kind} is not supported", at + 2)
        else:
            self._flags()

    def _enter(self, opening: str, width: int) -> None:
        if len(self.groups) > _DEPTH_MAX:
            raise Fault("parentheses are too deeply nested", self.at)
        self.groups.append(_Group(self.groups[-1].extended))
        self._emit(opening, width, repeatable=False)

    def _close(self) -> None:
        if len(self.groups) == 1:
            raise Fault("unmatched parentheses", self.at)
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
                raise Fault("(?P> is not supported", start)
            if form != "<":
                raise Fault("unrecognized character after (?P", start)
        name, end = self._name(start + 1, "'" if kind == "'" else ">", bare=kind == "<")
        if name in self.names:
            raise Fault("two named subpatterns have the same name", end)
        self.names.add(name)
        self.captures += 1
        self._enter(f"(?P<{name}>", end + 1 - self.at)

    def _name(self, start: int, terminator: str, bare: bool = False) -> tuple[str, int]:
        """bare: '(?<', which might have become a lookbehind."""
        match = _NAME.match(self.text, start)
        assert match is not None
        if bare and not match[0]:
            raise Fault("unrecognized character after (?<", start)
        if match[0][:1].isdigit():
            raise Fault("group name must start with a non-digit", start)
        end = match.end()
        if not match[0] or self.text[end : end + 1] != terminator:
            raise Fault("syntax error in subpattern name (missing terminator)", end)
        return match[0], end

    def _named_reference(self, start: int) -> None:
        name, end = self._name(start, ")")
        if name not in self.names:
            raise Fault("reference to non-existent subpattern", end)
        self._emit(f"(?P={name})", end + 1 - self.at)

    def _conditional(self) -> None:
        match = re.compile(r"\(\?\((?:<(\w+)>|'(\w+)'|(\w+))\)", re.ASCII).match(self.text, self.at)
        if match is None:
            raise Fault("assertion expected after (?(", self.at + 3)
        name = match[1] or match[2] or match[3]
        known = 0 < int(name) <= self.captures if name.isdigit() else name in self.names
        if not known:
            raise Fault("reference to non-existent subpattern", match.end())
        self._enter(f"(?({name})", match.end() - self.at)

    def _flags(self) -> None:
        end = self.at + 2
        while self.text[end : end + 1] and self.text[end] in "imsx-":
            end += 1
        closing = self.text[end : end + 1]
        if closing not in (")", ":"):
            raise Fault("unrecognized character after (? or (?-", end)
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


def _pcre_reason(message: str) -> str:
    """PCRE's words for what only Python's own parser found."""
    if "look-behind" in message:
        return "lookbehind assertion is not fixed length"
    if "two branches" in message:
        return "conditional group contains more than two branches"
    return message


def _charlist(text: str) -> str:
    """As Elixir shows an Erlang string: 'text', or the list of bytes when some are not ASCII."""
    raw = text.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 for byte in raw):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "[" + ", ".join(map(str, raw)) + "]"
