"""Drawn starts of members whose discs know less than was ordered: restored, or cut off."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.cluster.membership.record import DISC, Record
from mqd.cluster.membership.start import (
    RUNNING,
    STARTING,
    STOPPED,
    Seen,
    Serve,
    Take,
    Wait,
    decide,
)
from mqd.metadata.commands import ClusterRecord, Member
from tests.cluster.membership.members import have, members
from tests.waiting import eventually

NAMES = ("a@h", "b@h", "c@h")
MEMBERS = {name: Member(name, f"i{name}", at, DISC) for at, name in enumerate(NAMES, 1)}


class Play:
    """history: who orders after each command; discs: how many of them each member has."""

    def __init__(self, history: list[str], discs: dict[str, int]) -> None:
        self.history = history
        self.discs = discs
        self.up: dict[str, str] = {}

    def record(self, name: str) -> Record:
        number = self.discs[name]
        cluster = ClusterRecord("ours", authority=self.history[number])
        return Record(name, cluster, DISC, f"i{name}", MEMBERS, number + 1)

    def seen(self, name: str) -> Seen:
        record = self.record(name)
        listed = {each.name: each.incarnation for each in MEMBERS.values()}
        state = self.up[name]
        return Seen(name, state, record.cluster, DISC, f"i{name}", listed, record.number)

    def look(self, name: str) -> bool:
        """Whether it serves now."""
        others = {other: self.seen(other) for other in self.up if other != name}
        match decide(self.record(name), others, forced=False):
            case Take(of):
                assert self.discs[of] > self.discs[name]
                self.discs[name] = self.discs[of]
            case Serve(authority):
                if authority:
                    assert authority == name
                    assert self.discs[name] == max(self.discs[each] for each in self.up)
                else:
                    assert len(self.up) >= 2
                return True
            case verdict:
                assert isinstance(verdict, Wait)
        return False


histories = st.lists(st.sampled_from(["", *NAMES]), min_size=1, max_size=6)


@given(st.data(), histories, st.sets(st.sampled_from(NAMES)))
def test_nothing_that_a_member_there_knows_is_dropped(
    data: st.DataObject, history: list[str], stopped: set[str]
) -> None:
    ends = st.integers(0, len(history) - 1)
    play = Play(history, {name: data.draw(ends, label=name) for name in NAMES})
    play.up = dict.fromkeys(stopped, STOPPED)
    waiting = [name for name in NAMES if name not in stopped]
    for name in data.draw(st.permutations(waiting)):
        play.up[name] = STARTING
        for each in data.draw(st.permutations(waiting)):
            if play.up.get(each) == STARTING and play.look(each):
                return


@given(st.data(), histories)
def test_all_three_come_up_whatever_their_discs_lost(
    data: st.DataObject, history: list[str]
) -> None:
    ends = st.integers(0, len(history) - 1)
    play = Play(history, {name: data.draw(ends, label=name) for name in NAMES})
    play.up = dict.fromkeys(NAMES, STARTING)
    rounds = [name for _ in range(3) for name in data.draw(st.permutations(NAMES))]
    assert any(play.look(name) for name in rounds)


def test_one_that_runs_may_know_more_than_the_one_it_waits_for() -> None:
    play = Play(["a@h"] * 3, {"a@h": 1, "b@h": 2, "c@h": 0})
    play.up = {"b@h": RUNNING}
    others = {"b@h": play.seen("b@h")}
    assert decide(play.record("a@h"), others, forced=False) == Take("b@h")
    play.discs["a@h"] = 2
    assert decide(play.record("a@h"), others, forced=False) == Serve("a@h", "b@h")


def test_one_that_became_a_member_anew_since_does_not_pass_for_that_one() -> None:
    play = Play(["a@h"] * 3, {"a@h": 1, "b@h": 2, "c@h": 0})
    play.up = {"b@h": STOPPED}
    me = replace(play.record("a@h"), incarnation="of old")
    assert decide(me, {"b@h": play.seen("b@h")}, forced=False) == Wait(("b@h",))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_who_orders_has_its_disc_restored_and_learns_what_it_had_ordered(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (heir, other):
        other.join(heir)
        eventually(heir.is_ordered_by_majority)
        assert other.stop() == 0
        assert heir.stop() == 0  # it orders alone
        saved = tmp_path / "saved"
        heir.data.rename(saved)
        shutil.copytree(saved, heir.data)
        heir.begin()
        other.begin()
        eventually(heir.is_ordered_by_majority)
        heir.ctl("add_user", "later", "pw")
        assert other.stop() == 0
        heir.ctl("add_user", "alone", "pw")
        other.begin()
        eventually(lambda: heir.users() == other.users())
        eventually(heir.is_ordered_by_majority)
        assert other.stop() == 0
        assert heir.stop() == 0
        heir.data.rename(tmp_path / "lost")
        saved.rename(heir.data)
        other.launch()
        eventually(other.answers)
        heir.launch()
        eventually(heir.runs)
        eventually(other.runs)
        have({"guest", "later", "alone"}, heir, other)
        eventually(lambda: "they are taken over from there" in heir.log)


def test_one_that_lost_its_metadata_waits_for_those_who_have_it() -> None:
    play = Play(["a@h"] * 3, {"a@h": -1, "b@h": 2, "c@h": 0})
    assert decide(play.record("a@h"), {}, forced=False) == Wait(("b@h", "c@h"))
    play.up = {"b@h": STOPPED}
    assert decide(play.record("a@h"), {"b@h": play.seen("b@h")}, forced=False) == Take("b@h")
