"""When a member pauses and whom it calls partitioned, over whole histories of links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.cluster.membership.partitions import (
    AUTOHEAL,
    IGNORE,
    PAUSE_IF_ALL_DOWN,
    PAUSE_MINORITY,
    Handling,
    Horizon,
)

ALL = ("a", "b", "c")
EVENTS = st.tuples(st.sampled_from(["b", "c", "d", "e"]), st.sampled_from(["up", "stop", "lose"]))


def horizon(mode: str, *listed: str, members: tuple[str, ...] = ALL) -> Horizon:
    seen = Horizon("a", Handling(mode, listed), members)
    for name in members[1:]:
        seen.linked(name)
    return seen


def test_a_minority_pauses_and_goes_on_with_a_majority() -> None:
    seen = horizon(PAUSE_MINORITY)
    seen.parted("b", orderly=False)
    assert not seen.paused
    seen.parted("c", orderly=False)
    assert seen.paused
    seen.linked("b")
    assert not seen.paused


def test_who_stops_in_order_is_not_lost() -> None:
    seen = horizon(PAUSE_MINORITY)
    seen.parted("b", orderly=True)
    seen.parted("c", orderly=True)
    assert not seen.paused
    seen = horizon(PAUSE_MINORITY)
    seen.parted("b", orderly=True)
    seen.parted("c", orderly=False)
    assert seen.paused


def test_half_is_no_majority() -> None:
    seen = horizon(PAUSE_MINORITY, members=("a", "b"))
    seen.parted("b", orderly=False)
    assert seen.paused
    seen.use_members(["a"])
    assert not seen.paused


def test_one_that_starts_alone_has_lost_nobody() -> None:
    seen = Horizon("a", Handling(PAUSE_MINORITY), ALL)
    seen.use_members(ALL)
    assert not seen.paused


def test_it_pauses_when_all_listed_are_down() -> None:
    seen = horizon(PAUSE_IF_ALL_DOWN, "b", "c")
    seen.parted("b", orderly=False)
    assert not seen.paused
    seen.parted("c", orderly=False)
    assert seen.paused
    seen.linked("c")
    assert not seen.paused
    here = horizon(PAUSE_IF_ALL_DOWN, "a", "x")
    here.parted("b", orderly=False)
    here.parted("c", orderly=False)
    assert not here.paused


def test_one_look_makes_no_partition() -> None:
    seen = horizon(IGNORE)
    seen.parted("b", orderly=False)
    seen.looked({"b", "c"})
    assert seen.partitions == ()
    seen.looked({"b", "c"})
    assert seen.partitions == ("b",)
    seen.looked({"c"})
    assert seen.partitions == ()
    seen.looked({"b"})
    seen.looked({"b"})
    seen.linked("b")
    assert seen.partitions == ()


@pytest.mark.parametrize("mode", [IGNORE, AUTOHEAL])
@given(events=st.lists(EVENTS))
def test_others_never_pause(mode: str, events: list[tuple[str, str]]) -> None:
    seen = horizon(mode, members=(*ALL, "d", "e"))
    for name, what in events:
        play(seen, name, what)
        assert not seen.paused


@given(events=st.lists(EVENTS))
def test_never_more_than_one_side_serves_after_a_loss(events: list[tuple[str, str]]) -> None:
    members = (*ALL, "d", "e")
    seen = horizon(PAUSE_MINORITY, members=members)
    up = set(members[1:])
    lost = False
    for name, what in events:
        before = seen.paused
        play(seen, name, what)
        if what == "up":
            up.add(name)
        elif name in up:
            up.discard(name)
        few = len(up) + 1 < 3
        lost = what == "lose" and few
        assert not (seen.paused and not few)
        assert not (before and few and not seen.paused)
        if lost:
            assert seen.paused


def play(seen: Horizon, name: str, what: str) -> None:
    if what == "up":
        seen.linked(name)
    else:
        seen.parted(name, orderly=what == "stop")
