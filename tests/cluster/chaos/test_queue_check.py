"""The check of a queue's history: every real queue passes, every broken one is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.chaos.history import Operation
from tests.cluster.chaos.queue_check import check
from tests.cluster.chaos.sampled import EMPTY


def put(value: str, start: float, end: float | None) -> Operation:
    return Operation("p", "h0", "enqueue", value, start, end, True if end is not None else None)


def take(value: str | None, start: float, end: float | None, said: str = "") -> Operation:
    return Operation("c", "h0", "dequeue", said, start, end, value)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([take("a", 0, 1)], "not put in"),
        ([take("a", 0, 1), put("a", 2, 3)], "not put in"),
        ([put("a", 0, 1), take("a", 2, 3), take("a", 4, 5)], "twice"),
        ([put("a", 0, 1), put("b", 2, 3), take("b", 4, 5), take("a", 6, 7)], "before a"),
        ([put("a", 0, 1), take(EMPTY, 2, 3), take("a", 4, 5)], "empty"),
        ([put("a", 0, 1)], "never came out"),
        ([put("a", 0, 1), put("b", 0, 1), take(None, 2, None)], "never came out"),
    ],
)
def test_what_no_queue_does(history: list[Operation], words: str) -> None:
    assert any(words in each for each in check(history, drained=True))


@pytest.mark.parametrize(
    "history",
    [
        [put("a", 0, 3), put("b", 0, 3), take("b", 4, 5), take("a", 6, 7)],
        [put("a", 0, 1), put("b", 2, 3), take("b", 4, 9), take("a", 5, 9)],
        [put("a", 0, None), take("a", 5, 6)],
        [put("a", 0, None)],
        [put("a", 0, 1), take(None, 2, None)],
        [put("a", 0, 1), take(EMPTY, 0.5, 3), take("a", 2, 4)],
        [put("a", 0, 1), take("a", 2, 3), take("a", 4, 5, "redelivered")],
    ],
)
def test_what_a_queue_may_do(history: list[Operation]) -> None:
    assert check(history, drained=True) == []


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5), st.floats(0, 5)), max_size=60))
def test_a_real_queue_passes(steps: list[tuple[bool, float, float]]) -> None:
    """Each operation takes effect at its step, and is asked and answered around it."""
    queue: list[str] = []
    history = []
    for at, (puts, early, late) in enumerate(steps):
        if puts:
            queue.append(str(at))
            history.append(put(str(at), at - early, at + late))
        else:
            value = queue.pop(0) if queue else EMPTY
            history.append(take(value, at - early, at + late))
    drained = not queue
    assert check(history, drained=drained) == []
