"""Erlang's operators and the segments of binaries.

Decides what each does to which kinds of value, and that it fails with badarith or badarg
otherwise, as Erlang does. Pure.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from mqd.erlang.failures import BUILT_IN, Frame, Thrown, TooLong
from mqd.erlang.terms import FALSE, TRUE, Atom, Term, boolean, order, same

_STACK: Final[tuple[Frame, ...]] = (
    ("erl_eval", "do_apply", 7, 744),
    ("erl_eval", "exprs", 2, None),
)
_BITS_MAX: Final = 1_000_000  # of a number; more would take memory and time without end


def _fail(reason: str, name: str, *arguments: Term) -> Thrown:
    return Thrown("error", Atom(reason), (("erlang", name, list(arguments), BUILT_IN), *_STACK))


def _truncated(left: int, right: int) -> int:
    """Integer division towards zero, unlike Python's."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) is (right < 0) else -quotient


_NUMBERS: Final[dict[str, Callable[[Any, Any], Term]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_INTEGERS: Final[dict[str, Callable[[Any, Any], Term]]] = {
    "div": _truncated,
    "rem": lambda left, right: left - right * _truncated(left, right),
    "band": operator.and_,
    "bor": operator.or_,
    "bxor": operator.xor,
    "bsl": operator.lshift,
    "bsr": operator.rshift,
}
_COMPARISONS: Final[dict[str, Callable[[Term, Term], bool]]] = {
    "==": lambda left, right: order(left) == order(right),
    "/=": lambda left, right: order(left) != order(right),
    "=:=": same,
    "=/=": lambda left, right: not same(left, right),
    "<": lambda left, right: order(left) < order(right),
    "=<": lambda left, right: order(left) <= order(right),
    ">": lambda left, right: order(left) > order(right),
    ">=": lambda left, right: order(left) >= order(right),
}
_BOOLEANS: Final[dict[str, Callable[[bool, bool], bool]]] = {
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}


def infix(name: str, left: Term, right: Term) -> Term:
    """Raises Thrown badarith or badarg."""
    if name in _COMPARISONS:
        return boolean(_COMPARISONS[name](left, right))
    if name in _BOOLEANS:
        if left not in (TRUE, FALSE) or right not in (TRUE, FALSE):
            raise _fail("badarg", name, left, right)
        return boolean(_BOOLEANS[name](left == TRUE, right == TRUE))
    if name in ("++", "--"):
        return _lists(name, left, right)
    return _arithmetic(name, left, right)


def _arithmetic(name: str, left: Term, right: Term) -> Term:
    kinds: Any = (int, float) if name in _NUMBERS else int
    if name not in _NUMBERS and name not in _INTEGERS:
        raise TooLong(f"the operator {name} is not known here")
    if not isinstance(left, kinds) or not isinstance(right, kinds):
        raise _fail("badarith", name, left, right)
    _bound(name, left, right)
    try:
        return (_NUMBERS.get(name) or _INTEGERS[name])(left, right)
    except (ZeroDivisionError, OverflowError, ValueError):
        raise _fail("badarith", name, left, right) from None


def _bound(name: str, left: Term, right: Term) -> None:
    """Numbers have no end in Erlang nor here; the time of one expression has."""
    if not isinstance(left, int) or not isinstance(right, int):
        return
    bits = left.bit_length() + (right if name == "bsl" else right.bit_length())
    if bits > _BITS_MAX:
        raise TooLong(f"a number of more than {_BITS_MAX} bits")


def _lists(name: str, left: Term, right: Term) -> Term:
    if not isinstance(left, list) or not isinstance(right, list):
        raise _fail("badarg", name, left, right)
    if name == "++":
        return left + right
    rest = list(left)
    for item in right:
        for index, candidate in enumerate(rest):
            if same(candidate, item):
                del rest[index]
                break
    return rest


def prefix(name: str, value: Term) -> Term:
    """Raises Thrown badarith or badarg."""
    if name == "not":
        if value not in (TRUE, FALSE):
            raise _fail("badarg", name, value)
        return boolean(value == FALSE)
    kinds: Any = int if name == "bnot" else (int, float)
    if not isinstance(value, kinds):
        raise _fail("badarith", name, value)
    return ~value if name == "bnot" else -value if name == "-" else value


def segment(value: Term, size: Term, kinds: tuple[str, ...]) -> bytes:
    """One part of <<...>>: text, a binary, or an integer of whole bytes. Raises Thrown badarg."""
    if isinstance(value, list):
        return b"".join(segment(item, size, kinds) for item in value)
    if isinstance(value, bytes) and ("binary" in kinds or "bytes" in kinds):
        if size is not None and not (isinstance(size, int) and 0 <= size <= len(value)):
            raise Thrown("error", Atom("badarg"), _STACK)
        return value[:size]
    bits = 8 if size is None else size
    if not isinstance(value, int) or not isinstance(bits, int) or bits < 0 or bits % 8:
        raise Thrown("error", Atom("badarg"), _STACK)
    if bits > _BITS_MAX:
        raise TooLong(f"a segment of more than {_BITS_MAX} bits")
    if "utf8" in kinds:
        return chr(value).encode()
    little = "little" in kinds or "native" in kinds
    return (value & ((1 << bits) - 1)).to_bytes(bits // 8, "little" if little else "big")
