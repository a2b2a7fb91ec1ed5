"""mqd.admin.upgrade: maintenance mode and what comes after an upgrade."""

from __future__ import annotations

import pytest

from mqd.admin import upgrade
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import upgrade_pb2 as pb
from tests.unit.admin.stand import NODE, Stand

pytestmark = pytest.mark.asyncio


async def test_the_node_does_it() -> None:
    stand = Stand()
    await upgrade.drain(stand.ctx, pb.DrainRequest())
    await upgrade.revive(stand.ctx, pb.ReviveRequest())
    assert stand.node.calls == [("drain",), ("revive",)]


async def test_a_stopped_application_has_no_clients_to_send_away() -> None:
    stand = Stand()
    stand.node.broker = None
    with pytest.raises(MqdError, match=r"application is stopped .* start_app") as caught:
        await upgrade.drain(stand.ctx, pb.DrainRequest())
    assert caught.value.code is ErrorCode.UNAVAILABLE  # not APP_STOPPED: the banner is printed
    assert stand.node.calls == []


async def test_leaders_are_shown_after_an_upgrade() -> None:
    stand = Stand()
    stand.queue("qq", kind="quorum")
    reply = await upgrade.post_upgrade(stand.ctx, pb.PostUpgradeRequest())
    assert [(each.node, each.quorum_queues) for each in reply.nodes] == [(NODE, 1)]


@pytest.mark.parametrize(("hint", "target"), [(None, 1), (3, 3), ("5", 5), ("", 1)])
async def test_the_clusters_size_is_compared_with_the_hint(hint: object, target: int) -> None:
    stand = Stand()
    if hint is not None:
        stand.node.environment = {"cluster_formation.target_cluster_size_hint": hint}
    reply = await upgrade.cluster_size(stand.ctx, pb.ClusterSizeRequest())
    assert (reply.target, reply.members) == (target, 1)


async def test_a_node_alone_has_nobody_to_wait_for() -> None:
    reply = await upgrade.await_replicas(Stand().ctx, pb.AwaitReplicasRequest())
    assert reply.alone
