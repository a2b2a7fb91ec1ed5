"""The command line as the mirrored tools read it: Elixir's OptionParser, strict.

Decides which words are options and which are arguments, anywhere on the line, and which options
are invalid. Never decides what they mean. click's own parser cannot do this: it reports one error
at a time, stops at unknown options and exits with other codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal["string", "boolean", "integer", "float"]
Value = str | int | float | bool

GLOBAL_SWITCHES: dict[str, Kind] = {
    "node": "string",
    "quiet": "boolean",
    "silent": "boolean",
    "dry_run": "boolean",
    "vhost": "string",
    "timeout": "integer",
    "longnames": "boolean",
    "formatter": "string",
    "printer": "string",
    "file": "string",
    "script_name": "string",
    "rabbitmq_home": "string",
    "mnesia_dir": "string",
    "plugins_dir": "string",
    "enabled_plugins_file": "string",
    "aliases_file": "string",
    "erlang_cookie": "string",
    "help": "boolean",
    "print_stacktrace": "boolean",
}
GLOBAL_ALIASES: dict[str, str] = {
    "p": "vhost",
    "n": "node",
    "q": "quiet",
    "s": "silent",
    "l": "longnames",
    "t": "timeout",
    "?": "help",
}
TABLE_SWITCHES: dict[str, Kind] = {"table_headers": "boolean", "pad_to_header": "boolean"}


class Parsed(NamedTuple):
    """invalid: (option as typed, its value or None)."""

    arguments: list[str]
    options: dict[str, Value]
    invalid: list[tuple[str, str | None]]


def _is_number(text: str) -> bool:
    digits = text[1:] if text[:1] in "+-" else text
    if not digits[:1].isdigit():
        return False
    try:
        float(digits)
    except ValueError:
        return False
    return "_" not in digits


def _is_negative(word: str) -> bool:
    """-1, and -1D as well (observed: 3.10.8): arguments, no options."""
    return word[:1] == "-" and word[1:2].isdigit()


def _key(name: str) -> str | None:
    """Switch name as typed -> key; underscores are not part of the syntax."""
    return None if "_" in name else name.replace("-", "_")


def _convert(value: str | None, kind: Kind) -> Value | None:
    """None: the value does not fit the kind."""
    if value is None:
        return None
    if kind == "string":
        return value
    if kind == "boolean":
        return {"true": True, "false": False}.get(value)
    if kind == "integer":
        digits = value[1:] if value[:1] in "+-" else value
        return int(value) if digits.isascii() and digits.isdigit() else None
    return float(value) if _is_number(value) else None


def _expand(letters: str, value: str | None) -> list[str]:
    """-abc=v -> -a -b -c=v, and -n2 -> -n=2."""
    words: list[str] = []
    for pos, letter in enumerate(letters):
        if letter.isdigit() and words:
            words[-1] += "=" + letters[pos:]
            break
        words.append("-" + letter)
    if value is not None and words:
        words[-1] += "=" + value
    return words


class _Parser:
    def __init__(self, switches: Mapping[str, Kind], aliases: Mapping[str, str]) -> None:
        self.switches = switches
        self.aliases = aliases
        self.result = Parsed([], {}, [])

    def parse(self, argv: Sequence[str]) -> Parsed:
        rest = list(argv)
        while rest:
            word = rest[0]
            if word == "--":
                self.result.arguments.extend(rest[1:])
                break
            if not word.startswith("-") or word == "-" or word.startswith("- "):
                self.result.arguments.append(word)
                rest = rest[1:]
            elif word.startswith("--"):
                rest = self._long(word, rest[1:])
            else:
                rest = self._short(word, rest[1:])
        return self.result

    def _long(self, word: str, rest: list[str]) -> list[str]:
        name, equals, text = word[2:].partition("=")
        value = text if equals else None
        original = "--" + name
        if name.startswith("no-"):
            negated = _key(name[3:])
            if negated and self.switches.get(negated) == "boolean":
                if value is None:
                    self.result.options[negated] = False
                else:
                    self.result.invalid.append((original, value))
                return rest
        return self._take(_key(name), original, value, rest)

    def _short(self, word: str, rest: list[str]) -> list[str]:
        name, equals, text = word[1:].partition("=")
        value = text if equals else None
        if value is None and _is_negative(word):
            self.result.arguments.append(word)
            return rest
        original = "-" + name
        if "-" in name or "_" in name:
            self.result.invalid.append((original, None))
            return rest
        if len(name) == 1:
            return self._take(self.aliases.get(name), original, value, rest)
        return _expand(name, value) + rest

    def _take(
        self, key: str | None, original: str, value: str | None, rest: list[str]
    ) -> list[str]:
        kind = self.switches.get(key) if key else None
        if key is None or kind is None:
            self.result.invalid.append((original, None))
            return rest
        if value is None and kind == "boolean":
            self.result.options[key] = True
            return rest
        if value is None and rest and _may_be_value(rest[0]):
            value, rest = rest[0], rest[1:]
        converted = _convert(value, kind)
        if converted is None:
            self.result.invalid.append((original, value))
        else:
            self.result.options[key] = converted
        return rest


def _may_be_value(word: str) -> bool:
    return not word.startswith("-") or word == "-" or word.startswith("- ") or _is_negative(word)


def parse(argv: Sequence[str], switches: Mapping[str, Kind], aliases: Mapping[str, str]) -> Parsed:
    """Split a command line. Of an option given twice the last value counts."""
    return _Parser(switches, aliases).parse(argv)


def parse_global(argv: Sequence[str]) -> Parsed:
    """With the switches that every verb has: finds the verb's name."""
    return parse(argv, GLOBAL_SWITCHES, GLOBAL_ALIASES)
