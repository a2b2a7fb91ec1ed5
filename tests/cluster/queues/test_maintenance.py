"""New queues keep away from members in maintenance, where a locator leaves the choice."""

from __future__ import annotations

from tests.cluster.queues.worlds import Cluster


def test_no_queue_is_placed_on_a_member_in_maintenance() -> None:
    cluster = Cluster("a", "b", "c")
    here = cluster["a"].connect()
    cluster["a"].queues.rests = lambda node: node == "b"
    for number in range(6):
        arguments = {"x-queue-master-locator": "min-masters"}
        here.declare(f"q{number}", durable=True, arguments=arguments)
    cluster.commit()
    homes = [queue.home for queue in cluster["a"].broker.vhosts["/"].queues.values()]
    assert sorted(set(homes)) == ["a", "c"]
