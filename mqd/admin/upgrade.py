"""Maintenance: a node that is emptied of clients before it is stopped, and taken back after.

Decides nothing of how clients are sent away: the node's lifecycle does. What was begun is carried
through, as in `mqd.admin.nodes`.
"""

from __future__ import annotations

import asyncio
import logging

from mqd.admin import quorum_queues
from mqd.admin.context import AdminContext
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import quorum_queues_pb2
from mqd.rpc.v1 import upgrade_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

_log = logging.getLogger(__name__)

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
    await asyncio.shield(ctx.node.drain())
    return Done()


async def revive(ctx: AdminContext, request: pb.ReviveRequest) -> Done:
    """Maintenance mode off; twice is once. Raises UNAVAILABLE."""
    _need_app(ctx)
    await asyncio.shield(ctx.node.revive())
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
    """A node alone has nobody to wait for."""
    return pb.AwaitReplicasReply(alone=True)


async def cluster_size(ctx: AdminContext, request: pb.ClusterSizeRequest) -> pb.ClusterSizeReply:
    """The hint of the configuration, 1 without one."""
    hint = ctx.node.environment.get(_CLUSTER_SIZE)
    return pb.ClusterSizeReply(target=int(str(hint)) if str(hint).isdigit() else 1, members=1)
