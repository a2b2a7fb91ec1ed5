"""Who belongs to the cluster: joining, leaving, and what one node is asked by another.

Decides what is refused before the node or anybody else is bothered. The work is the node's
(`NodeControl`, `MembershipControl`).
"""

from __future__ import annotations

from mqd.admin import membership_words as words
from mqd.admin.context import AdminContext, AppState
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import membership_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done


async def probe(ctx: AdminContext, request: pb.ProbeMember) -> pb.MemberFacts:
    """Who is this, and of which cluster."""
    return ctx.node.membership.facts(ctx.node.app_state)


async def admit(ctx: AdminContext, request: pb.AdmitMember) -> pb.AdmitMemberReply:
    """Make the node that asks a member."""
    return await ctx.node.membership.admit(request.member, request.again, request.former)


async def withdraw(ctx: AdminContext, request: pb.WithdrawMember) -> Done:
    """Strike the node that asks out."""
    await ctx.node.membership.withdraw(request.name, request.incarnation)
    return Done()


async def move(ctx: AdminContext, request: pb.MoveMember) -> Done:
    """Write down where the node that asks is reached."""
    await ctx.node.membership.move(request.member)
    return Done()


async def copy(ctx: AdminContext, request: pb.CopyMetadata) -> pb.MetadataCopy:
    """All metadata, for the member that asks."""
    return await ctx.node.membership.copy(request.cluster_id, lambda: ctx.node.app_state)


async def join(ctx: AdminContext, request: pb.JoinCluster) -> pb.JoinClusterReply:
    """Raises PRECONDITION_FAILED for the node itself, NOT_FOUND for one that does not answer,
    UNAVAILABLE for everything else that hinders."""
    _check_other(ctx, request.target)
    joined = await ctx.node.join(request.target, "ram" if request.ram else "disc")
    return pb.JoinClusterReply(already_member=not joined)


async def update_nodes(ctx: AdminContext, request: pb.UpdateClusterNodes) -> Done:
    """Raises as `join`."""
    _check_other(ctx, request.target)
    await ctx.node.membership.update_nodes(request.target)
    return Done()


def _check_other(ctx: AdminContext, target: str) -> None:
    if target == ctx.node.name:
        text = f"Error: cannot cluster node with itself: {target}"
        raise MqdError(ErrorCode.PRECONDITION_FAILED, text)


async def change_type(
    ctx: AdminContext, request: pb.ChangeClusterNodeType
) -> pb.ChangeClusterNodeTypeReply:
    """Disc or ram. Raises UNAVAILABLE when it cannot be."""
    changed = await ctx.node.change_type("ram" if request.kind == "ram" else "disc")
    return pb.ChangeClusterNodeTypeReply(changed=changed)


async def forget(ctx: AdminContext, request: pb.ForgetClusterNode) -> Done:
    """Strike out a member that is down. Raises NOT_FOUND, UNAVAILABLE."""
    membership = ctx.node.membership
    known = {each.name for each in membership.facts(ctx.node.app_state).members}
    if request.target not in known | {str(ctx.node.name)}:
        raise words.not_a_member()
    if ctx.node.app_state is not AppState.RUNNING:
        raise words.offline_node()
    if len(known) < 2:
        raise words.last_replica(request.target)
    await membership.forget(request.target)
    return Done()


async def stand_alone(ctx: AdminContext, request: pb.StandAloneRequest) -> Done:
    """It does."""
    return Done()
