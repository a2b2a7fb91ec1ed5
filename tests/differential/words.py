"""The names programs are made of, and how a step is written.

Few names, so that steps meet: a queue that one step declares is likely the one that another binds,
consumes or deletes. Decides nothing about which steps there are.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from tests.protocol import notation, wire

Lines = st.SearchStrategy[str]

_WORD = re.compile(r"[A-Za-z_.#*$/@+-][A-Za-z0-9_.#*$/@+-]*")
_RESERVED = ("true", "false", "V")

QUEUES = ("q0", "q1", "q2")
# name: type; the types are fixed so that bindings fit most of the time
EXCHANGES = {"x0": "direct", "x1": "fanout", "x2": "topic", "x3": "headers"}
KEYS = ("k0", "k1", "k.a", "k.b.c")
PATTERNS = ("k0", "k1", "k.*", "k.#", "#", "*.a")
TAGS = ("c0", "c1", "c2", "c3")
POLICIES = ("p1", "p2", "p3", "o1", "o2")
POLICY_KINDS = {"p": "policy", "o": "operator_policy"}

places = st.sampled_from(("a/1", "a/1", "b/1", "a/2"))
queues = st.sampled_from(QUEUES)
exchanges = st.sampled_from(tuple(EXCHANGES))
keys = st.sampled_from(KEYS)
tags = st.sampled_from(TAGS)
seldom = st.sampled_from((False,) * 9 + (True,))
sometimes = st.sampled_from((False, False, True))
booleans = st.booleans()


def step(place: str, verb: str, **values: Any) -> str:
    """A step; what is false, None or empty is left out."""
    shown = [f"{name}={show(value)}" for name, value in values.items() if not _is_default(value)]
    return " ".join((f"{place}: {verb}", *shown))


def _is_default(value: Any) -> bool:
    return value is None or value is False or value == {} or value == ""


def show(value: Any) -> str:
    """A value as a step spells it: words bare."""
    if isinstance(value, str) and _WORD.fullmatch(value) and value not in _RESERVED:
        return value
    return notation.show(value)


def steps(verb: str, *, at: Any = places, **values: Any) -> Lines:
    """Steps whose fields are drawn, or fixed where they are no strategies."""
    drawn = {name: _strategy(value) for name, value in values.items()}

    def write(pair: tuple[str, dict[str, Any]]) -> str:
        return step(pair[0], verb, **{name: pair[1][name] for name in drawn})

    return st.tuples(_strategy(at), st.fixed_dictionaries(drawn)).map(write)


def _strategy(value: Any) -> st.SearchStrategy[Any]:
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def tables(**entries: list[wire.Field]) -> st.SearchStrategy[wire.Table]:
    """Tables with some of these entries, each with one of its values."""
    optional = {name: st.sampled_from(values) for name, values in entries.items()}
    return st.fixed_dictionaries({}, optional=optional)


def longstrs(*values: str) -> list[wire.Field]:
    return [("S", value) for value in values]


def integers(*values: int) -> list[wire.Field]:
    return [("I", value) for value in values]
