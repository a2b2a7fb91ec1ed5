"""Members of a cluster as real processes: joining, stopping, waiting, leaving, being forgotten."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cluster.membership.members import Member, files_of, have, know, members, unstarted
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

IMPATIENT = "mnesia_table_loading_retry_timeout = 400\nmnesia_table_loading_retry_limit = 3\n"


def test_a_ram_node_keeps_nothing_and_says_what_it_cannot_do(tmp_path: Path) -> None:
    with members(tmp_path, "d", "r", config=IMPATIENT) as (disc, ram):
        ram.ctl("add_user", "dropped", "pw")
        ram.join(disc, "--ram")
        ram.ctl("add_user", "kept", "pw")
        have({"guest", "kept"}, disc, ram)
        assert not any(name.startswith("metadata") for name in files_of(ram))
        assert "engine" not in files_of(disc)
        ram.kill()
        ram.begin()
        have({"guest", "kept"}, ram)
        disc.kill()
        eventually(lambda: ram.status()["running_nodes"] == [ram.name])
        code, _, error = ram.call("add_user", "lost", "pw")
        assert code == 69
        assert f"must be kept by a disc node, but {disc.name} does not answer" in error
        ram.ctl("stop_app")
        code, _, error = ram.call("start_app")
        assert code == 69
        assert f"{{:failed_to_cluster_with, [:{disc.name}], 'Mnesia could not connect" in error
        disc.begin()
        ram.ctl("start_app")
        have({"guest", "kept"}, ram)


def test_the_last_one_that_stopped_starts_first(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b", config=IMPATIENT) as (first, last):
        last.join(first)
        eventually(last.is_ordered_by_majority)
        first.ctl("stop_app")
        last.ctl("add_user", "later", "pw")
        last.ctl("stop_app")
        code, _, error = first.call("start_app")
        assert code == 69
        assert "{:rabbit, {{:timeout_waiting_for_tables, [" in error
        eventually(lambda: "Waiting for Mnesia tables for 400 ms, 2 retries left" in first.log)
        eventually(lambda: f"waiting for {last.name}, which stopped last" in first.log)
        last.ctl("start_app")
        last.ctl("add_user", "alone", "pw")
        first.ctl("start_app")
        have({"guest", "later", "alone"}, first)
        eventually(first.is_ordered_by_majority)


def test_a_start_that_waits_can_be_forced_and_the_others_come_back(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b", "c") as (one, two, three):
        two.join(one)
        three.join(one)
        eventually(three.is_ordered_by_majority)
        for node in (one, two, three):
            node.kill()
        one.launch()
        eventually(one.answers)
        eventually(lambda: "waits for" in one.ctl("cluster", "explain"))
        assert one.call("list_users")[0] == 64
        one.ctl("force_boot")
        eventually(one.runs)
        one.ctl("add_user", "forced", "pw")
        for node in (two, three):
            node.begin()
            know("forced", node)
        eventually(three.is_ordered_by_majority)
        names = {one.name, two.name, three.name}
        eventually(lambda: set(two.status()["running_nodes"]) == names)


def test_a_majority_starts_whatever_the_order(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b", "c") as (one, two, three):
        two.join(one)
        three.join(two)
        eventually(lambda: any("3 copies of the log" in node.log for node in (one, two, three)))
        one.kill()
        two.ctl("add_user", "without_one", "pw")
        two.kill()
        three.kill()
        one.launch()
        three.launch()
        eventually(one.runs)
        know("without_one", one)
        eventually(lambda: set(one.status()["running_nodes"]) == {one.name, three.name})


def test_one_that_was_forgotten_while_it_was_down_can_be_reset(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (stays, goes):
        goes.join(stays)
        eventually(stays.is_ordered_by_majority)
        assert goes.stop() == 0
        stays.ctl("forget_cluster_node", goes.name)
        eventually(lambda: "engine" not in files_of(stays))
        goes.launch()
        eventually(lambda: "is no member any more" in goes.call("cluster", "explain")[1])
        code, _, error = goes.call("ping")
        assert code == 69
        code, _, error = goes.call("status")
        assert f"is no member of the cluster of {stays.name} any more: reset it" in error
        goes.ctl("reset")
        goes.ctl("start_app")
        assert goes.status()["disk_nodes"] == [goes.name]


def test_two_become_one_again_with_all_that_was_durable(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (stays, leaves):
        leaves.join(stays)
        eventually(stays.is_ordered_by_majority)
        leaves.ctl("add_user", "kept", "pw")
        leaves.ctl("stop_app")
        leaves.ctl("reset")
        leaves.ctl("start_app")
        have({"guest"}, leaves)
        eventually(lambda: "engine" not in files_of(stays))
        eventually(lambda: stays.status()["disk_nodes"] == [stays.name])
        stays.ctl("add_user", "more", "pw")
        stays.stop()
        stays.begin()
        have({"guest", "kept", "more"}, stays)


def test_a_member_takes_a_new_name_while_the_others_run(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (stays, renamed):
        renamed.join(stays, "--ram")
        stays.ctl("add_user", "kept", "pw")
        old, new = renamed.name, f"n{renamed.name}"
        renamed.stop()
        renamed.ctl("rename_cluster_node", old, new)
        renamed.name = renamed.environment["RABBITMQ_NODENAME"] = new
        renamed.begin()
        have({"guest", "kept"}, renamed)
        eventually(lambda: stays.status()["ram_nodes"] == [new])


def test_a_member_is_another_kind_from_one_start_to_the_next(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (first, second):
        second.join(first, "--ram")
        _become(second, "disc")
        names = {first.name, second.name}
        eventually(lambda: set(first.status()["disk_nodes"]) == names)
        eventually(second.is_ordered_by_majority)
        _become(second, "ram")
        eventually(lambda: first.status()["ram_nodes"] == [second.name])
        eventually(lambda: "engine" not in files_of(first))
        first.ctl("add_user", "after", "pw")
        know("after", second)


def _become(node: Member, kind: str) -> None:
    node.ctl("stop_app")
    node.ctl("change_cluster_node_type", kind)
    node.ctl("start_app")


def test_nodes_that_are_started_at_once_find_each_other(tmp_path: Path) -> None:
    with unstarted(tmp_path, "a", "b", "c") as nodes:
        named = "".join(
            f"cluster_formation.classic_config.nodes.{at} = {node.name}\n"
            for at, node in enumerate(nodes, 1)
        )
        for node in nodes:
            with (node.directory / "rabbitmq.conf").open("a") as config:
                config.write("cluster_formation.peer_discovery_backend = classic_config\n" + named)
            node.launch()
        for node in nodes:
            eventually(node.runs)
        names = sorted(node.name for node in nodes)
        for node in nodes:
            eventually(lambda node=node: sorted(node.status()["running_nodes"]) == names)
        nodes[2].ctl("add_user", "one_cluster", "pw")
        know("one_cluster", nodes[0])


def test_one_that_was_given_up_while_it_stood_still_joins_again(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (goes_on, stood_still):
        stood_still.join(goes_on)
        eventually(goes_on.is_ordered_by_majority)
        goes_on.ctl("stop_app")
        stood_still.ctl("add_user", "given_up", "pw")
        assert stood_still.process is not None
        stood_still.process.send_signal(signal.SIGSTOP)
        goes_on.ctl("force_boot")
        goes_on.ctl("start_app")
        goes_on.ctl("add_user", "counts", "pw")
        stood_still.process.send_signal(signal.SIGCONT)
        eventually(lambda: "it joins again" in stood_still.log)
        eventually(stood_still.runs)
        have({"guest", "counts"}, stood_still)
        eventually(goes_on.is_ordered_by_majority)


def test_the_only_disc_member_is_no_stranger_to_its_data(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (a, b):
        b.join(a, "--ram")
        a.ctl("add_user", "kept", "x")
        b.ctl("stop_app")
        a.stop()
        b.ctl("force_reset")
        b.ctl("start_app")
        a.begin()
        know("kept", a)
        eventually(lambda: a.status()["running_nodes"] == [a.name])
        told = a.ctl("explain", "cluster")
        assert f"forget_cluster_node {b.name}" in told
        assert "reset" not in told
        a.ctl("forget_cluster_node", b.name)
        b.join(a)
        know("kept", b)


def test_who_is_left_of_two_disc_members_goes_on_alone(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (a, b):
        b.join(a)
        eventually(a.is_ordered_by_majority)
        a.ctl("add_user", "kept", "x")
        a.stop()
        b.ctl("stop_app")
        a.launch()
        eventually(lambda: f"waits for {b.name}" in a.call("explain", "cluster")[1])
        b.ctl("force_reset")
        b.ctl("start_app")
        eventually(a.runs)
        know("kept", a)
        eventually(lambda: "left the cluster without a word: this node goes on alone" in a.log)
        a.ctl("add_user", "later", "x")
        a.ctl("forget_cluster_node", b.name)
        b.join(a)
        eventually(lambda: {"kept", "later"} <= b.users())
