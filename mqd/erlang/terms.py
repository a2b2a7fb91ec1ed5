"""Erlang's values in Python's.

Decides which Python value stands for which term: int and float for numbers, bytes for binaries,
list for lists (text is a list of characters), tuple for tuples, dict for maps, `Atom` for atoms,
true and false among them. Decides their order and equality as Erlang's `==`, `=:=` and `<` see
them. Never prints and never parses.
"""

from __future__ import annotations

from typing import Any, Final

Term = Any


class Atom(str):
    """An atom: a name that is a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Atom({str(self)!r})"


class Frozen(tuple[Any, ...]):
    """A list as the key of a map."""

    __slots__ = ()


TRUE: Final = Atom("true")
FALSE: Final = Atom("false")
OK: Final = Atom("ok")
UNDEFINED: Final = Atom("undefined")


def boolean(value: bool) -> Atom:
    return TRUE if value else FALSE


def chars(text: str) -> list[int]:
    """Text as Erlang's double quotes mean it."""
    return [ord(char) for char in text]


def freeze(value: Term) -> Term:
    """A term as a key. Raises TypeError for one that holds a map or a function of lists."""
    if isinstance(value, list):
        return Frozen(map(freeze, value))
    return tuple(map(freeze, value)) if type(value) is tuple else value


def thaw(value: Term) -> Term:
    """The term that a key stands for."""
    if isinstance(value, Frozen):
        return [thaw(item) for item in value]
    return tuple(map(thaw, value)) if isinstance(value, tuple) else value


def is_text(value: Term) -> bool:
    """A list that io:format("~p") shows in double quotes (io_lib:printable_latin1_list)."""
    return isinstance(value, list) and all(
        isinstance(c, int) and (32 <= c <= 126 or 160 <= c <= 255 or 8 <= c <= 13 or c == 27)
        for c in value
    )


# number < atom < fun < tuple < map < list < binary (Erlang reference manual, "Term Comparisons")
def _rank(value: Term) -> int:
    for rank, kinds in enumerate(((int, float), Atom, None, tuple, dict, list, bytes)):
        if kinds is not None and isinstance(value, kinds):
            return rank
    return 2


def order(value: Term) -> tuple[Any, ...]:
    """A key that sorts terms as Erlang does: tuples and maps by size first."""
    rank = _rank(value)
    if rank == 3:
        return (rank, len(value), tuple(map(order, value)))
    if rank == 4:
        keys = sorted(value, key=order)
        content = (tuple(map(order, keys)), tuple(order(value[key]) for key in keys))
        return (rank, len(value), content)
    if rank == 5:
        return (rank, tuple(map(order, value)))
    if rank == 2:
        return (rank, id(value))
    return (rank, str(value) if rank == 1 else value)


def same(left: Term, right: Term) -> bool:
    """=:=, for which 1 is not 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return bool(left == right)
