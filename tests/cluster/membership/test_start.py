"""Whose word counts when a member starts and another one has left without a word."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mqd.cluster.membership.record import DISC, RAM, Record
from mqd.cluster.membership.start import (
    RUNNING,
    STARTING,
    STOPPED,
    Force,
    Refuse,
    Seen,
    Serve,
    Wait,
    decide,
)
from mqd.metadata.commands import ClusterRecord, Member

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


def test_a_ram_member_has_nothing_to_go_on_with() -> None:
    assert decide(record(B, a=DISC, b=RAM), alone(A), forced=False) == Refuse(A)


def test_a_member_that_was_struck_out_does_not_start() -> None:
    seen: Mapping[str, Seen] = alone(B, RUNNING, OURS)
    assert decide(record(A, a=DISC, b=DISC), seen, forced=False) == Refuse(B)
