"""The cluster: who its members are and what each of them is.

Decides how the members' own reports become one. Never lets anyone join or leave.
"""

from __future__ import annotations

import asyncio
from typing import Final

from mqd.admin import feature_flags, reports
from mqd.admin.context import AdminContext
from mqd.admin.everywhere import ask, others
from mqd.metadata.commands import PutGlobalParameter
from mqd.rpc.v1 import cluster_pb2 as pb
from mqd.rpc.v1 import values_pb2

CLUSTER_NAME: Final = "cluster_name"  # the global parameter that holds it
_POLL_S: Final = 0.2


async def status(ctx: AdminContext, request: pb.ClusterStatusRequest) -> pb.ClusterStatusReply:
    """Members by type, which of them run, and their state as each of them tells it.

    Of one that runs and does not answer only the name is known.
    """
    node, cluster = ctx.node, ctx.node.cluster
    name = ctx.metadata.state.global_parameters.get(CLUSTER_NAME, node.cluster_name_default)
    reply = pb.ClusterStatusReply(
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
    if cluster is not None and not ctx.relayed:
        members = sorted(cluster.members.values(), key=lambda member: member.name)
        reply.disk_nodes[:] = [member.name for member in members if member.kind == "disc"]
        reply.ram_nodes[:] = [member.name for member in members if member.kind == "ram"]
        reply.running_nodes[:] = cluster.running
        await _ask_others(ctx, request, reply)
    return reply


async def _ask_others(
    ctx: AdminContext, request: pb.ClusterStatusRequest, reply: pb.ClusterStatusReply
) -> None:
    """All at once: one that hangs must not hold up the rest."""
    asked = [ask(ctx, node, "Cluster.Status", request) for node in others(ctx)]
    for theirs in await asyncio.gather(*asked):
        if theirs is not None:
            reply.versions.extend(theirs.versions)
            reply.maintenance.extend(theirs.maintenance)
            reply.listeners.extend(theirs.listeners)


async def await_online_nodes(
    ctx: AdminContext, request: pb.AwaitOnlineNodesRequest
) -> values_pb2.Done:
    """Return when that many members run; until the caller's deadline otherwise."""
    while request.count > 1 + len(others(ctx)):  # noqa: ASYNC110 - links tell nobody here
        await asyncio.sleep(_POLL_S)
    return values_pb2.Done()


async def set_name(ctx: AdminContext, request: pb.SetClusterName) -> values_pb2.Done:
    """Name the cluster, for people and for federation."""
    await ctx.metadata.propose_async(PutGlobalParameter(CLUSTER_NAME, request.name))
    return values_pb2.Done()
