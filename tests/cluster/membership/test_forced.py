"""Members that are forced to go on, each without the other, as real processes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cluster.membership.members import Member, have, know, members
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


def forced(node: Member, user: str) -> None:
    """With its process down."""
    node.ctl("force_boot")
    node.begin()
    node.ctl("add_user", user, "pw")


def three(one: Member, two: Member, other: Member) -> None:
    for node in (two, other):
        node.join(one)
    eventually(other.is_ordered_by_majority)


def test_neither_gives_up_what_it_was_promised_until_somebody_chooses(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b", "c") as (a, b, c):
        three(a, b, c)
        for node in (a, b, c):
            node.kill()
        forced(a, "on_a")
        a.kill()
        forced(b, "on_b")  # it never heard of the other one
        a.launch()
        eventually(a.answers)
        eventually(lambda: "each forced to go on without the other" in a.log)
        code, _, error = a.call("start_app")
        assert code == 69
        assert "inconsistent_cluster" in error
        assert f"join_cluster {b.name}" in error
        assert f"mqctl -n {a.name} force_boot" in error
        for asked, other in ((a, b), (b, a)):
            told = asked.call("explain", "cluster")[1]
            assert f"forced to go on without {asked.name}" in told, told
            assert f"mqctl -n {other.name} reset" in told
        have({"guest", "on_b"}, b)
        c.begin()  # of neither part: the one that runs is joined
        have({"guest", "on_b"}, c)
        b.kill()
        c.kill()
        code, _, error = a.call("start_app")  # nor when the other part is down
        assert code == 69, error
        a.ctl("force_boot")
        a.ctl("start_app")
        have({"guest", "on_a"}, a)  # nothing was lost
        a.ctl("stop_app")
        b.launch()
        c.begin()
        eventually(b.runs)
        a.ctl("reset")
        a.ctl("join_cluster", b.name)
        a.ctl("start_app")
        have({"guest", "on_b"}, a)
        eventually(lambda: len(a.status()["running_nodes"]) == 3)
        told = b.call("explain", "cluster")[1]
        assert "forced to go on" not in told


def test_two_parts_that_meet_while_they_run_say_so_and_serve(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (a, b):
        b.join(a)
        eventually(b.is_ordered_by_majority)
        a.kill()
        b.kill()
        forced(a, "on_a")
        assert a.process is not None
        a.process.send_signal(signal.SIGSTOP)
        forced(b, "on_b")
        a.process.send_signal(signal.SIGCONT)
        for node, other in ((a, b), (b, a)):
            said = f"Node {node.name} and {other.name} were each forced to go on"
            eventually(lambda node=node, said=said: said in node.log)
            eventually(lambda node=node, other=other: other.name in partitioned(node))
            told = f"forced to go on without {node.name}"
            eventually(lambda node=node, told=told: told in node.call("explain", "cluster")[1])
        have({"guest", "on_a"}, a)
        have({"guest", "on_b"}, b)
        assert a.runs()
        assert b.runs()


def partitioned(node: Member) -> str:
    return json.dumps(node.status()["partitions"])


def test_one_that_stood_still_while_another_was_forgotten_goes_on(tmp_path: Path) -> None:
    """The generation that this begins is its own, too: nothing of it ends but its links."""
    with members(tmp_path, "a", "b", "c") as (disc, still, goes):
        still.join(disc, "--ram")
        goes.join(disc, "--ram")
        goes.kill()
        assert still.process is not None
        still.process.send_signal(signal.SIGSTOP)
        eventually(lambda: disc.status()["running_nodes"] == [disc.name])
        disc.ctl("forget_cluster_node", goes.name)
        disc.ctl("add_user", "meanwhile", "pw")
        still.process.send_signal(signal.SIGCONT)
        eventually(lambda: "of generation 2 of the cluster now" in still.log)
        know("meanwhile", still)
        still.ctl("add_user", "after", "pw")
        know("after", disc)
        eventually(lambda: goes.name not in str(still.status()))
        assert "it joins again" not in still.log
        assert still.log.count("Server startup complete") == 2  # by itself, then as a member
        goes.launch()
        eventually(lambda: "is no member any more" in goes.call("cluster", "explain")[1])
