"""The cluster: who its members are and what each of them is.

Decides what is told of the members, and what this one asks the others for it. Never lets anyone
join or leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from mqd.admin import feature_flags, reports
from mqd.admin.context import AdminContext
from mqd.admin.everywhere import ask, others
from mqd.metadata.commands import RAM, PutGlobalParameter
from mqd.rpc.v1 import cluster_pb2 as pb
from mqd.rpc.v1 import values_pb2
from mqd.rpc.v1.explain_pb2 import Explanation

CLUSTER_NAME: Final = "cluster_name"  # the global parameter that holds it
_STATUS: Final = "Cluster.Status"


async def status(ctx: AdminContext, request: pb.ClusterStatusRequest) -> pb.ClusterStatusReply:
    """Members by type, which of them run, and their state; a member that does not tell its own in
    time is left out of what it would have told."""
    node = ctx.node
    name = ctx.metadata.state.global_parameters.get(CLUSTER_NAME, node.cluster_name_default)
    disk, ram = _members(ctx)
    away = _newest_first(ctx, others(ctx))
    reply = pb.ClusterStatusReply(
        cluster_name=str(name),
        disk_nodes=disk,
        ram_nodes=ram,
        running_nodes=[*away, node.name],
        alarms=reports.alarms(ctx),
        feature_flags=feature_flags.rows(),
    )
    answers = await asyncio.gather(*(ask(ctx, each, _STATUS, request) for each in away))
    for told in (*answers, _own(ctx)):
        if told is not None:
            reply.versions.extend(told.versions)
            reply.maintenance.extend(told.maintenance)
            reply.listeners.extend(told.listeners)
            reply.partitions.extend(told.partitions)
    return reply


def _own(ctx: AdminContext) -> pb.ClusterStatusReply:
    """What each member tells of itself alone."""
    node = ctx.node
    return pb.ClusterStatusReply(
        versions=[
            pb.NodeVersion(
                node=node.name,
                product_name=reports.PRODUCT,
                product_version=node.version,
                runtime_version=reports.ERLANG_VERSION,
            )
        ],
        maintenance=[pb.NodeMaintenance(node=node.name, under_maintenance=node.in_maintenance)],
        partitions=_partitions(ctx),
        listeners=reports.listeners(ctx),
    )


def _members(ctx: AdminContext) -> tuple[list[str], list[str]]:
    """Disc members in the order in which they joined, ram members the other way round, as 3.10.8
    lists them."""
    cluster = ctx.node.cluster
    if cluster is None or not cluster.members:
        return [ctx.node.name], []
    members = cluster.members
    names = _newest_first(ctx, members)
    disk = [name for name in names[::-1] if members[name].kind != RAM]
    return disk, [name for name in names if members[name].kind == RAM]


def _newest_first(ctx: AdminContext, names: Iterable[str]) -> list[str]:
    members = ctx.node.cluster.members if ctx.node.cluster is not None else {}
    return sorted(
        names, key=lambda name: members[name].number if name in members else 0, reverse=True
    )


def _partitions(ctx: AdminContext) -> list[pb.Partition]:
    """Members that this node lost while it ran and that ran on."""
    lost = ctx.node.membership.partitions if ctx.node.cluster is not None else ()
    return [pb.Partition(node=ctx.node.name, unreachable=lost)] if lost else []


async def await_online_nodes(
    ctx: AdminContext, request: pb.AwaitOnlineNodesRequest
) -> values_pb2.Done:
    """Return when that many members run; until the caller's deadline otherwise."""
    await ctx.node.membership.reached(request.count - 1)
    return values_pb2.Done()


async def explain(ctx: AdminContext, request: pb.ExplainCluster) -> Explanation:
    """What is true of each member, and what helps."""
    from mqd.admin.cluster_advice import advise  # rare, and knows the cluster's parts

    return advise(str(ctx.node.name), await ctx.node.membership.survey(ctx.node.app_state))


async def set_name(ctx: AdminContext, request: pb.SetClusterName) -> values_pb2.Done:
    """Name the cluster, for people and for federation."""
    await ctx.metadata.propose_async(PutGlobalParameter(CLUSTER_NAME, request.name))
    return values_pb2.Done()
