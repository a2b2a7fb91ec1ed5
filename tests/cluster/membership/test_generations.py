"""What a member makes of one that refuses its links, by what that one says of itself."""

from __future__ import annotations

import pytest

from mqd.cluster.membership.start import RUNNING, STARTING, STOPPED
from mqd.daemon.generations import Overtaken, verdict
from mqd.metadata.generations import Relation
from mqd.rpc.v1 import membership_pb2 as pb

A, B = "a@h", "b@h"


def facts(
    node: str,
    *forks: str,
    state: str = RUNNING,
    a: str | None = "ia",
    authority: str = "",
    number: int = 7,
    cluster: str = "c",
) -> pb.MemberFacts:
    """a: the incarnation of A there; None: it is no member."""
    made = pb.MemberFacts(
        node=node,
        state=state,
        cluster_id=cluster,
        generation=1 + len(forks),
        forks=forks,
        authority=authority,
        number=number,
        incarnation="ia" if node == A else "ib",
    )
    if a is not None:
        made.members.add(name=A, incarnation=a)
    return made


@pytest.mark.parametrize(
    ("mine", "theirs", "wanted"),
    [
        ((), ("f",), Relation.LATER),  # a third one was struck out
        (("f",), ("g",), Relation.APART),
        (("f",), ("g", "h"), Relation.APART),
        (("f",), (), None),  # it will find out by itself
        (("f",), ("f",), None),
    ],
)
def test_of_one_that_takes_this_node_for_a_member(
    mine: tuple[str, ...], theirs: tuple[str, ...], wanted: Relation | None
) -> None:
    assert verdict(facts(A, *mine), facts(B, *theirs)) == wanted


@pytest.mark.parametrize("incarnation", ["", "other", None])
def test_a_later_generation_without_this_node_overtakes_it(incarnation: str | None) -> None:
    assert verdict(facts(A), facts(B, "f", a=incarnation)) == Overtaken(2)
    assert verdict(facts(A), facts(B, "f", a=incarnation, state=STARTING)) is None


def test_one_that_orders_by_itself_since_then_is_joined_anew() -> None:
    assert verdict(facts(A), facts(B, "f", authority=B)) == Overtaken(2)


def test_one_that_was_struck_out_of_its_own_generation_finds_that_out() -> None:
    assert verdict(facts(A, number=7), facts(B, a=None, number=7)) == Overtaken(1)
    assert verdict(facts(A, number=8), facts(B, a=None, number=7)) is None  # it lags


@pytest.mark.parametrize("state", [RUNNING, STARTING, STOPPED])
def test_what_is_of_another_cluster_or_does_not_run_is_no_matter(state: str) -> None:
    assert verdict(facts(A), facts(B, "f", state=state, cluster="other")) is None
    if state == STOPPED:
        assert verdict(facts(A), facts(B, "f", state=state)) is None
