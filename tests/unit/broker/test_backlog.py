"""`mqd.broker.backlog`: order, places and what is in memory. Any order of calls: tests/property."""

from __future__ import annotations

import pytest

from mqd import limits
from mqd.broker.backlog import Backlog
from mqd.broker.memory import MemorySpool
from mqd.broker.message import Message, content_of, names_of
from mqd.broker.room import Room
from mqd.broker.shelf import Shelf

NAMES = names_of("", "q")


def message(text: str, *, stored: bool = False, segment: int = 0) -> Message:
    raw = text.encode()
    header = b"\0\x3c\0\0" + len(raw).to_bytes(8, "big") + b"\0\0"
    made = Message(NAMES, content_of(header, raw, 1, 4096), stored)
    made.stored = stored
    made.segment = segment
    return made


def popped(backlog: Backlog, count: int = 1) -> list[str]:
    """The next messages: position, body, * when redelivered."""
    found = []
    for _ in range(count):
        position, each, redelivered = backlog.pop()
        found.append(f"{position} {each.body.decode()}{'*' * redelivered}")
    return found


@pytest.fixture
def spool() -> MemorySpool:
    return MemorySpool()


@pytest.fixture
def backlog(spool: MemorySpool, monkeypatch: pytest.MonkeyPatch) -> Backlog:
    """Two messages in the head, three a page."""
    monkeypatch.setattr(limits, "PAGE_MESSAGES_MAX", 3)
    return Backlog(spool, 2, 1_000_000)


def fill(backlog: Backlog, count: int, first: int = 0) -> None:
    for index in range(first, first + count):
        backlog.push(message(f"m{index}"))


def test_first_in_first_out(backlog: Backlog, spool: MemorySpool) -> None:
    fill(backlog, 12)
    assert len(backlog) == 12
    assert len(spool.pages) == 3
    assert backlog.resident_count == 3
    assert popped(backlog, 12) == [f"{index} m{index}" for index in range(12)]
    assert len(backlog) == 0
    assert spool.pages == {}


def test_what_comes_back_goes_where_it_was(backlog: Backlog) -> None:
    fill(backlog, 4)
    taken = [backlog.pop() for _ in range(3)]
    for position, each, _ in reversed(taken[:2]):
        backlog.put_back(position, each)
    assert popped(backlog, 3) == ["0 m0*", "1 m1*", "3 m3"]


def test_new_ones_stay_behind_pages(backlog: Backlog) -> None:
    fill(backlog, 6)
    assert popped(backlog, 2) == ["0 m0", "1 m1"]
    fill(backlog, 1, 6)
    assert popped(backlog, 5) == [f"{index} m{index}" for index in range(2, 7)]


def test_positions_count_what_never_waited(backlog: Backlog) -> None:
    assert [backlog.skip(), backlog.skip()] == [0, 1]
    fill(backlog, 1)
    assert popped(backlog) == ["2 m0"]


def test_clear(backlog: Backlog, spool: MemorySpool) -> None:
    fill(backlog, 8)
    position, each, _ = backlog.pop()
    backlog.put_back(position, each)
    held = backlog.pop()
    assert backlog.clear() == 7
    assert len(backlog) == 0
    assert backlog.resident_bytes == 0
    assert spool.pages == {}
    fill(backlog, 1, 8)
    backlog.put_back(held[0], held[1])
    assert popped(backlog, 2) == ["0 m0*", "8 m8"]


def test_what_comes_back_is_put_on_the_shelf_when_there_is_no_room(spool: MemorySpool) -> None:
    room = Room(4 * limits.ROOM_STEP_BYTES_MIN)
    backlog = Backlog(spool, 10, 1 << 20, room, Shelf(spool))
    other = Backlog(spool, 1000, 1 << 20, room)
    texts = [f"{index:1000}" for index in range(200)]
    for text in texts:
        backlog.push(message(text, stored=True, segment=1))
    taken = [backlog.pop() for _ in texts]
    for text in texts[:30]:
        other.push(message(text))
    for position, each, _ in taken:
        backlog.put_back(position, each)
    assert backlog.resident_bytes + other.resident_bytes < 2 * room.total_bytes
    assert backlog.ready_bytes == 200 * 1000
    assert popped(backlog, 200) == [f"{index} {text}*" for index, text in enumerate(texts)]
    assert popped(other, 30) == [f"{index} {text}" for index, text in enumerate(texts[:30])]
    assert backlog.resident_bytes == other.resident_bytes == 0


