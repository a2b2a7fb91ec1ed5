"""Every verb in every situation answers as documented: exit code, stream, shape; see `walk.py`.

The default run takes each verb once and some of the formats of each case; MQD_WALK=full
(`make walk`) takes each verb under each tool that has it, in every format.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.ctl import walk
from tests.nodes import Node

FULL = os.environ.get("MQD_WALK") == "full"
VERBS = walk.verbs(FULL)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, walk.Place]]:
    """By situation: a node that runs, one whose application is stopped, one that is not there."""
    up = Node(tmp_path_factory.mktemp("up"), "up")
    halted = Node(tmp_path_factory.mktemp("halted"), "halted")
    gone = walk.Place(Node(tmp_path_factory.mktemp("gone"), "gone"), app=False)
    with up, halted:
        up.await_control()
        halted.await_control()
        running, stopped = walk.Place(up, app=True), walk.Place(halted, app=False)
        for place in (running, stopped):
            place.restore()
        yield dict.fromkeys(walk.SITUATIONS, running) | {"stopped": stopped, "down": gone}
        running.hang_up()


@pytest.mark.timeout(600 if FULL else 300)
@pytest.mark.parametrize(
    ("scope", "verb"), VERBS, ids=[f"{walk.TOOLS[scope]} {verb}" for scope, verb in VERBS]
)
def test_walk(places: dict[str, walk.Place], scope: int, verb: str) -> None:
    steps = walk.Walk(scope, verb, FULL)
    found = []
    for situation in walk.SITUATIONS:
        place = places[situation]
        for case in steps.cases(situation):
            filled = case._replace(argv=["-q", *map(place.fill, case.argv)])
            answer = place.call(scope, filled.argv)
            found += [f"{filled}: {fault}: {answer}" for fault in walk.judge(filled, answer)]
            if situation in ("ok", "stopped"):
                place.restore()
    assert not found, "\n".join(found)
