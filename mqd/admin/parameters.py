"""Runtime parameters, of virtual hosts and of the cluster.

Decides which components there are and which of them may be set here: policies have verbs of their
own and are not set as parameters; operator policies are set, cleared and listed among them
(observed: 3.10.8). Never decides what one does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from mqd.admin import json_text, operator_parameters, vhosts
from mqd.admin.context import AdminContext
from mqd.admin.limits import check_vhost_limits
from mqd.admin.listing import batches
from mqd.admin.values import text
from mqd.definitions.checks import AS_OBJECT
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import (
    DeleteGlobalParameter,
    DeleteParameter,
    PutGlobalParameter,
    PutParameter,
)
from mqd.policies.limits import VHOST_LIMITS
from mqd.policies.model import OPERATOR_POLICY, POLICY
from mqd.rpc.v1 import parameters_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

Json = Any


def _limits(name: str, value: Json) -> Json:
    check_vhost_limits(name, value)
    return value


# component -> what checks a value of it, and makes what is kept
_COMPONENTS: Final[Mapping[str, Callable[[str, Json], Json]]] = MappingProxyType(
    {VHOST_LIMITS: _limits, OPERATOR_POLICY: operator_parameters.checked}
)


def _not_this_way(done: str) -> MqdError:
    return MqdError(ErrorCode.INVALID_ARGUMENT, f"policies may not be {done} using this method")


async def set_(ctx: AdminContext, request: pb.SetParameter) -> Done:
    """Set or replace. Raises INVALID_ARGUMENT (JSON, component, value), NO_SUCH_VHOST."""
    if request.component == POLICY:
        raise _not_this_way("set")
    value = json_text.parse(request.value)
    check = _COMPONENTS.get(request.component)
    if check is None:
        raise json_text.invalid([f"component {request.component} not found"])
    kept = check(request.name, value)
    await ctx.metadata.propose_async(
        PutParameter(request.vhost, request.component, request.name, kept)
    )
    ctx.broker.turn.end()
    return Done()


async def clear(ctx: AdminContext, request: pb.ClearParameter) -> Done:
    """Forget it. Raises NOT_FOUND."""
    if request.component == POLICY:
        raise _not_this_way("cleared")
    await ctx.metadata.propose_async(
        DeleteParameter(request.vhost, request.component, request.name)
    )
    ctx.broker.turn.end()
    return Done()


async def list_(ctx: AdminContext, request: pb.ListParameters) -> AsyncIterator[pb.ParameterRows]:
    """Rows of a vhost but for its policies, by component and name; operator policies are among
    them. Raises NO_SUCH_VHOST."""
    vhosts.find(ctx, request.vhost)
    rows = (
        pb.ParameterRow(component=text(component), name=text(name), value=_shown(component, value))
        for (vhost, component, name), value in sorted(
            ctx.metadata.state.parameters.items(), key=lambda item: item[0]
        )
        if vhost == request.vhost and component != POLICY
    )
    for batch in batches(rows, lambda chunk: pb.ParameterRows(rows=chunk)):
        yield batch


def _shown(component: str, value: Json) -> str:
    """An operator policy set by its verb has its names in another order than an imported one."""
    if component != OPERATOR_POLICY:
        return json_text.show_parameter(value)
    if AS_OBJECT in value:
        return json_text.show({key: one for key, one in value.items() if key != AS_OBJECT})
    keys = ("pattern", "definition", "priority", "apply-to")
    return f"{{{','.join(f'{json_text.show(key)}:{json_text.show(value[key])}' for key in keys)}}}"


async def set_global(ctx: AdminContext, request: pb.SetGlobalParameter) -> Done:
    """Set or replace; any JSON value. Raises INVALID_ARGUMENT."""
    value = json_text.parse(request.value)
    await ctx.metadata.propose_async(PutGlobalParameter(request.name, value))
    return Done()


async def clear_global(ctx: AdminContext, request: pb.ClearGlobalParameter) -> Done:
    """Forget it. Raises NOT_FOUND."""
    await ctx.metadata.propose_async(DeleteGlobalParameter(request.name))
    return Done()


async def list_global(
    ctx: AdminContext, request: pb.ListGlobalParameters
) -> AsyncIterator[pb.GlobalParameterRows]:
    """Rows of the cluster, by name."""
    found = sorted(ctx.metadata.state.global_parameters.items(), key=lambda item: item[0])
    rows = (
        pb.GlobalParameterRow(name=text(name), value=json_text.show_parameter(value))
        for name, value in found
    )
    for batch in batches(rows, lambda chunk: pb.GlobalParameterRows(rows=chunk)):
        yield batch
