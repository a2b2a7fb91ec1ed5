"""Formatter `csv`: every field quoted, header first."""

from __future__ import annotations

from collections.abc import Iterable

from mqctl.output.table import cell
from mqctl.output.terms import Term


def record(values: Iterable[Term]) -> str:
    """One line, without its end."""
    return ",".join('"' + cell(value).replace('"', '""') + '"' for value in values)
