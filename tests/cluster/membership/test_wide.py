"""Clusters other than three nodes at 127.0.0.1: more members, and IPv6."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster.membership.members import Member, know, members, unstarted
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

_LONG_S = 180.0
_COPIES = " copies of the log of changes"


def knows(node: Member, running: int) -> bool:
    code, said, _ = node.call("-q", "cluster_status", "--formatter", "json")
    return code == 0 and len(set(node.status()["running_nodes"])) == running if said else False


def test_five_disc_members_and_two_ram_ones(tmp_path: Path) -> None:
    """Two of five may be lost, a third one not; whoever is back has what came since."""
    with members(tmp_path, *"abcdefg") as nodes:
        first, *others = nodes
        discs, rams = nodes[:5], nodes[5:]
        for node in others:
            node.join(first, *(["--ram"] if node in rams else []))
        eventually(lambda: copies_told(discs) == 5, _LONG_S)
        kinds = {"disk_nodes": {node.name for node in discs}, "ram_nodes": {n.name for n in rams}}
        for kind, names in kinds.items():
            eventually(lambda kind=kind, names=names: set(rams[1].status()[kind]) == names)
        rams[0].ctl("add_user", "by_ram", "pw")
        know("by_ram", *nodes)
        for node in discs[:2]:
            node.kill()
        discs[4].ctl("add_user", "by_three_of_five", "pw")
        know("by_three_of_five", rams[1])
        discs[2].kill()
        code, _, error = discs[3].call("add_user", "by_two", "pw")
        assert code in (69, 75), error  # refused, or not known yet
        assert "majority of the disc nodes" in error
        for node in discs[:3]:
            node.launch()
        for node in discs[:3]:
            eventually(node.runs)
            know("by_ram", node)
            know("by_three_of_five", node)
        eventually(lambda: knows(rams[0], 7))
        discs[1].ctl("stop_app")
        discs[0].ctl("forget_cluster_node", discs[1].name)
        eventually(lambda: copies_told(discs) == 3, _LONG_S)
        discs[0].ctl("add_user", "by_four", "pw")
        rest = [node for node in nodes if node is not discs[1]]
        know("by_four", *rest)
        for node in rest:  # in the generation that this began
            node.kill()
        for node in reversed(rest):
            node.launch()
        for node in rest:
            eventually(node.runs, _LONG_S)
        eventually(lambda: knows(rams[0], 6), _LONG_S)
        know("by_four", *rest)


def copies_told(nodes: Sequence[Member]) -> int:
    """Of the log of changes, by the newest line of all logs that tells of them."""
    lines = [line for node in nodes for line in node.log.splitlines() if line.endswith(_COPIES)]
    return int(max(lines).removesuffix(_COPIES).rpartition(" ")[2]) if lines else 0


@pytest.mark.parametrize("interface", ["", "::1"])
def test_links_and_routes_by_ipv6(tmp_path: Path, interface: str) -> None:
    """interface "": all addresses."""
    if not _has_ipv6():
        pytest.skip("no IPv6 loopback")
    config = f"distribution.listener.interface = {interface}\n" if interface else ""
    with unstarted(tmp_path, "a", "b", "c", config=config) as nodes:
        for node in nodes:
            node.name = node.name.replace("localhost", "::1")
            node.environment["RABBITMQ_NODENAME"] = node.name
            node.begin()
        one, two, three = nodes
        two.join(one)
        three.join(two)
        eventually(lambda: copies_told(nodes) == 3, _LONG_S)
        eventually(lambda: f"linked to node {two.name} at ::1:" in one.log)
        one.kill()
        two.ctl("add_user", "by_two", "pw")
        one.begin()
        know("by_two", one)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
