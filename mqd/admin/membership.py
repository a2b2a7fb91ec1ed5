"""Who belongs to the cluster: this node, and nobody else.

Decides what is said to a node that is told to join, to leave or to become another kind of member.

LIMIT: no node joins another in this version.
"""

from __future__ import annotations

from mqd.admin.context import AdminContext, AppState
from mqd.admin.elixir import atom
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import membership_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done


async def join(ctx: AdminContext, request: pb.JoinCluster) -> Done:
    """Raises PRECONDITION_FAILED for the node itself, UNAVAILABLE for any other."""
    raise _no_cluster(ctx, request.target)


async def update_nodes(ctx: AdminContext, request: pb.UpdateClusterNodes) -> Done:
    """Raises as `join`."""
    raise _no_cluster(ctx, request.target)


def _no_cluster(ctx: AdminContext, target: str) -> MqdError:
    if target == ctx.node.name:
        text = f"Error: cannot cluster node with itself: {target}"
        return MqdError(ErrorCode.PRECONDITION_FAILED, text)
    return MqdError(
        ErrorCode.UNAVAILABLE,
        f"clustering is not available in this version of mqd: {ctx.node.name} cannot share a "
        f"cluster with {target}",
    )


async def change_type(
    ctx: AdminContext, request: pb.ChangeClusterNodeType
) -> pb.ChangeClusterNodeTypeReply:
    """A node alone keeps its metadata on disc. Raises UNAVAILABLE when it shall not."""
    if request.kind == "ram":
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            "{:not_clustered, 'Non-clustered nodes can only be disc nodes.'}",
        )
    return pb.ChangeClusterNodeTypeReply(changed=False)


async def forget(ctx: AdminContext, request: pb.ForgetClusterNode) -> Done:
    """There is nobody who could be forgotten. Raises NOT_FOUND, UNAVAILABLE."""
    if request.target != ctx.node.name:
        raise MqdError(
            ErrorCode.NOT_FOUND,
            "{:not_a_cluster_node, 'The node selected is not in the cluster.'}",
        )
    if ctx.node.app_state is AppState.RUNNING:
        reason = "{:combine_error, :schema, 'Last replica'}"
        raise MqdError(
            ErrorCode.UNAVAILABLE, f"{{:failed_to_remove_node, {atom(request.target)}, {reason}}}"
        )
    raise MqdError(
        ErrorCode.UNAVAILABLE,
        "{:offline_node_no_offline_flag, 'You are trying to remove a node from an offline node. "
        "That is dangerous, but can be done with the --offline flag. Please consult the manual for "
        "rabbitmqctl for more information.'}",
    )


async def stand_alone(ctx: AdminContext, request: pb.StandAloneRequest) -> Done:
    """It does."""
    return Done()
