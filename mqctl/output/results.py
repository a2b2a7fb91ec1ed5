"""What a verb hands to the formatters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mqctl.output.terms import Row, Term


@dataclass(frozen=True, slots=True)
class Done:
    """Success without a value."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Success, and no formatter prints anything, not even {"result":"ok"}."""


@dataclass(frozen=True, slots=True)
class Value:
    """One term. wrapped: json puts it into {"result":"ok","node":...,"value":...}."""

    term: Term
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """A listing. collected: an empty one is still a value, the empty list."""

    rows: Iterable[Row]
    collected: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Texts that appear one by one."""

    lines: Iterable[str]


Result = Done | Silence | Value | Rows | Lines
OK = Done()
