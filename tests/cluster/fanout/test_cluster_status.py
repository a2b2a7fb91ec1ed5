"""The report on the cluster: one out of the members' own."""

from __future__ import annotations

import pytest

from mqd.admin import cluster, evaluation
from mqd.rpc.v1 import cluster_pb2, evaluation_pb2
from tests.cluster.fanout.stands import A, B, C, Stands

pytestmark = pytest.mark.asyncio

STATUS = cluster_pb2.ClusterStatusRequest()


async def test_every_member_that_runs_tells_of_itself() -> None:
    stands = Stands(A, B, C)
    stands[B].node.in_maintenance = True
    stands[C].broker.set_alarm("disk", True)
    stands.meshes.run()
    reply = await stands.run(cluster.status(stands[A].ctx, STATUS))
    assert (sorted(reply.disk_nodes), list(reply.ram_nodes)) == ([A, B], [C])
    assert set(reply.running_nodes) == {A, B, C}
    assert {version.node for version in reply.versions} == {A, B, C}
    assert {listener.node for listener in reply.listeners} == {A, B, C}
    assert [entry.node for entry in reply.maintenance if entry.under_maintenance] == [B]
    assert [(alarm.resource, alarm.node) for alarm in reply.alarms] == [("disk", C)]


async def test_a_member_that_is_down_is_a_member_all_the_same() -> None:
    stands = Stands(A, B)
    stands.stop(B)
    reply = await stands.run(cluster.status(stands[A].ctx, STATUS))
    assert (sorted(reply.disk_nodes), list(reply.running_nodes)) == ([A, B], [A])
    assert [version.node for version in reply.versions] == [A]


async def test_nodes_are_awaited() -> None:
    stands = Stands(A, B)
    request = cluster_pb2.AwaitOnlineNodesRequest(count=2)
    assert await stands.run(cluster.await_online_nodes(stands[A].ctx, request))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("rabbit_mnesia:cluster_nodes(ram).", [C]),
        ("rabbit_mnesia:cluster_nodes(all).", [A, B, C]),
        ("rabbit_mnesia:is_clustered().", True),
        ("rabbit_mnesia:node_type().", "ram"),
        ("length(nodes()).", 2),
    ],
)
async def test_expressions_know_the_members(expression: str, value: object) -> None:
    stands = Stands(A, B, C)
    request = evaluation_pb2.EvalRequest(expression=expression)
    reply = await stands.run(evaluation.evaluate(stands[C].ctx, request))
    kind = reply.value.WhichOneof("kind")
    found = getattr(reply.value, kind)
    assert ([item.atom for item in found.items] if kind == "list" else found) == value
