"""Maintenance: a node that is emptied of clients before it is stopped, and taken back after.

Decides that the other members hear of it and that queues are led by them. Nothing of how clients
are sent away: the node's lifecycle does. What was begun is carried through, as in
`mqd.admin.nodes`.
"""

from __future__ import annotations

import asyncio
import logging

from mqd.admin import copies, quorum_queues
from mqd.admin.context import AdminContext
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import quorum_queues_pb2
from mqd.rpc.v1 import upgrade_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

_log = logging.getLogger(__name__)

_POLL_S = 0.5
_CLUSTER_SIZE = "cluster_formation.target_cluster_size_hint"


def _need_app(ctx: AdminContext) -> None:
    if ctx.node.broker is None:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"the broker application is stopped on node {ctx.node.name}: start it with "
            "'rabbitmqctl start_app'",
        )


async def drain(ctx: AdminContext, request: pb.DrainRequest) -> Done:
    """Maintenance mode on; twice is once. Raises UNAVAILABLE."""
    _need_app(ctx)
    await asyncio.shield(_drain(ctx))
    return Done()


async def _drain(ctx: AdminContext) -> None:
    await ctx.node.drain()
    cluster = ctx.node.cluster
    if cluster is not None:
        cluster.tell_standing()
        if cluster.queues is not None:
            await cluster.queues.hand_over()


async def revive(ctx: AdminContext, request: pb.ReviveRequest) -> Done:
    """Maintenance mode off; twice is once. Raises UNAVAILABLE."""
    _need_app(ctx)
    await asyncio.shield(ctx.node.revive())
    cluster = ctx.node.cluster
    if cluster is not None:
        cluster.tell_standing()
        if cluster.queues is not None:
            cluster.queues.take_back()
    return Done()


async def post_upgrade(
    ctx: AdminContext, request: pb.PostUpgradeRequest
) -> quorum_queues_pb2.RebalanceReply:
    """Leaders are where they were: there is one node."""
    _log.info("Executing post upgrade tasks")
    return await quorum_queues.rebalance(ctx, quorum_queues_pb2.RebalanceQueues(kind="all"))


async def await_replicas(
    ctx: AdminContext, request: pb.AwaitReplicasRequest
) -> pb.AwaitReplicasReply:
    """Return when no quorum queue would lose its quorum, or no mirrored queue its last copy,
    without this node; the caller's deadline is the only bound. A node alone has nobody to wait
    for."""
    cluster = ctx.node.cluster
    if cluster is None or len(cluster.members) == 1:
        return pb.AwaitReplicasReply(alone=True)
    critical = copies.critical_mirrors if request.mirrors else copies.critical
    while any(critical(ctx)):  # noqa: ASYNC110 - logs tell nobody
        await asyncio.sleep(_POLL_S)
    return pb.AwaitReplicasReply()


async def cluster_size(ctx: AdminContext, request: pb.ClusterSizeRequest) -> pb.ClusterSizeReply:
    """The hint of the configuration, 1 without one."""
    hint = ctx.node.environment.get(_CLUSTER_SIZE)
    cluster = ctx.node.cluster
    members = len(cluster.members) if cluster is not None else 1
    return pb.ClusterSizeReply(target=int(str(hint)) if str(hint).isdigit() else 1, members=members)
