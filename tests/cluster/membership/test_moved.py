"""Members that come back at other ports, while those that could write it down are down."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.membership.members import Member, have, know, members
from tests.ports import control_port
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@contextlib.contextmanager
def taken(*ports: int) -> Iterator[None]:
    """By somebody else, on all addresses, as soon as a server that was killed has let go."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            held = stack.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            eventually(lambda held=held, port=port: not _fails(held.bind, ("", port)))
            held.listen()
        yield


def _fails(call: Callable[[tuple[str, int]], None], address: tuple[str, int]) -> bool:
    try:
        call(address)
    except OSError:
        return True
    return False


def ports_of(node: Member, of: str) -> tuple[int, int, int]:
    """As node knows them: control, links, routes."""
    plain = json.loads((node.data / "cluster.json").read_text())
    (found,) = [each for each in plain["members"] if each["name"] == of]
    return found["control_port"], found["link_port"], found["route_port"]


def moved(node: Member) -> None:
    node.environment["RABBITMQ_DIST_PORT"] = str(control_port())


def on_hosts_of_their_own(folder: Path, *nodes: Member) -> None:
    """Not found by sockets of one run directory any more."""
    for at, node in enumerate(nodes):
        node.environment["MQD_RUN_DIR"] = str(folder / f"run{at}")
        (folder / f"run{at}").mkdir(mode=0o750)


def cluster(one: Member, two: Member, three: Member) -> None:
    two.join(one)
    three.join(one)
    eventually(lambda: any("3 copies of the log" in node.log for node in (one, two, three)))
    one.ctl("add_user", "kept", "pw")
    for node in (one, two, three):
        node.kill()


@pytest.mark.parametrize("first", [True, False], ids=["moved_first", "moved_second"])
def test_two_of_three_start_although_one_is_elsewhere(tmp_path: Path, first: bool) -> None:
    with members(tmp_path, "a", "b", "c") as (a, b, c):
        cluster(a, b, c)
        on_hosts_of_their_own(tmp_path, a, b, c)
        before = ports_of(a, b.name)
        with taken(*before[1:]):
            moved(b)
            order = (b, a) if first else (a, b)
            for node in order:
                node.launch()
                eventually(node.answers)
            for node in order:
                eventually(node.runs)
            have({"guest", "kept"}, a, b)
            a.ctl("add_user", "later", "pw")
            know("later", b)
            eventually(lambda: b.name in str(a.status()["running_nodes"]))
            now = ports_of(b, b.name)
            assert not set(now) & set(before)
            eventually(lambda: ports_of(a, b.name) == now)
            c.begin()  # it looks for both where they were, and is told
            have({"guest", "kept", "later"}, c)
            eventually(lambda: ports_of(c, b.name) == now)


def test_two_that_are_both_elsewhere_find_each_other_at_a_port_of_the_third(
    tmp_path: Path,
) -> None:
    with members(tmp_path, "a", "b", "c") as (a, b, c):
        cluster(a, b, c)
        on_hosts_of_their_own(tmp_path, a, b, c)
        moved(a)
        b.environment["RABBITMQ_DIST_PORT"] = c.environment["RABBITMQ_DIST_PORT"]
        a.launch()
        b.launch()
        eventually(a.runs)
        eventually(b.runs)
        have({"guest", "kept"}, a, b)
        eventually(lambda: ports_of(a, b.name) == ports_of(b, b.name))


def test_who_waits_says_where_it_looks(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b", "c") as (a, b, c):
        cluster(a, b, c)
        port = ports_of(a, b.name)[0]
        a.launch()
        eventually(lambda: f"{b.name} is looked for at localhost:{port}" in a.log)


def test_the_only_disc_member_is_elsewhere(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (disc, ram):
        ram.join(disc, "--ram")
        disc.ctl("add_user", "kept", "pw")
        ram.kill()
        disc.kill()
        on_hosts_of_their_own(tmp_path, disc, ram)
        before = ports_of(ram, disc.name)
        with taken(before[1]):
            moved(disc)
            ram.launch()
            eventually(lambda: f"from: {disc.name}" in ram.log)
            disc.begin()
            eventually(ram.runs)
            have({"guest", "kept"}, ram)
            assert ports_of(ram, disc.name) != before
