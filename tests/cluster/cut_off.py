"""A member that is cut off, with cluster_partition_handling, on networks of their own (root).

    python -m tests.cluster.cut_off

Decides what is done to three members and what each must say or do within which time; the process
stays in the switch's network, so a test runs it as a child. Exit 1 and why when one does not.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path

from tests.cluster.trio import Member, Trio, why_no_cells
from tests.waiting import eventually

_CONFIG = "cluster_partition_handling = pause_minority\ndisk_free_limit.absolute = 1MB\n"


class Broken(Exception):
    """Something did not come to be."""


def partitions(member: Member) -> dict[str, list[str]]:
    found: dict[str, list[str]] = member.status()["partitions"]
    return found


def play(trio: Trio) -> None:
    one, two, three = trio.members
    assert trio.lab is not None
    for member in trio:
        member.configure(_CONFIG)
    trio.start()
    trio.await_whole()
    for cell in ("con1", "con2"):
        trio.lab.do("cut", cell, "con3")
    eventually(lambda: not three.answers())
    two.ctl("add_user", "meanwhile", "x")
    eventually(lambda: one.answers() and two.answers())  # the majority goes on
    if partitions(three) or partitions(one):
        raise Broken("nobody can tell that the other side runs")
    trio.lab.do("heal")
    eventually(three.answers)
    trio.await_whole()
    trio.lab.do("cut", "con1", "con3")
    both = {one.name: [three.name], three.name: [one.name]}
    eventually(lambda: partitions(two) == both)
    words = ("-q", "cluster_status")
    told = f"Node {one.name} cannot communicate with {three.name}"
    eventually(lambda: told in one.ctl(*words))
    eventually(lambda: one.answers() and three.answers())  # both have a majority
    trio.lab.do("heal")
    trio.await_whole()
    three.kill()
    eventually(lambda: three.name not in str(running(one)))
    if partitions(one):
        raise Broken("a dead process is called a partition")


def running(member: Member) -> list[str]:
    found: list[str] = member.status()["running_nodes"]
    return found


def main() -> int:
    if why := why_no_cells():
        print(why)
        return 2
    with tempfile.TemporaryDirectory(prefix="cut-off-") as folder:
        trio = Trio("mqd", Path(folder), cells=True)
        try:
            play(trio)
        except (Broken, RuntimeError, TimeoutError, AssertionError):
            traceback.print_exc()
            return 1
        finally:
            trio.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
