"""What a wait that was in vain says."""

from __future__ import annotations

import asyncio

import pytest

from tests.waiting import eventually, until


class Thing:
    name = "t1"

    def is_up(self) -> bool:
        return False


def said_of(call: object) -> str:
    with pytest.raises(AssertionError) as caught:
        call()  # type: ignore[operator]
    return str(caught.value)


def test_the_condition_and_its_parts_are_told() -> None:
    names, counts = ["a"], {"x": 1}
    said = said_of(lambda: eventually(lambda: "b" in names and counts["x"] == 2, 0))
    assert "'b' in names and counts['x'] == 2" in said
    assert "names is ['a']" in said
    assert "counts['x'] is 1" in said


def test_of_several_each_is_told() -> None:
    rows = [[1], [2, 3]]
    said = said_of(lambda: eventually(lambda wanted=3: any(len(r) == wanted for r in rows), 0))
    assert "[len(r) for r in rows] is [1, 2]" in said


def test_a_named_condition_is_told_with_what_it_has_from_outside() -> None:
    count = 5

    async def enough() -> bool:
        return count > 5

    assert "enough (count is 5)" in said_of(lambda: asyncio.run(until(enough, 0)))
    assert "is_up of 't1'" in said_of(lambda: eventually(Thing().is_up, 0))


def test_a_part_that_fails_hides_nothing_else() -> None:
    gone: dict[str, int] = {}
    said = said_of(lambda: eventually(lambda: gone and gone["x"] == 1, 0))
    assert "gone is {}" in said
    assert "KeyError" in said


def test_what_is_long_is_cut() -> None:
    log = "x" * 100_000
    assert len(said_of(lambda: eventually(lambda: "words" in log, 0))) < 1000
