"""Functions of Erlang's own modules that an expression may call: erlang, lists, maps, string.

Decides what each returns; wrong kinds of argument surface as badarg. Pure: no function here has an
effect or knows a node (`mqd.admin.evaluation` adds those).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NoReturn

from mqd.erlang.evaluator import Function
from mqd.erlang.failures import Thrown, TooLong
from mqd.erlang.operators import infix
from mqd.erlang.terms import (
    OK,
    TRUE,
    UNDEFINED,
    Atom,
    Term,
    boolean,
    chars,
    freeze,
    order,
    same,
    thaw,
)

_LENGTH_MAX: Final = 100_000


def _text(value: Term) -> str:
    """A text: characters, a binary or an atom."""
    if isinstance(value, bytes):
        return value.decode()
    return "".join(map(chr, value)) if isinstance(value, list) else str(value)


def _checked(value: Term, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    if not isinstance(value, kind):
        raise TypeError(value)
    return value


def _raise(kind: str) -> Callable[[Term], NoReturn]:
    def thrown(reason: Term) -> NoReturn:
        stack = (("erl_eval", "do_apply", 7, 744), ("erl_eval", "exprs", 2, None))
        raise Thrown(kind, reason, stack if kind == "error" else ())

    return thrown


def _is(*kinds: type[Any]) -> Function:
    return lambda value: boolean(isinstance(value, kinds))


def _seq(first: int, last: int, step: int = 1) -> list[int]:
    found = range(_checked(first, int), _checked(last, int) + (1 if step > 0 else -1), step)
    if len(found) > _LENGTH_MAX:
        raise TooLong(f"a list of more than {_LENGTH_MAX} elements")
    return list(found)


def _duplicate(count: int, item: Term) -> list[Term]:
    if count > _LENGTH_MAX:
        raise TooLong(f"a list of more than {_LENGTH_MAX} elements")
    return [item] * count


def _key(found: Callable[[Any], Term], missing: Term) -> Function:
    return lambda key, at, rows: next(
        (found(row) for row in rows if len(row) >= at and same(row[at - 1], key)), missing
    )


def _get_value(key: Term, pairs: list[Term], default: Term = UNDEFINED) -> Term:
    for pair in pairs:
        if isinstance(pair, tuple) and len(pair) == 2 and same(pair[0], key):
            return pair[1]
        if isinstance(pair, Atom) and same(pair, key):
            return TRUE
    return default


def _rounded(value: float) -> int:
    """Half away from zero, unlike Python's."""
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)


def _flat(value: list[Term]) -> list[Term]:
    return [item for part in value for item in (_flat(part) if isinstance(part, list) else [part])]


def _unique(items: list[Term]) -> list[Term]:
    found: list[Term] = []
    for item in sorted(items, key=order):
        if not found or not same(found[-1], item):
            found.append(item)
    return found


def _for_each(step: Function, items: list[Term]) -> Term:
    for item in items:
        step(item)
    return OK


def _sum(items: list[Term]) -> Term:
    return functools.reduce(lambda left, right: infix("+", left, right), items, 0)


def _format_float(value: float) -> str:
    return f"{value:.20e}"


_ERLANG: Final[dict[tuple[str, int], Function]] = {
    ("length", 1): lambda items: len(_checked(items, list)),
    ("size", 1): lambda value: len(_checked(value, (tuple, bytes))),
    ("tuple_size", 1): lambda value: len(_checked(value, tuple)),
    ("byte_size", 1): lambda value: len(_checked(value, bytes)),
    ("map_size", 1): lambda value: len(_checked(value, dict)),
    ("hd", 1): lambda items: _checked(items, list)[0],
    ("tl", 1): lambda items: items[1:] if _checked(items, list)[0:1] else items[0],
    ("element", 2): lambda at, value: _checked(value, tuple)[_position(at)],
    ("abs", 1): abs,
    ("round", 1): _rounded,
    ("trunc", 1): lambda value: int(_checked(value, (int, float))),
    ("float", 1): lambda value: float(_checked(value, (int, float))),
    ("max", 2): lambda left, right: max(left, right, key=order),
    ("min", 2): lambda left, right: min(left, right, key=order),
    ("throw", 1): _raise("throw"),
    ("exit", 1): _raise("exit"),
    ("error", 1): _raise("error"),
    ("atom_to_list", 1): lambda value: chars(_checked(value, Atom)),
    ("atom_to_binary", 1): lambda value: _checked(value, Atom).encode(),
    ("list_to_atom", 1): lambda value: Atom(_text(_checked(value, list))),
    ("binary_to_atom", 1): lambda value: Atom(_text(_checked(value, bytes))),
    ("list_to_binary", 1): lambda value: bytes(_flat(_checked(value, list))),
    ("binary_to_list", 1): lambda value: list(_checked(value, bytes)),
    ("integer_to_list", 1): lambda value: chars(str(_checked(value, int))),
    ("integer_to_binary", 1): lambda value: str(_checked(value, int)).encode(),
    ("list_to_integer", 1): lambda value: int(_text(_checked(value, list))),
    ("binary_to_integer", 1): lambda value: int(_checked(value, bytes)),
    ("float_to_list", 1): lambda value: chars(_format_float(_checked(value, float))),
    ("tuple_to_list", 1): lambda value: list(_checked(value, tuple)),
    ("list_to_tuple", 1): lambda value: tuple(_checked(value, list)),
    ("is_atom", 1): _is(Atom),
    ("is_binary", 1): _is(bytes),
    ("is_boolean", 1): lambda value: boolean(value in (Atom("true"), Atom("false"))),
    ("is_float", 1): _is(float),
    ("is_integer", 1): _is(int),
    ("is_list", 1): _is(list),
    ("is_map", 1): _is(dict),
    ("is_number", 1): _is(int, float),
    ("is_tuple", 1): _is(tuple),
}

