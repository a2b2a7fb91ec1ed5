"""Many backlogs in one room: whatever is pushed and taken, memory stays within the budget."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd import limits
from mqd.amqp.properties import Properties, encode
from mqd.broker.backlog import Backlog
from mqd.broker.memory import MemorySpool
from mqd.broker.message import Message, content_of, names_of
from mqd.broker.priorities import PriorityBacklog
from mqd.broker.room import Room
from mqd.broker.shelf import Shelf

BACKLOGS = 12
LEVELS = 3
STEP = limits.ROOM_STEP_BYTES_MIN
TOTAL = 40 * STEP
LARGEST = 6_000  # a message

Step = tuple[str, int, int, int]  # what, which backlog, how many, how large

steps = st.lists(
    st.tuples(
        st.sampled_from(("push", "push", "pop", "back", "clear", "resize")),
        st.integers(0, BACKLOGS - 1),
        st.integers(1, 60),
        st.integers(10, LARGEST - 200),
    ),
    min_size=1,
    max_size=80,
)


def message(number: int, size: int) -> Message:
    body = str(number).encode().rjust(size, b".")
    header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x00\x00"
    return Message(names_of("", "q"), content_of(header, body, 1, 131_072))


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_backlogs_share_the_budget_and_keep_their_order(steps: list[Step]) -> None:
    room = Room(TOTAL)
    spool = MemorySpool()
    shelf = Shelf(spool)
    backlogs = [Backlog(spool, 16_384, 16_777_216, room, shelf) for _ in range(BACKLOGS)]
    models: list[deque[bytes]] = [deque() for _ in range(BACKLOGS)]
    number = 0
    for what, which, count, size in steps:
        backlog, model = backlogs[which], models[which]
        if what == "push":
            for _ in range(count):
                number += 1
                each = message(number, size)
                backlog.push(each)
                model.append(each.body)
        elif what == "pop":
            for _ in range(min(count, len(model))):
                assert backlog.pop()[1].body == model.popleft()
        elif what == "back" and model:
            for position, each, _ in [backlog.pop() for _ in range(min(count, len(model)))]:
                backlog.put_back(position, each)
        elif what == "clear":
            backlog.clear()
            model.clear()
        elif what == "resize":
            room.resize(TOTAL if count % 2 else TOTAL // 2)
        # Beyond the budget: a step for the head and one for the tail of each, the page that was
        # taken in last, and the message with which each of these was full.
        beyond = BACKLOGS * 2 * (STEP + LARGEST) + limits.PAGE_BYTES_MAX
        assert sum(one.resident_bytes for one in backlogs) <= room.total_bytes + beyond
        assert [len(one) for one in backlogs] == list(map(len, models))
    for backlog, model in zip(backlogs, models, strict=True):
        while model:
            assert backlog.pop()[1].body == model.popleft()
    shelf.tidy()
    assert spool.pages == {}


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, LEVELS), st.integers(10, 5_000)), min_size=1, max_size=400
    )
)
def test_levels_of_priority_share_it_too(rows: list[tuple[int, int]]) -> None:
    room = Room(8 * STEP)
    spool = MemorySpool()
    backlog = PriorityBacklog(spool, 16_384, 16_777_216, LEVELS, room)
    for number, (level, size) in enumerate(rows):
        body = str(number).encode().rjust(size, b".")
        header = encode(Properties(priority=level), len(body))
        backlog.push(Message(names_of("", "q"), content_of(header, body, 1, 131_072)))
        beyond = (LEVELS + 1) * 2 * (STEP + LARGEST)
        assert backlog.resident_bytes <= room.total_bytes + beyond
    bodies = [int(backlog.pop()[1].body.lstrip(b".")) for _ in rows]
    assert bodies == sorted(range(len(rows)), key=lambda at: (-rows[at][0], at))
