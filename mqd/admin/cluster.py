"""The cluster: who its members are and what each of them is.

Decides what a cluster of this one node looks like. Never lets anyone join or leave.
"""

from __future__ import annotations

import asyncio
from typing import Final

from mqd.admin import feature_flags, reports
from mqd.admin.context import AdminContext
from mqd.metadata.commands import PutGlobalParameter
from mqd.rpc.v1 import cluster_pb2 as pb
from mqd.rpc.v1 import values_pb2

CLUSTER_NAME: Final = "cluster_name"  # the global parameter that holds it


async def status(ctx: AdminContext, request: pb.ClusterStatusRequest) -> pb.ClusterStatusReply:
    """Members by type, which of them run, and their state."""
    node = ctx.node
    name = ctx.metadata.state.global_parameters.get(CLUSTER_NAME, node.cluster_name_default)
    return pb.ClusterStatusReply(
        cluster_name=str(name),
        disk_nodes=[node.name],
        running_nodes=[node.name],
        versions=[
            pb.NodeVersion(
                node=node.name,
                product_name=reports.PRODUCT,
                product_version=node.version,
                runtime_version=reports.ERLANG_VERSION,
            )
        ],
        maintenance=[pb.NodeMaintenance(node=node.name, under_maintenance=node.in_maintenance)],
        alarms=reports.alarms(ctx),
        listeners=reports.listeners(ctx),
        feature_flags=feature_flags.rows(),
    )


async def await_online_nodes(
    ctx: AdminContext, request: pb.AwaitOnlineNodesRequest
) -> values_pb2.Done:
    """Return when that many members run; until the caller's deadline otherwise."""
    if request.count > 1:
        await asyncio.get_running_loop().create_future()  # nobody can join: the deadline ends it
    return values_pb2.Done()


async def set_name(ctx: AdminContext, request: pb.SetClusterName) -> values_pb2.Done:
    """Name the cluster, for people and for federation."""
    await ctx.metadata.propose_async(PutGlobalParameter(CLUSTER_NAME, request.name))
    return values_pb2.Done()
