"""The values that verbs print, in the vocabulary of the mirrored tool: Erlang terms.

Decides how protobuf replies become terms. Terms are plain Python values: str is a binary, list a
list, tuple a tuple, dict a map, list of (key, value) tuples with Atom keys a proplist; bool, int
and float as they are. Never prints: formatters do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Term = Any
Row = list[tuple["Atom", Term]]


class Atom(str):
    """An Erlang atom. The empty one stands for what the mirrored tool calls undefined here."""

    __slots__ = ()


class Pid(str):
    """A process id as listings show it: <rabbit@host.1795354533.5695.0>."""

    __slots__ = ()


class Chars(str):
    """An Erlang string: a list of characters."""

    __slots__ = ()


class Octets(str):
    """A binary that is no UTF-8: each character stands for a byte."""

    __slots__ = ()


NOTHING = Atom("")


def is_proplist(value: Term) -> bool:
    """Every item is a pair; the empty list is one too (as in the mirrored tool)."""
    return isinstance(value, list) and all(isinstance(e, tuple) and len(e) == 2 for e in value)


def is_amqp_table(value: Term) -> bool:
    """A list of (name, type, value) as AMQP arguments travel in listings."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], tuple)
        and len(value[0]) == 3
        and isinstance(value[0][1], Atom)
    )


def from_field(value: Any) -> tuple[Atom, Term]:
    """FieldValue -> (type, value)."""
    kind = value.WhichOneof("kind") or "void"
    inner = getattr(value, kind)
    if kind == "longstr_bytes":
        return Atom("longstr"), inner.decode("latin-1")
    if kind == "table":
        return Atom(kind), from_table(inner)
    if kind == "array":
        return Atom(kind), [from_field(item) for item in inner.items]
    if kind == "decimal":
        return Atom(kind), (inner.scale, inner.value)
    if kind == "void":
        return Atom(kind), Atom("undefined")
    if kind == "binary":
        return Atom(kind), inner.decode("latin-1")
    return Atom(kind), inner


def from_table(table: Any) -> list[tuple[str, Atom, Term]]:
    """Table -> list of (name, type, value)."""
    return [(entry.name, *from_field(entry.value)) for entry in table.entries]


def from_term(term: Any) -> Term:
    """Term message -> term."""
    kind = term.WhichOneof("kind")
    if kind is None:
        return NOTHING
    value = getattr(term, kind)
    if kind == "list":
        return [from_term(item) for item in value.items]
    if kind == "tuple":
        return tuple(from_term(item) for item in value.items)
    if kind in ("map", "proplist"):
        pairs = [(from_term(pair.key), from_term(pair.value)) for pair in value.pairs]
        return dict(pairs) if kind == "map" else pairs
    if kind == "table":
        return from_table(value)
    if kind == "octets":
        return Octets(value.decode("latin-1"))
    wrap = {"atom": Atom, "chars": Chars, "pid": Pid, "big": int}.get(kind)
    return value if wrap is None else wrap(value)


def address(text: str) -> Term:
    """An IP address as Erlang holds it: a tuple of 4 or 8 numbers; other text stays text."""
    import ipaddress

    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return text
    if parsed.version == 4:
        return tuple(parsed.packed)
    packed = parsed.packed
    return tuple(packed[i] << 8 | packed[i + 1] for i in range(0, 16, 2))


_KINDS: tuple[Any, ...] = (str, Atom, Pid, Chars, address)


def from_column(message: Any, field: Any, kind: int) -> Term:
    """One field of a row as a term; kind is the column option's Kind number."""
    if field.has_presence and not message.HasField(field.name):
        return NOTHING
    value = getattr(message, field.name)
    nested = field.message_type
    if nested is not None:
        if nested.name == "Names":
            return [_KINDS[kind](item) for item in value.items]
        return from_table(value) if nested.name == "Table" else from_term(value)
    if field.is_repeated:
        return [_KINDS[kind](item) for item in value]
    if isinstance(value, str):
        return _KINDS[kind](value)
    return value


def rows_from(messages: Iterable[Any], columns: list[tuple[str, Any, int]]) -> Iterable[Row]:
    """Row messages -> proplists in column order."""
    for message in messages:
        yield [(Atom(name), from_column(message, field, kind)) for name, field, kind in columns]
