"""Which policies apply and what they say together, against a model that asks every policy."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mqd.auth.patterns import found_in
from mqd.policies.book import Book
from mqd.policies.merging import merged
from mqd.policies.model import OPERATOR_POLICY, POLICY, REFUSED_BY, Policy

NAMES = st.text("ab", max_size=3)
LIMITS = st.dictionaries(
    st.sampled_from(["max-length", "message-ttl", "expires"]), st.integers(0, 3), max_size=3
)
SETTINGS = st.dictionaries(
    st.sampled_from(["overflow", "queue-mode", "max-age", "delivery-limit"]), st.just("x")
)
PATTERNS = st.sampled_from(["", "a", "^a", "b$", "^$", "a.b", "^(a|bb)", "(?!a)b"])
APPLY_TO = st.sampled_from(["all", "queues", "exchanges"])


@st.composite
def policies(draw: st.DrawFn, operator: bool) -> Policy:
    definition: dict[str, Any] = dict(draw(LIMITS))
    if not operator:
        definition |= draw(SETTINGS)
    return Policy(draw(NAMES), draw(PATTERNS), definition, draw(st.integers(-1, 1)), draw(APPLY_TO))


STEPS = st.lists(
    st.tuples(st.just(POLICY), policies(operator=False), st.booleans())
    | st.tuples(st.just(OPERATOR_POLICY), policies(operator=True), st.booleans()),
    max_size=10,
)


def winner(known: dict[str, Policy], kind: str, name: str, refused: Any) -> Policy | None:
    """The long way round: of all that match, the one that no other beats."""
    best = None
    for policy in known.values():
        if policy.apply_to not in ("all", f"{kind}s"):
            continue
        if re.search(policy.pattern, name) is None or set(policy.definition) & set(refused):
            continue
        if (
            best is None
            or policy.priority > best.priority
            or (policy.priority == best.priority and policy.name < best.name)
        ):
            best = policy
    return best


@given(STEPS, st.sampled_from(["queue", "exchange"]), NAMES, st.sampled_from([*REFUSED_BY]))
def test_book(steps: list[tuple[str, Policy, bool]], kind: Any, name: str, queue: str) -> None:
    book = Book(found_in)
    known: dict[str, dict[str, Policy]] = {POLICY: {}, OPERATOR_POLICY: {}}
    refused = REFUSED_BY[queue] if kind == "queue" else frozenset[str]()
    for component, policy, removes in steps:
        if removes:
            book.remove(component, policy.name)
            known[component].pop(policy.name, None)
        else:
            book.put(component, policy)
            known[component][policy.name] = policy
        user = winner(known[POLICY], kind, name, refused)
        operator = winner(known[OPERATOR_POLICY], kind, name, refused)
        applied = book.applied(kind, name, refused)
        if user is None and operator is None:
            assert applied is None
            continue
        assert applied is not None
        assert applied.name == (user and user.name)
        assert applied.operator_name == (operator and operator.name)
        mine = user.definition if user else {}
        theirs = operator.definition if operator else {}
        for key in {*mine, *theirs}:
            said = [each[key] for each in (mine, theirs) if key in each]
            assert applied.definition[key] == (said[0] if len(said) == 1 else min(said))
        assert set(applied.definition) == {*mine, *theirs}


@given(LIMITS, LIMITS)
def test_an_operator_never_allows_more(user: dict[str, int], operator: dict[str, int]) -> None:
    both = merged(user, operator)
    for key, limit in operator.items():
        assert both[key] <= limit
    for key, limit in user.items():
        assert both[key] <= limit
    assert merged(both, operator) == both
