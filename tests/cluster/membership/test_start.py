"""Whose word counts when a member starts and another one has left without a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mqd.cluster.membership.record import DISC, RAM, Record
from mqd.cluster.membership.start import (
    RUNNING,
    STARTING,
    STOPPED,
    Apart,
    Force,
    Refuse,
    Rejoin,
    Seen,
    Serve,
    Wait,
    can_force,
    decide,
)
from mqd.metadata.commands import ClusterRecord, Member
from mqd.metadata.generations import begun

A, B, C = "a@h", "b@h", "c@h"
OURS = ClusterRecord("ours", authority=A)


def record(me: str, authority: str = A, **kinds: str) -> Record:
    members = {
        f"{name}@h": Member(f"{name}@h", f"i{name}", at, kind)
        for at, (name, kind) in enumerate(kinds.items(), 1)
    }
    cluster = ClusterRecord("ours", authority=authority)
    return Record(me, cluster, members[me].kind, members[me].incarnation, members, 7)


def alone(node: str, state: str = RUNNING, cluster: ClusterRecord | None = None) -> dict[str, Seen]:
    return {node: Seen(node, state, cluster, DISC, "x", {node: "x"} if cluster else {})}


ELSEWHERE = (None, ClusterRecord("other", authority=B))


@pytest.mark.parametrize("cluster", ELSEWHERE)
@pytest.mark.parametrize("state", [RUNNING, STARTING, STOPPED])
@pytest.mark.parametrize("kind", [DISC, RAM])
def test_the_last_data_starts(cluster: ClusterRecord | None, state: str, kind: str) -> None:
    me = record(A, a=DISC, b=kind)
    assert decide(me, alone(B, state, cluster), forced=False) == Serve(A)


@pytest.mark.parametrize("authority", ["", B])
def test_it_goes_on_alone_when_all_others_left(authority: str) -> None:
    me = record(A, authority, a=DISC, b=DISC, c=RAM)
    assert decide(me, alone(B), forced=False) == Force((B,))


def test_who_may_know_more_is_waited_for() -> None:
    me = record(A, "", a=DISC, b=DISC, c=DISC)
    assert decide(me, alone(B), forced=False) == Wait((B, C), 1)


def test_nothing_is_forced_whose_metadata_is_gone() -> None:
    me = record(A, A, a=DISC, b=DISC)
    assert decide(me, {}, forced=True) == Force()
    assert decide(replace(me, number=0), {}, forced=True) != Force()


@pytest.mark.parametrize("others", ["nobody", "one that left", "one that struck it out"])
@pytest.mark.parametrize("kind", [DISC, RAM])
def test_one_that_cannot_be_forced_starts_as_if_nobody_had_asked(kind: str, others: str) -> None:
    me = record(B, "", a=DISC, b=kind, c=DISC)
    if kind == DISC:
        me = replace(me, number=0)
    left, struck_out = alone(A), alone(A, RUNNING, OURS)
    seen = {"nobody": {}, "one that left": left, "one that struck it out": struck_out}[others]
    assert not can_force(me)
    assert decide(me, seen, forced=True) == decide(me, seen, forced=False)


def test_a_ram_member_has_nothing_to_go_on_with() -> None:
    assert decide(record(B, a=DISC, b=RAM), alone(A), forced=False) == Refuse(A)


def test_a_member_that_was_struck_out_does_not_start() -> None:
    seen: Mapping[str, Seen] = alone(B, RUNNING, OURS)
    assert decide(record(A, a=DISC, b=DISC), seen, forced=False) == Refuse(B)


def test_of_those_that_struck_it_out_the_last_one_is_named() -> None:
    seen: Mapping[str, Seen] = alone(A, RUNNING, OURS) | alone(B, RUNNING, OURS)
    assert decide(record(C, a=DISC, b=DISC, c=DISC), seen, forced=False) == Refuse(B)


# -- two that were forced, each without the other --------------------------------------------------


def forced(me: str, fork: str, **kinds: str) -> Record:
    old = record(me, "", **kinds)
    members = {
        name: each if name == me else replace(each, incarnation="")
        for name, each in old.members.items()
    }
    cluster = replace(begun(old.cluster, fork), authority=me)
    return replace(old, cluster=cluster, members=members, number=8)


def seen_of(other: Record, state: str) -> Seen:
    incarnations = {each.name: each.incarnation for each in other.members.values()}
    return Seen(
        other.node, state, other.cluster, other.kind, other.incarnation, incarnations, other.number
    )


MINE = forced(A, "a0", a=DISC, b=DISC, c=DISC)
THEIRS = forced(B, "b0", a=DISC, b=DISC, c=DISC)


def test_nobody_starts_beside_the_other_part_or_joins_it() -> None:
    assert decide(MINE, {B: seen_of(THEIRS, RUNNING)}, forced=False) == Apart((B,))
    assert decide(THEIRS, {A: seen_of(MINE, RUNNING)}, forced=False) == Apart((A,))


def test_of_two_that_start_at_once_both_know_which_one_does() -> None:
    assert decide(MINE, {B: seen_of(THEIRS, STARTING)}, forced=False) == Apart((B,))
    assert decide(THEIRS, {A: seen_of(MINE, STARTING)}, forced=False) == Serve(B)


def test_who_gave_way_does_so_until_it_is_told_or_the_other_one_left() -> None:
    me = replace(MINE, yields_to=(B,))
    assert decide(me, {}, forced=False) == Apart((B,))
    assert decide(me, {B: seen_of(THEIRS, STOPPED)}, forced=False) == Apart((B,))
    assert decide(me, {}, forced=True) == Force()
    assert decide(me, alone(B), forced=False) == Serve(A)


def test_a_part_of_its_own_that_runs_is_joined_whatever_else_does() -> None:
    beside = replace(MINE, node=C, incarnation="ic")
    beside = replace(
        beside, members={**MINE.members, C: replace(MINE.members[C], incarnation="ic")}
    )
    seen = {B: seen_of(THEIRS, RUNNING), A: seen_of(replace(MINE, members=beside.members), RUNNING)}
    assert decide(beside, seen, forced=False) == Serve(A, A)


def test_one_that_is_older_than_both_does_not_choose() -> None:
    me = record(C, "", a=DISC, b=DISC, c=DISC)
    both = {A: seen_of(MINE, RUNNING), B: seen_of(THEIRS, RUNNING)}
    assert decide(me, both, forced=False) == Apart((A, B), between=True)
    assert decide(me, {A: both[A]}, forced=False) == Rejoin(A)


def test_a_member_that_missed_that_another_one_was_struck_out_counts() -> None:
    old = record(B, "", a=DISC, b=DISC, c=DISC)
    members = {name: each for name, each in old.members.items() if name != C}
    me = replace(record(A, "", a=DISC, b=DISC), members=members, cluster=begun(old.cluster, "f"))
    assert decide(me, {B: seen_of(old, STARTING)}, forced=False) == Serve("")
    there = {A: seen_of(me, STARTING)}
    assert decide(old, there, forced=False) == Serve("", cluster=me.cluster)