_LISTS: Final[dict[tuple[str, int], Function]] = {
    ("all", 2): lambda test, items: boolean(all(test(item) == TRUE for item in items)),
    ("any", 2): lambda test, items: boolean(any(test(item) == TRUE for item in items)),
    ("append", 1): lambda parts: [item for part in parts for item in part],
    ("append", 2): lambda left, right: infix("++", left, right),
    ("delete", 2): lambda item, items: infix("--", items, [item]),
    ("duplicate", 2): _duplicate,
    ("flatten", 1): _flat,
    ("filter", 2): lambda test, items: [item for item in items if test(item) == TRUE],
    ("foldl", 3): lambda step, value, items: functools.reduce(
        lambda so_far, item: step(item, so_far), items, value
    ),
    ("foreach", 2): _for_each,
    ("keyfind", 3): _key(lambda row: row, Atom("false")),
    ("keymember", 3): _key(lambda row: TRUE, Atom("false")),
    ("keysearch", 3): _key(lambda row: (Atom("value"), row), Atom("false")),
    ("keysort", 2): lambda at, rows: sorted(rows, key=lambda row: order(row[at - 1])),
    ("last", 1): lambda items: items[-1],
    ("map", 2): lambda step, items: [step(item) for item in items],
    ("max", 1): lambda items: max(items, key=order),
    ("member", 2): lambda item, items: boolean(any(same(item, other) for other in items)),
    ("min", 1): lambda items: min(items, key=order),
    ("nth", 2): lambda at, items: items[_position(at)],
    ("reverse", 1): lambda items: _checked(items, list)[::-1],
    ("seq", 2): _seq,
    ("seq", 3): _seq,
    ("sort", 1): lambda items: sorted(_checked(items, list), key=order),
    ("sublist", 2): lambda items, count: _checked(items, list)[:count],
    ("sum", 1): _sum,
    ("usort", 1): _unique,
    ("zip", 2): lambda left, right: list(zip(left, right, strict=True)),
}

_MAPS: Final[dict[tuple[str, int], Function]] = {
    ("find", 2): lambda key, table: (
        (OK, table[freeze(key)]) if freeze(key) in table else Atom("error")
    ),
    ("get", 2): lambda key, table: table[freeze(key)],
    ("get", 3): lambda key, table, default: table.get(freeze(key), default),
    ("is_key", 2): lambda key, table: boolean(freeze(key) in _checked(table, dict)),
    ("keys", 1): lambda table: sorted(map(thaw, _checked(table, dict)), key=order),
    ("put", 3): lambda key, value, table: {**table, freeze(key): value},
    ("remove", 2): lambda key, table: {k: v for k, v in table.items() if not same(k, freeze(key))},
    ("size", 1): lambda table: len(_checked(table, dict)),
    ("to_list", 1): lambda table: sorted(
        ((thaw(key), value) for key, value in table.items()), key=order
    ),
    ("values", 1): lambda table: [table[key] for key in sorted(table, key=order)],
}

_PROPLISTS: Final[dict[tuple[str, int], Function]] = {
    ("get_value", 2): _get_value,
    ("get_value", 3): lambda key, pairs, default: _get_value(key, pairs, default),
}

_STRING: Final[dict[tuple[str, int], Function]] = {
    ("join", 2): lambda parts, between: chars(_text(between).join(map(_text, parts))),
    ("length", 1): lambda value: len(_text(value)),
    ("to_lower", 1): lambda value: chars(_text(value).lower()),
    ("to_upper", 1): lambda value: chars(_text(value).upper()),
}


def _position(at: Term) -> int:
    """Erlang counts from 1."""
    if not isinstance(at, int) or at < 1:
        raise ValueError(at)
    return at - 1


PURE: Final = {
    (module, name, arity): function
    for module, functions in (
        ("erlang", _ERLANG),
        ("lists", _LISTS),
        ("maps", _MAPS),
        ("proplists", _PROPLISTS),
        ("string", _STRING),
    )
    for (name, arity), function in functions.items()
}