def test_messages_of_an_earlier_run_are_flagged(backlog: Backlog) -> None:
    for index in range(5):
        backlog.push_redelivered(message(f"m{index}"))
    fill(backlog, 1, 5)
    assert popped(backlog, 6) == ["0 m0*", "1 m1*", "2 m2*", "3 m3*", "4 m4*", "5 m5"]


def test_pages_keep_what_the_store_said(backlog: Backlog) -> None:
    backlog.push(message("a"))
    backlog.push(message("b"))
    for index in range(3):
        made = message(f"c{index}", stored=True, segment=7)
        made.index = index
        made.expires_ms, made.delivery_count = 10 + index, 20 + index
        backlog.push(made)
    assert backlog.resident_count == 2
    popped(backlog, 2)
    for index in range(3):
        _, back, _ = backlog.pop()
        assert (back.stored, back.persistent, back.segment, back.index) == (True, True, 7, index)
        assert (back.expires_ms, back.delivery_count) == (10 + index, 20 + index)
        assert back.names == NAMES


def test_what_waits_for_a_commit_is_not_paged(backlog: Backlog, spool: MemorySpool) -> None:
    """Its place in the store is not known yet, and a page cannot be told later."""
    fill(backlog, 2)
    waiting = [message(f"w{index}", stored=True) for index in range(3)]
    for each in waiting:
        backlog.push(each)
    assert spool.pages == {}
    assert backlog.resident_count == 5
    popped(backlog, 2)
    assert [backlog.pop()[1] for _ in waiting] == waiting  # the very objects


def test_what_is_committed_before_it_is_paged(
    backlog: Backlog, spool: MemorySpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(backlog, 2)
    for index in range(2):
        backlog.push(message(f"c{index}", stored=True, segment=1))
    backlog.push(message("w", stored=True))
    assert len(spool.pages) == 1
    assert backlog.resident_count == 3
    assert popped(backlog, 5)[2:] == ["2 c0", "3 c1", "4 w"]


def test_large_messages_are_paged_by_their_bytes(
    spool: MemorySpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_BYTES_MAX", 2000)
    backlog = Backlog(spool, 100, 1500)
    for index in range(10):
        backlog.push(message(f"{index}" * 700))
    assert backlog.resident_count == 4  # two in the head, two in a tail of 2000 bytes at most
    assert len(spool.pages) == 2
    assert [backlog.pop()[1].body[:1].decode() for _ in range(10)] == list("0123456789")


def test_resident_messages(backlog: Backlog) -> None:
    fill(backlog, 6)
    position, each, _ = backlog.pop()
    backlog.put_back(position, each)
    bodies = {each.body.decode() for each in backlog.resident()}
    assert bodies == {"m0", "m1", "m5"}
    assert backlog.resident_count == 3


def test_those_delivered_before_are_taken_at_the_end(backlog: Backlog) -> None:
    for text in ("old1", "old2", "old3", "old4"):
        backlog.push_redelivered(message(text))
    fill(backlog, 3)
    position, first, _ = backlog.pop()
    backlog.put_back(position, first)
    assert [each.body for each in backlog.take_delivered()] == [b"old1", b"old2", b"old3", b"old4"]
    assert len(backlog) == 3
    assert list(backlog.take_delivered()) == []


def test_any_message_can_be_looked_at_where_it_is(backlog: Backlog, spool: MemorySpool) -> None:
    fill(backlog, 12)
    first = backlog.pop()
    second = backlog.pop()
    backlog.put_back(second[0], second[1])
    backlog.put_back(first[0], first[1])
    pages = dict(spool.pages)
    seen = [backlog.at(place) for place in range(13)]
    assert [each.body.decode() if each else None for each in seen] == [
        *(f"m{index}" for index in range(12)),
        None,
    ]
    assert spool.pages == pages
    assert popped(backlog, 2) == ["0 m0*", "1 m1*"]


def test_all_that_ever_came_is_counted(backlog: Backlog) -> None:
    fill(backlog, 5)
    position, each, _ = backlog.pop()
    backlog.skip()
    assert backlog.arrived_count == 6
    backlog.put_back(position, each)
    assert backlog.arrived_count == 6
