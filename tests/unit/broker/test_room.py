"""Who gets how much of the memory that all backlogs share."""

from __future__ import annotations

import pytest

from mqd import limits
from mqd.broker.room import Room

STEP = limits.ROOM_STEP_BYTES_MIN


class Holder:
    """A tenant that has what the test says and sheds all but a step, if it can."""

    def __init__(self, room: Room, *, can_shed: bool = True) -> None:
        self.lease_bytes = room.step_bytes
        self.resident_bytes = 0
        self.can_shed = can_shed
        self.sheds = 0

    def shed(self) -> None:
        self.sheds += 1
        if self.can_shed:
            self.resident_bytes = min(self.resident_bytes, STEP)

    def grow(self, room: Room, size: int) -> bool:
        granted = room.lease(self, size)
        if granted:
            self.resident_bytes = size
        return granted


@pytest.fixture
def room() -> Room:
    return Room(100 * STEP)


def test_a_lease_is_counted_and_ends_with_its_tenant(room: Room) -> None:
    one = Holder(room)
    assert one.grow(room, 60 * STEP)
    assert (one.lease_bytes, room.leased_bytes) == (60 * STEP, 60 * STEP)
    room.leave(one)
    assert (one.lease_bytes, room.leased_bytes) == (STEP, 0)
    room.leave(one)
    assert room.leased_bytes == 0


def test_what_is_not_used_is_taken_back_before_anybody_sheds(room: Room) -> None:
    one, two = Holder(room), Holder(room)
    one.grow(room, 80 * STEP)
    one.resident_bytes = 10 * STEP
    assert two.grow(room, 60 * STEP)
    assert one.sheds == 0
    assert room.leased_bytes == 70 * STEP


def test_the_largest_shed_first_and_no_more_than_need_to(room: Room) -> None:
    holders = [Holder(room) for _ in range(4)]
    for holder, size in zip(holders, (40, 30, 20, 5), strict=True):
        assert holder.grow(room, size * STEP)
    assert Holder(room).grow(room, 10 * STEP)
    assert [holder.sheds for holder in holders] == [1, 1, 0, 0]


def test_who_asks_is_refused_but_does_not_shed(room: Room) -> None:
    one = Holder(room)
    assert one.grow(room, 90 * STEP)
    assert not one.grow(room, 101 * STEP)
    assert one.sheds == 0
    assert one.lease_bytes == 90 * STEP


def test_what_must_be_had_is_granted_and_others_make_room(room: Room) -> None:
    stuck = Holder(room, can_shed=False)
    assert stuck.grow(room, 100 * STEP)
    other = Holder(room)
    assert room.lease(other, 20 * STEP, must=True)
    assert room.leased_bytes == 120 * STEP


def test_where_nothing_can_be_shed_it_is_not_tried_at_every_refusal(room: Room) -> None:
    stuck = [Holder(room, can_shed=False) for _ in range(10)]
    for holder in stuck:
        assert holder.grow(room, 10 * STEP)
    asking = Holder(room)
    for _ in range(11):
        assert not asking.grow(room, 2 * STEP)
    assert [holder.sheds for holder in stuck] == [1] * 10
    assert not asking.grow(room, 2 * STEP)
    assert [holder.sheds for holder in stuck] == [2] * 10


def test_a_smaller_budget_holds_at_once(room: Room) -> None:
    one, two = Holder(room), Holder(room)
    one.grow(room, 40 * STEP)
    two.grow(room, 30 * STEP)
    room.resize(50 * STEP)
    assert room.leased_bytes <= 50 * STEP
    assert (one.sheds, two.sheds) == (1, 1)


def test_steps_grow_with_the_budget_within_bounds() -> None:
    assert Room(1).step_bytes == limits.ROOM_STEP_BYTES_MIN
    assert Room(4_000_000_000).step_bytes == 100_000
    assert Room().step_bytes == limits.PAGE_BYTES_MAX
