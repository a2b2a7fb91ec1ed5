"""`mqd.cluster.queues.placing`: which member a new queue is to live on."""

from __future__ import annotations

import pytest

from mqd.broker.definitions import QueueDefinition
from mqd.cluster.queues.placing import place
from tests.cluster.queues.worlds import Cluster

MEMBERS = ["b", "a", "c"]
THERE = [QueueDefinition(n, "/", f"q{n}", node=node) for n, node in enumerate("aabbbc", 1)]


def placed(kind: str, argument: str | None, here: str = "b") -> str:
    arguments = {}
    if argument is not None:
        key = "x-queue-master-locator" if kind == "classic" else "x-queue-leader-locator"
        arguments[key] = ("longstr", argument.encode())
    wanted = QueueDefinition(9, "/", "new", arguments=arguments, type=kind)
    return place(wanted, None, here, MEMBERS, THERE, lambda count: count - 1)


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_where_its_client_is(kind: str) -> None:
    assert placed(kind, None) == "b"
    assert placed(kind, "client-local") == "b"


@pytest.mark.parametrize(
    ("kind", "locator"),
    [("classic", "min-masters"), ("quorum", "balanced"), ("stream", "least-leaders")],
)
def test_where_the_fewest_are(kind: str, locator: str) -> None:
    assert placed(kind, locator) == "c"


@pytest.mark.parametrize(("kind", "locator"), [("classic", "random"), ("quorum", "random")])
def test_anywhere(kind: str, locator: str) -> None:
    assert placed(kind, locator) == "c"


def test_this_node_among_those_with_the_fewest() -> None:
    wanted = QueueDefinition(
        9, "/", "new", arguments={"x-queue-master-locator": ("longstr", b"min-masters")}
    )
    assert place(wanted, None, "b", MEMBERS, [], lambda count: 0) == "b"


def test_homes_are_the_same_on_every_member() -> None:
    cluster = Cluster("a", "b")
    client = cluster["a"].connect()
    client.declare("one", durable=True)
    homes = [cluster["a"].broker.vhosts["/"].queues["one"].home]
    locator = {"x-queue-master-locator": "min-masters"}
    for name in ("two", "three"):
        client.declare(name, durable=True, arguments=locator)
        homes.append(cluster["a"].broker.vhosts["/"].queues[name].home)
    assert homes == ["a", "b", "a"]
