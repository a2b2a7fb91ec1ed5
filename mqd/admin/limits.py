"""Limits of virtual hosts and of users.

Decides how they are set, merged and listed. A vhost's are one runtime parameter, a user's are part
of the user. Never refuses a client: the broker does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from mqd.admin import json_text, users, vhosts
from mqd.admin.context import AdminContext
from mqd.admin.listing import batches
from mqd.admin.values import text
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import DeleteParameter, Must, PutParameter, PutUser
from mqd.policies.limits import LIMITS, OF_USER, OF_VHOST, VHOST_LIMITS, faults
from mqd.policies.terms import format_json
from mqd.rpc.v1 import limits_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done


async def set_vhost(ctx: AdminContext, request: pb.SetVhostLimits) -> Done:
    """Replace all limits of a vhost. Raises INVALID_ARGUMENT, NO_SUCH_VHOST."""
    limits = json_text.parse(request.definition)
    if limits == []:
        raise json_text.invalid([f"{LIMITS} should be a JSON object"])
    check_vhost_limits(LIMITS, limits)
    await ctx.metadata.propose_async(PutParameter(request.vhost, VHOST_LIMITS, LIMITS, limits))
    return Done()


def check_vhost_limits(name: str, limits: object) -> None:
    """Raises INVALID_ARGUMENT with everything that is wrong. name: of the parameter."""
    if name != LIMITS:  # 3.10.8 fails half-way and keeps a parameter that nothing can clear
        raise json_text.invalid([f"{name} is not recognised, {LIMITS} is the one there is"])
    if limits == []:  # an object without anything, as it is listed
        return
    found = (
        faults(LIMITS, limits, OF_VHOST)
        if isinstance(limits, dict)
        else [f"{LIMITS} not a list {format_json(limits)}"]
    )
    if found:
        raise json_text.invalid(found)


async def clear_vhost(ctx: AdminContext, request: pb.ClearVhostLimits) -> Done:
    """No limits at all. Raises NOT_FOUND when there are none."""
    await ctx.metadata.propose_async(DeleteParameter(request.vhost, VHOST_LIMITS, LIMITS))
    return Done()


async def list_vhost(
    ctx: AdminContext, request: pb.ListVhostLimits
) -> AsyncIterator[pb.VhostLimitRows]:
    """Of one vhost, or of all; one whose limits were emptied has a row among all only (observed:
    3.10.8). Raises NO_SUCH_VHOST."""
    everywhere = bool(getattr(request, "global"))
    if not everywhere:
        vhosts.find(ctx, request.vhost)
    rows = (
        pb.VhostLimitRow(vhost=text(vhost), limits=json_text.show(value))
        for (vhost, component, name), value in sorted(
            ctx.metadata.state.parameters.items(), key=lambda item: item[0]
        )
        if (component, name) == (VHOST_LIMITS, LIMITS)
        and (everywhere or (value and vhost == request.vhost))
    )
    for batch in batches(rows, lambda chunk: pb.VhostLimitRows(rows=chunk)):
        yield batch


async def set_user(ctx: AdminContext, request: pb.SetUserLimits) -> Done:
    """Set those that are named, leave the others. Raises INVALID_ARGUMENT, NO_SUCH_USER."""
    limits = json_text.parse(request.definition)
    found = (
        faults("user-limits", limits, OF_USER)
        if isinstance(limits, dict)
        else [f"user-limits not a list {format_json(limits)}"]
    )
    if found:
        raise MqdError(ErrorCode.INVALID_ARGUMENT, "\n".join(found))
    user = users.find(ctx, request.username)
    await _put(ctx, request.username, {**user.limits, **limits})
    return Done()


async def clear_user(ctx: AdminContext, request: pb.ClearUserLimits) -> Done:
    """Clear one limit or "all"; what is not set is cleared already. Raises NO_SUCH_USER."""
    user = users.find(ctx, request.username)
    cleared = request.limit_type
    left = {} if cleared == "all" else {k: v for k, v in user.limits.items() if k != cleared}
    await _put(ctx, request.username, left)
    return Done()


async def _put(ctx: AdminContext, name: str, limits: dict[str, int]) -> None:
    user = replace(users.find(ctx, name), limits=limits)
    await ctx.metadata.propose_async(PutUser(user, Must.EXIST))


async def list_user(
    ctx: AdminContext, request: pb.ListUserLimits
) -> AsyncIterator[pb.UserLimitRows]:
    """Of one user, who has a row in any case, or of all who have limits. Raises NO_SUCH_USER."""
    if getattr(request, "global"):
        state = ctx.metadata.state
        found = [user for _, user in sorted(state.users.items()) if user.limits]
    else:
        found = [users.find(ctx, request.user)]
    rows = (
        pb.UserLimitRow(user=text(user.name), limits=json_text.show(user.limits)) for user in found
    )
    for batch in batches(rows, lambda chunk: pb.UserLimitRows(rows=chunk)):
        yield batch
