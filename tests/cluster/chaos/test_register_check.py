"""The check of the register exchange knows what a declaration means."""

from __future__ import annotations

import pytest

from tests.cluster.chaos.history import Behind, Operation
from tests.cluster.chaos.register_check import wrong


def op(name: str, value: str | None, result: bool | None, start: float, end: float) -> Operation:
    ended = None if result is None else end
    return Operation(f"p{start}", "reg", name, value, start, ended, result)


@pytest.mark.parametrize(
    "history",
    [
        [op("declare", "direct", True, 0, 1), op("declare", "fanout", False, 2, 3)],
        [op("declare", "direct", True, 0, 1), op("declare", "direct", True, 2, 3)],
        [op("declare", "direct", None, 0, 1), op("exists", None, False, 2, 3)],
        [op("declare", "direct", None, 0, 1), op("exists", None, True, 2, 3)],
        [op("delete", None, True, 0, 1), op("exists", None, False, 2, 3)],
        [op("declare", "topic", True, 0, 9), op("exists", None, True, 1, 2)],
    ],
)
def test_what_one_machine_does(history: list[Operation]) -> None:
    assert wrong(history) == []


@pytest.mark.parametrize(
    "history",
    [
        [op("declare", "direct", True, 0, 1), op("exists", None, False, 2, 3)],
        [op("declare", "direct", True, 0, 1), op("declare", "fanout", True, 2, 3)],
        [op("declare", "fanout", False, 0, 1)],
        [op("delete", None, True, 2, 3), op("exists", None, True, 4, 5)],
    ],
)
def test_what_no_machine_does(history: list[Operation]) -> None:
    assert wrong(history)


def by(
    member: int, name: str, value: str | None, result: bool | None, start: float, end: float
) -> Operation:
    return Operation(f"k{member}", "reg", name, value, start, end, result)


BEHIND = [Behind(frozenset({3}), 10, 20)]
DECLARED = by(1, "declare", "direct", True, 11, 12)


@pytest.mark.parametrize(
    "history",
    [
        [DECLARED, by(3, "exists", None, False, 13, 14), by(3, "exists", None, True, 15, 16)],
        [DECLARED, by(3, "delete", None, True, 13, 14), by(1, "exists", None, True, 15, 16)],
        [
            by(1, "declare", "fanout", True, 1, 2),
            by(1, "delete", None, True, 11, 12),
            by(3, "declare", "fanout", True, 13, 14),  # as far as it knows it is there
            by(1, "exists", None, False, 15, 16),
        ],
        [
            by(1, "declare", "fanout", True, 1, 2),
            by(1, "delete", None, True, 11, 12),
            by(3, "declare", "topic", False, 13, 14),
            by(1, "declare", "topic", True, 15, 16),
        ],
        [DECLARED, by(3, "delete", None, True, 13, 14), by(1, "exists", None, False, 15, 16)],
    ],
)
def test_what_a_member_that_is_behind_answers(history: list[Operation]) -> None:
    assert wrong(history, BEHIND) == []
    away = [Behind(frozenset({2}), 10, 20), Behind(frozenset({3}), 30, 40)]
    assert wrong(history, away) == wrong(history)


@pytest.mark.parametrize(
    "history",
    [
        [DECLARED, by(1, "exists", None, False, 13, 14)],  # another member
        [DECLARED, by(3, "exists", None, False, 23, 24)],  # it has caught up
        [DECLARED, by(3, "exists", None, True, 13, 14), by(3, "exists", None, False, 15, 16)],
        [by(3, "declare", "direct", True, 11, 12), by(3, "exists", None, False, 13, 14)],
        [
            DECLARED,
            by(3, "declare", "topic", True, 13, 14),  # it was made, and cannot have been
            by(1, "declare", "direct", True, 15, 16),
        ],
        [
            DECLARED,
            by(1, "exists", None, True, 13, 14),
            by(3, "delete", None, True, 15, 16),
            by(1, "exists", None, False, 13, 14.5),  # gone before that was asked for
        ],
    ],
)
def test_what_it_never_answers(history: list[Operation]) -> None:
    assert wrong(history, BEHIND)
