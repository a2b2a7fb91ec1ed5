"""The check of the register exchange knows what a declaration means."""

from __future__ import annotations

import pytest

from tests.cluster.chaos.history import Operation
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
