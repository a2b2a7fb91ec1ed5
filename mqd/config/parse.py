"""rabbitmq.conf as text: one `key = value` a line.

Decides the syntax, as cuttlefish reads it (observed: 3.10.8, cuttlefish_conf:file/1): blanks
around key and value do not count, `#` starts a comment wherever it stands, the last of several
equal keys wins. Never knows which keys exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mqd.errors import ErrorCode, MqdError

_LINE = re.compile(r"(?P<key>[A-Za-z0-9_\\.\-]+)\s*=\s*(?P<value>.*)")
_QUOTED = re.compile(r"'(?P<text>(?:[^'\\]|\\.)*)'\s*(?:#.*)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as it was written, and where.

    literal: $(...) in it stands for itself. clears: rows of the table that end here, before the
    entries that follow; such an entry has no key of its own.
    """

    key: str
    value: str
    origin: str  # file:line
    clears: tuple[str, ...] = ()
    literal: bool = False


class ConfigError(MqdError):
    """What is wrong with the configuration: every problem found, one a line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(ErrorCode.INVALID_ARGUMENT, "\n".join(self.problems))


def parse(text: str, file: str) -> list[Entry]:
    """The settings in a file's text, in order. Raises ConfigError with all bad lines."""
    entries, problems = [], []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("\ufeff")
        if not line or line.startswith("#"):
            continue
        origin = f"{file}:{number}"
        try:
            entries.append(_entry(line, origin))
        except ValueError as error:
            problems.append(f"{origin}: {error}")
    if problems:
        raise ConfigError(problems)
    return entries


def _entry(line: str, origin: str) -> Entry:
    found = _LINE.fullmatch(line)
    if found is None:
        if line.startswith("["):
            raise ValueError(
                "this looks like an Erlang term; this file wants one 'key = value' a line"
            )
        raise ValueError(f"not of the form 'key = value': {line}")
    value = _value(found["value"])
    if not value:
        raise ValueError(f"no value after '{found['key']} =': write one or remove the line")
    return Entry(found["key"], value, origin)


def _value(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return quoted["text"].replace("\\'", "'")
    return text.partition("#")[0].rstrip()
