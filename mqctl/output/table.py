"""Formatter `table`: cells between tabs, a header line, no padding.

Decides how each kind of value looks in a cell; csv uses the same cells.
"""

from __future__ import annotations

from mqctl.output.terms import Chars, Term, is_amqp_table


def prettified(table: Term) -> Term:
    """AMQP arguments without their types: names and texts become strings."""
    return [(Chars(name), _untyped(kind, value)) for name, kind, value in table]


def _untyped(kind: str, value: Term) -> Term:
    if kind == "longstr":
        return Chars(value)
    if kind == "table":
        return prettified(value)
    if kind == "array":
        return [_untyped(inner_kind, inner) for inner_kind, inner in value]
    return value


def cell(value: Term) -> str:
    """One value as a cell. Nothing is escaped: a tab stays a tab (observed: 3.10.8)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Chars):
        return str(value)
    if isinstance(value, dict):
        return "#{" + ", ".join(f"{k} => {cell(v)}" for k, v in value.items()) + "}"
    if is_amqp_table(value):
        return _flat(prettified(value))
    if isinstance(value, list) and value and isinstance(value[0], (str, tuple, list)):
        return "[" + ", ".join(map(cell, value)) + "]"
    if isinstance(value, tuple) and len(value) in (4, 8) and all(type(n) is int for n in value):
        return address_text(value)
    if isinstance(value, tuple) and len(value) == 2:
        return f"{{{_flat(value[0])}, {cell(value[1])}}}"
    return _flat(value)


def address_text(numbers: tuple[int, ...]) -> str:
    """An IP address from its numbers."""
    if len(numbers) == 4:
        return ".".join(map(str, numbers))
    import ipaddress

    return str(ipaddress.IPv6Address(b"".join(n.to_bytes(2, "big") for n in numbers)))


def _flat(value: Term) -> str:
    if type(value) is int:
        return str(value)
    from mqctl.output.erlang import flat

    return flat(value)


def header(row: Term) -> str:
    """Column names of a row."""
    return "\t".join(str(key) for key, _ in row)


def line(row: Term, pad_to_header: bool = False) -> str:
    """A row's cells."""
    cells = ((str(key), cell(value)) for key, value in row)
    if pad_to_header:
        return "\t".join(text.ljust(len(key)) for key, text in cells)
    return "\t".join(text for _, text in cells)
