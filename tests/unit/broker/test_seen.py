"""`mqd.broker.seen`, against a set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.broker import seen as module
from mqd.broker.seen import Seen


@given(st.lists(st.integers(1, 60)), st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9))))
def test_what_came_is_known_and_nothing_else(
    numbers: list[int], ranges: list[tuple[int, int]]
) -> None:
    seen = Seen()
    for number in numbers:
        seen.add(number)
    seen.add_all(ranges)
    model = {*numbers, *(n for first, count in ranges for n in range(first, first + count))}
    for one in (seen, Seen(seen.ranges())):
        assert {number for number in range(80) if number in one} == model
        assert all(
            end < other
            for (f, c), (other, _) in zip(one.ranges(), one.ranges()[1:], strict=False)
            for end in (f + c,)
        )


def test_what_is_older_than_all_that_is_remembered_counts_as_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RANGES_MAX", 4)
    seen = Seen()
    for number in range(1, 40, 2):
        seen.add(number)
    assert 1 in seen
    assert 2 in seen
    assert 39 in seen
    assert 38 not in seen
