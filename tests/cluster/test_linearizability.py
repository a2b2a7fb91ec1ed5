"""tests.cluster.linearizability: it accepts what can have been and nothing else."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cluster.linearizability import (
    IMPOSSIBLE,
    UNKNOWN,
    NotLinearizable,
    Op,
    check,
    register,
)


def op(
    process: str, name: str, value: object, result: object, called: float, end: float | None
) -> Op:
    return Op(process, "k", name, value, result, called, end)


GOOD = {
    "nothing": [],
    "one after the other": [
        op("a", "put", 1, True, 0, 1),
        op("b", "read", None, 1, 2, 3),
        op("b", "delete", None, True, 4, 5),
        op("a", "read", None, None, 6, 7),
    ],
    "a read during a write sees either": [
        op("a", "put", 1, True, 0, 9),
        op("b", "read", None, None, 1, 2),
        op("b", "read", None, 1, 3, 4),
    ],
    "one of two wins": [
        op("a", "add", 1, False, 0, 9),
        op("b", "add", 2, True, 1, 8),
        op("c", "read", None, 2, 10, 11),
    ],
    "an answer that never came, and an effect": [
        op("a", "add", 1, UNKNOWN, 0, None),
        op("b", "read", None, 1, 50, 51),
    ],
    "an answer that never came, and none": [
        op("a", "add", 1, UNKNOWN, 0, None),
        op("b", "add", 2, True, 50, 51),
        op("b", "read", None, 2, 52, 53),
    ],
}
BAD = {
    "a lost write": [op("a", "put", 1, True, 0, 1), op("b", "read", None, None, 2, 3)],
    "a stale read": [
        op("a", "put", 1, True, 0, 1),
        op("a", "put", 2, True, 2, 3),
        op("b", "read", None, 1, 4, 5),
    ],
    "both win": [op("a", "add", 1, True, 0, 9), op("b", "add", 2, True, 1, 8)],
    "twice": [
        op("a", "add", 1, True, 0, 1),
        op("a", "remove", None, True, 2, 3),
        op("b", "read", None, 1, 4, 5),
    ],
    "before it was asked for": [
        op("b", "read", None, 1, 0, 1),
        op("a", "put", 1, UNKNOWN, 2, None),
    ],
    "there and back": [
        op("a", "put", 1, True, 0, 9),
        op("b", "read", None, 1, 1, 2),
        op("b", "read", None, None, 3, 4),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_can_be(history: list[Op]) -> None:
    check(history)
    check(history, reads_apart=True)


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_cannot_be(history: list[Op]) -> None:
    with pytest.raises(NotLinearizable, match="none of these can be next"):
        check(history)
    with pytest.raises(NotLinearizable):
        check(history, reads_apart=True)


def test_reads_of_two_nodes_that_hear_of_a_change_one_after_the_other() -> None:
    history = [
        op("a", "put", 1, True, 0, 9),
        op("b", "read", None, 1, 1, 2),
        op("c", "read", None, None, 3, 4),
    ]
    with pytest.raises(NotLinearizable):
        check(history)
    check(history, reads_apart=True)
    late = [*history, op("c", "read", None, None, 10, 11)]
    with pytest.raises(NotLinearizable):
        check(late, reads_apart=True)


def test_keys_are_apart() -> None:
    check([Op("a", "x", "put", 1, True, 0, 1), Op("a", "y", "read", None, None, 2, 3)])


def by_force(history: list[Op]) -> bool:
    """The definition, tried in all orders."""
    known = [each for each in history if each.returned is not None]
    unknown = [each for each in history if each.returned is None]
    for count in range(len(unknown) + 1):
        for some in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *some]):
                if any(
                    later.end < earlier.called
                    for i, earlier in enumerate(order)
                    for later in order[i + 1 :]
                ):
                    continue
                state: object = None
                for each in order:
                    state = register(state, each)  # type: ignore[arg-type]
                    if state is IMPOSSIBLE:
                        break
                else:
                    return True
    return False


@st.composite
def histories(draw: st.DrawFn) -> list[Op]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from(["read", "put", "delete", "add", "remove"]))
        value = draw(st.integers(1, 3)) if name in ("put", "add") else None
        called = draw(st.integers(0, 10))
        if draw(st.integers(0, 4)) == 0 and name != "read":
            found.append(op("p", name, value, UNKNOWN, called, None))
            continue
        end = called + draw(st.integers(1, 8))
        result = draw(st.sampled_from([None, 1, 2, 3])) if name == "read" else draw(st.booleans())
        found.append(op("p", name, value, result, called, end))
    return found


@settings(max_examples=300, deadline=None)
@given(histories())
def test_agrees_with_the_definition(history: list[Op]) -> None:
    try:
        check(history)
    except NotLinearizable:
        assert not by_force(history)
    else:
        assert by_force(history)


@pytest.mark.parametrize("seed", range(5))
def test_a_long_history_of_a_single_machine_is_checked_quickly(seed: int) -> None:
    drawn = random.Random(seed)
    state: object = None
    history = []
    for number in range(1500):
        name = drawn.choice(["read", "put", "delete", "add", "remove"])
        value = number if name in ("put", "add") else None
        if name == "read":
            result: object = state
        else:
            result = (name == "add") == (state is None) if name in ("add", "remove") else True
        happens = number * 10
        one = op(
            f"p{number % 8}",
            name,
            value,
            result,
            happens - drawn.random() * 60,
            happens + drawn.random() * 60,
        )
        after = register(state, one)  # type: ignore[arg-type]
        assert after is not IMPOSSIBLE
        state = after
        history.append(one)
    check(history)
    end = max(each.end for each in history)
    with pytest.raises(NotLinearizable):
        check([*history, op("z", "read", None, "never put", end + 1, end + 2)])


@pytest.mark.parametrize(
    ("since", "is_possible"), [(None, False), (2.5, False), (1.5, True), (0.5, True)]
)
@pytest.mark.parametrize(("name", "result"), [("read", None), ("remove", False)])
def test_what_changes_nothing_may_be_old(
    name: str, result: object, since: float | None, is_possible: bool
) -> None:
    """As old as its process allows: 1.5 is while the value was put, 2.5 after that."""
    history = [
        op("a", "put", 1, True, 1, 2),
        Op("b", "k", name, None, result, 3, 4, since),
        op("a", "read", None, 1, 5, 6),
    ]
    if is_possible:
        check(history, register)
        return
    with pytest.raises(NotLinearizable):
        check(history, register)


def test_what_has_an_effect_was_between_call_and_return() -> None:
    history = [
        op("a", "put", 1, True, 1, 2),
        Op("b", "k", "put", 2, True, 3, 4, 0),
        op("a", "read", None, 1, 5, 6),
    ]
    with pytest.raises(NotLinearizable):
        check(history, register)
    check([history[0], Op("b", "k", "put", 1, True, 3, 4, 0), history[2]], register)
