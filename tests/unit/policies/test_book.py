"""mqd.policies.book, model and merging: which policies a queue or an exchange has."""

from __future__ import annotations

from typing import Any

from mqd.auth.patterns import found_in
from mqd.policies.applied import Applied
from mqd.policies.book import Book
from mqd.policies.model import OPERATOR_POLICY, POLICY, REFUSED_BY, Policy, policy_of


def book(*policies: Policy, operator: tuple[Policy, ...] = ()) -> Book:
    made = Book(found_in)
    for policy in policies:
        made.put(POLICY, policy)
    for policy in operator:
        made.put(OPERATOR_POLICY, policy)
    return made


def policy(name: str, pattern: str = "", priority: int = 0, **options: Any) -> Policy:
    return Policy(name, pattern, options.pop("definition", {name: 1}), priority, **options)


def name_of(applied: Applied | None) -> str | None:
    return applied.name if applied is not None else None


def test_no_policy() -> None:
    assert book().applied("queue", "q") is None
    assert book(policy("p", "^x")).applied("queue", "q") is None


def test_the_highest_priority_wins() -> None:
    found = book(policy("a low", priority=-1), policy("the high", priority=7), policy("none"))
    assert name_of(found.applied("queue", "q")) == "the high"


def test_among_equals_the_first_name_wins_however_they_came() -> None:
    for order in ("abc", "cba", "bca"):
        found = book(*(policy(name, priority=3) for name in order))
        assert name_of(found.applied("queue", "q")) == "a"


def test_patterns_are_searched_for_not_anchored() -> None:
    found = book(policy("p", "b+c"))
    assert name_of(found.applied("queue", "abbcd")) == "p"
    assert found.applied("queue", "bd") is None
    assert name_of(book(policy("p", "^(?!amq\\.).*")).applied("queue", "q")) == "p"
    assert book(policy("p", "^(?!amq\\.).*")).applied("exchange", "amq.topic") is None


def test_an_empty_pattern_is_found_in_every_name() -> None:
    assert name_of(book(policy("p", "")).applied("exchange", "")) == "p"


def test_apply_to_one_type_of_queue() -> None:
    """As later versions have it; definitions of theirs bring such policies."""
    names = {"c": "classic_queues", "q": "quorum_queues", "s": "streams"}
    found = book(*(policy(name, apply_to=apply_to) for name, apply_to in names.items()))
    for name, queue_type in (("c", "classic"), ("q", "quorum"), ("s", "stream")):
        assert name_of(found.applied("queue", "a", (), queue_type)) == name
    assert found.applied("exchange", "a") is None


def test_apply_to() -> None:
    found = book(policy("q", apply_to="queues"), policy("x", apply_to="exchanges"))
    assert name_of(found.applied("queue", "a")) == "q"
    assert name_of(found.applied("exchange", "a")) == "x"


def test_a_policy_passes_by_a_queue_whose_type_does_not_know_all_of_it() -> None:
    """observed: 3.10.8"""
    lazy = policy("lazy", priority=9, definition={"queue-mode": "lazy", "max-length": 3})
    found = book(lazy, policy("plain", definition={"max-length": 4}))
    assert name_of(found.applied("queue", "q", REFUSED_BY["classic"])) == "lazy"
    assert name_of(found.applied("queue", "q", REFUSED_BY["quorum"])) == "plain"
    assert found.applied("queue", "q", REFUSED_BY["stream"]) is None


def test_an_operator_policy_applies_beside_the_policy() -> None:
    found = book(
        policy("user", definition={"max-length": 10, "message-ttl": 5, "overflow": "drop-head"}),
        operator=(policy("op", definition={"max-length": 3, "message-ttl": 9, "expires": 7}),),
    )
    applied = found.applied("queue", "q")
    assert applied == Applied(
        "user", "op", {"expires": 7, "max-length": 3, "message-ttl": 5, "overflow": "drop-head"}
    )
    assert applied is found.applied("queue", "other")  # one for all that have the same two


def test_an_operator_policy_alone_has_no_name_for_listings() -> None:
    applied = book(operator=(policy("op"),)).applied("queue", "q")
    assert applied == Applied(None, "op", {"op": 1})


def test_changes_are_seen_at_once() -> None:
    found = book(policy("p", definition={"max-length": 1}))
    first = found.applied("queue", "q")
    found.put(POLICY, policy("p", definition={"max-length": 2}))
    second = found.applied("queue", "q")
    assert first is not None
    assert second is not None
    assert (first.definition, second.definition) == ({"max-length": 1}, {"max-length": 2})
    found.remove(POLICY, "p")
    found.remove(POLICY, "p")
    assert found.applied("queue", "q") is None


def test_a_pattern_that_cannot_be_compiled_matches_nothing() -> None:
    assert book(policy("p", "(")).applied("queue", "q") is None


def test_as_a_parameter() -> None:
    one = Policy("p", "^q", {"b": 1, "a": 2}, 5, "queues")
    assert one.value() == {
        "pattern": "^q",
        "apply-to": "queues",
        "definition": {"a": 2, "b": 1},
        "priority": 5,
    }
    assert policy_of("p", one.value()) == one
    assert policy_of("p", {"pattern": "x", "definition": {}}) == Policy("p", "x", {})
