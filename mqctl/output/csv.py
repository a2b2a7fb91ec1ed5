"""Formatter `csv`: header first; every field of a listing is quoted."""

from __future__ import annotations

from collections.abc import Iterable

from mqctl.output.table import cell
from mqctl.output.terms import Term


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def record(values: Iterable[Term]) -> str:
    """One line of a listing, without its end."""
    return ",".join(_quoted(cell(value)) for value in values)


def plain_record(values: Iterable[Term]) -> str:
    """One line of a single value: quoted only where needed (observed: 3.10.8)."""
    texts = (cell(value) for value in values)
    return ",".join(_quoted(t) if any(c in t for c in ',"\r\n') else t for t in texts)
