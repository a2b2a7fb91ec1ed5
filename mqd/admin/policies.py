"""Policies and operator policies.

Decides the order of the checks of a new one: JSON, then everything that is wrong with it at once,
then the virtual host (observed: 3.10.8). Never decides what a policy matches or does:
`mqd.policies` and the broker do.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

from mqd.admin import json_text, vhosts
from mqd.admin.context import AdminContext
from mqd.admin.listing import batches
from mqd.admin.values import text
from mqd.definitions.checks import pattern_fault
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import DeleteParameter, PutParameter
from mqd.policies.model import OPERATOR_POLICY, POLICY, REFUSED_BY, Policy, policy_of
from mqd.policies.validation import faults
from mqd.rpc.v1 import policies_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

_log = logging.getLogger(__name__)
_NO_KIND = "undefined"  # of one that was set as a parameter and does not say (observed: 3.10.8)


async def set_(ctx: AdminContext, request: pb.SetPolicy) -> Done:
    """Set or replace. Raises INVALID_ARGUMENT, NO_SUCH_VHOST."""
    return await _set(ctx, request, POLICY)


async def set_operator(ctx: AdminContext, request: pb.SetOperatorPolicy) -> Done:
    """Set or replace; it may only say what limits others. Raises as `set_`."""
    return await _set(ctx, request, OPERATOR_POLICY)


async def _set(
    ctx: AdminContext, request: pb.SetPolicy | pb.SetOperatorPolicy, component: str
) -> Done:
    policy = _checked(request, operator=component == OPERATOR_POLICY)
    await ctx.metadata.propose_async(
        PutParameter(request.vhost, component, request.name, policy.value())
    )
    ctx.broker.turn.end()
    _log.info(
        "Successfully set %s '%s' matching %s names in virtual host '%s' using pattern '%s'",
        component.replace("_", " "),
        policy.name,
        policy.apply_to,
        request.vhost,
        policy.pattern,
    )
    return Done()


def _checked(request: pb.SetPolicy | pb.SetOperatorPolicy, *, operator: bool) -> Policy:
    definition = json_text.parse_object(request.definition, "definition")
    found = faults(definition, request.apply_to, pattern_fault(request.pattern), operator=operator)
    if found:
        raise json_text.invalid(found)
    return Policy(request.name, request.pattern, definition, request.priority, request.apply_to)


async def clear(ctx: AdminContext, request: pb.ClearPolicy) -> Done:
    """What it applied to is as if it had never been. Raises NOT_FOUND."""
    return await _clear(ctx, request, POLICY)


async def clear_operator(ctx: AdminContext, request: pb.ClearOperatorPolicy) -> Done:
    """The same. Raises NOT_FOUND."""
    return await _clear(ctx, request, OPERATOR_POLICY)


async def _clear(
    ctx: AdminContext, request: pb.ClearPolicy | pb.ClearOperatorPolicy, component: str
) -> Done:
    await ctx.metadata.propose_async(DeleteParameter(request.vhost, component, request.name))
    ctx.broker.turn.end()
    return Done()


async def list_(ctx: AdminContext, request: pb.ListPolicies) -> AsyncIterator[pb.PolicyRows]:
    """Rows of a vhost, by name. Raises NO_SUCH_VHOST."""
    rows = _rows(ctx, request.vhost, POLICY)
    for batch in batches(rows, lambda chunk: pb.PolicyRows(rows=chunk)):
        yield batch


async def list_operator(
    ctx: AdminContext, request: pb.ListOperatorPolicies
) -> AsyncIterator[pb.OperatorPolicyRows]:
    """The same."""
    rows = _rows(ctx, request.vhost, OPERATOR_POLICY)
    for batch in batches(rows, lambda chunk: pb.OperatorPolicyRows(rows=chunk)):
        yield batch


async def list_matching(
    ctx: AdminContext, request: pb.ListMatchingPolicies
) -> AsyncIterator[pb.PolicyRows]:
    """Rows of the policies that fit an object, the one that applies first.

    Raises NO_SUCH_VHOST, NOT_FOUND, INVALID_ARGUMENT when there is no such type of object.
    """
    vhosts.find(ctx, request.vhost)
    live = ctx.broker.vhosts[request.vhost]
    matching = live.policies.matching
    if request.object_type == "queue":
        queue = live.queues.get(request.name)
        kind = queue.kind if queue is not None else ""
        refused = REFUSED_BY.get(kind, ())
        found, known = matching(POLICY, "queue", request.name, refused, kind), queue is not None
    elif request.object_type == "exchange":
        found, known = matching(POLICY, "exchange", request.name), request.name in live.exchanges
    else:
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT,
            f"'{request.object_type}' is no type of object: use queue or exchange",
        )
    if not known:
        raise MqdError(
            ErrorCode.NOT_FOUND,
            f"no {request.object_type} '{request.name}' in vhost '{request.vhost}'",
        )
    rows = [row(request.vhost, policy) for policy in found]
    for batch in batches(rows, lambda chunk: pb.PolicyRows(rows=chunk)):
        yield batch


def _rows(ctx: AdminContext, vhost: str, component: str) -> Iterator[pb.PolicyRow]:
    vhosts.find(ctx, vhost)
    found = [
        policy_of(name, {"apply-to": _NO_KIND, **value})
        for (place, kind, name), value in ctx.metadata.state.parameters.items()
        if place == vhost and kind == component
    ]
    return (row(vhost, policy) for policy in sorted(found, key=lambda policy: policy.name))


def row(vhost: str, policy: Policy) -> pb.PolicyRow:
    """A policy of a vhost as it is listed."""
    return pb.PolicyRow(
        vhost=text(vhost),
        name=text(policy.name),
        pattern=text(policy.pattern),
        apply_to=policy.apply_to,
        definition=json_text.show(policy.definition),
        priority=policy.priority,
    )
