"""What a verb hands to the formatters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mqctl.output.terms import Row, Term


class Done(NamedTuple):
    """Success without a value."""


class Silence(NamedTuple):
    """Success, and no formatter prints anything, not even {"result":"ok"}."""


class Value(NamedTuple):
    """One term. wrapped: json puts it into {"result":"ok","node":...,"value":...}."""

    term: Term
    wrapped: bool = False


class Rows(NamedTuple):
    """A listing. collected: an empty one is still a value, the empty list."""

    rows: Iterable[Row]
    collected: bool = False


class Lines(NamedTuple):
    """Texts that appear one by one."""

    lines: Iterable[str]


Result = Done | Silence | Value | Rows | Lines
OK = Done()
