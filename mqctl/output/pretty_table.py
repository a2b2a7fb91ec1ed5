"""Formatter `pretty_table`: boxes drawn with the terminal's alternate character set.

Decides the bytes of the library that the mirrored tool uses; rich draws other boxes, so it has no
part here.
"""

from __future__ import annotations

from mqctl.output.erlang import format_term
from mqctl.output.terms import Octets, Row, Term

ON, OFF = "\x1b(0", "\x1b(B"
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


def _text(value: Term) -> str:
    """A cell: texts as they are, a list as its elements one after the other."""
    if isinstance(value, str) and not isinstance(value, Octets):
        return str(value)
    if isinstance(value, list):
        return "".join(map(_text, value))
    return format_term(value)


def _rule(left: str, cross: str, right: str, widths: list[int]) -> str:
    return ON + left + cross.join("q" * (width + 2) for width in widths) + right + OFF


def _line(cells: list[str], widths: list[int], mark: str = "") -> str:
    bar = f"{ON}x{OFF}"
    shown = []
    for cell, width in zip(cells, widths, strict=True):
        text = f"{mark}{cell}{PLAIN}" if mark and cell else cell
        shown.append(f" {text}{' ' * (width - len(cell))} ")
    return bar + bar.join(shown) + bar


def box(header: list[str], rows: list[list[str]]) -> str:
    """A header in bold, and every row between rules."""
    split = [[cell.split("\n") for cell in row] for row in rows]
    widths = [
        max([len(title), *(len(part) for row in split for part in row[column])])
        for column, title in enumerate(header)
    ]
    lines = [_rule("l", "w", "k", widths), _line(header, widths, BOLD)]
    for row in split:
        lines.append(_rule("t", "n", "u", widths))
        for depth in range(max(len(cell) for cell in row)):
            parts = [cell[depth] if depth < len(cell) else "" for cell in row]
            lines.append(_line(parts, widths))
    lines.append(_rule("m", "v", "j", widths))
    return "\n".join(lines)


def table_box(rows: list[Row]) -> str:
    """A listing."""
    header = [str(key) for key, _ in rows[0]]
    return box(header, [[_text(value) for _, value in row] for row in rows])


def output_box(term: Term) -> str:
    """A single value."""
    return box(["Output"], [[str(term) if isinstance(term, str) else format_term(term)]])
