"""`mqd.broker.priorities`: the highest first, in order of arrival within a level."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mqd.amqp import properties
from mqd.amqp.properties import Properties
from mqd.broker.memory import MemorySpool
from mqd.broker.message import Message, content_of, names_of
from mqd.broker.priorities import PriorityBacklog


def message(text: str, priority: int | None) -> Message:
    header = properties.encode(Properties(priority=priority), len(text))
    return Message(names_of("", "q"), content_of(header, text.encode(), 1, 4096))


def test_priorities_as_rabbitmq_orders_them() -> None:
    # observed: 3.10.8 with x-max-priority 5 — 9 counts as 5, none as 0
    backlog = PriorityBacklog(MemorySpool(), 10, 10_000, 5)
    for text, priority in (("none", None), ("1", 1), ("9", 9), ("3", 3), ("5", 5), ("0", 0)):
        backlog.push(message(text, priority))
    assert len(backlog) == 6
    assert backlog.peek().body == b"9"
    order = [backlog.pop()[1].body.decode() for _ in range(6)]
    assert order == ["9", "5", "3", "1", "none", "0"]
    assert len(backlog) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.integers(0, 9)),
            st.just(("pop", 0)),
            st.just(("return", 0)),
        ),
        max_size=60,
    )
)
def test_like_a_sorted_list(steps: list[tuple[str, int]]) -> None:
    backlog = PriorityBacklog(MemorySpool(), 2, 10_000, 4)
    model: list[tuple[int, int]] = []  # (-level, arrival)
    out: list[tuple[tuple[int, int], int, Message]] = []
    returned: set[tuple[int, int]] = set()
    for arrival, (step, priority) in enumerate(steps):
        if step == "push":
            backlog.push(message(str(arrival), priority))
            model.append((-min(priority, 4), arrival))
        elif step == "pop" and model:
            first = min(model)
            model.remove(first)
            position, got, redelivered = backlog.pop()
            assert got.body == str(first[1]).encode()
            assert redelivered == (first in returned)
            out.append((first, position, got))
        elif step == "return" and out:
            first, position, got = out.pop()
            backlog.put_back(position, got)
            returned.add(first)
            model.append(first)
        assert len(backlog) == len(model)
    assert backlog.clear() == len(model)
