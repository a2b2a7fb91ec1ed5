"""Mirrored classic queues, and the policies that ask for them.

Decides which policies those are, and what is said of a queue whose messages are in a shared log,
which are on its mirrors when they are anywhere. Never mirrors a queue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Final

from mqd.admin.context import AdminContext
from mqd.admin.copies import mirrors_of
from mqd.admin.homes import is_lost
from mqd.admin.listing import batches
from mqd.admin.policies import row
from mqd.admin.quorum_queues import find, not_found
from mqd.admin.values import text
from mqd.broker.queues.base import Queue
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import DeleteParameter, PutParameter
from mqd.policies.model import OPERATOR_POLICY, POLICY, Policy, policy_of
from mqd.rpc.v1 import mirroring_pb2 as pb
from mqd.rpc.v1.policies_pb2 import PolicyRows
from mqd.rpc.v1.values_pb2 import Done

KEYS: Final = frozenset(
    (
        "ha-mode",
        "ha-params",
        "ha-promote-on-failure",
        "ha-promote-on-shutdown",
        "ha-sync-batch-size",
        "ha-sync-mode",
    )
)


async def sync(ctx: AdminContext, request: pb.SyncQueue) -> Done:
    """Mirrors never lag. Raises NOT_FOUND, PRECONDITION_FAILED."""
    if mirrors_of(ctx, _checked(ctx, request)) is None:
        raise MqdError(ErrorCode.PRECONDITION_FAILED, "not_mirrored")
    return Done()


async def cancel_sync(ctx: AdminContext, request: pb.SyncQueue) -> pb.CancelSyncReply:
    """Nothing is under way. Raises NOT_FOUND, PRECONDITION_FAILED."""
    _checked(ctx, request)
    return pb.CancelSyncReply(cancelled=False)


def _checked(ctx: AdminContext, request: pb.SyncQueue) -> Queue:
    queue = find(ctx, request.vhost, request.queue)
    if queue is None:
        raise not_found()
    if is_lost(ctx, queue):
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"home node '{queue.home}' of durable queue '{queue.name}' in vhost "
            f"'{request.vhost}' is down or inaccessible",
        )
    if queue.kind != "classic":
        raise MqdError(ErrorCode.PRECONDITION_FAILED, f"{queue.kind}_queue_not_supported")
    return queue


def _mirroring(ctx: AdminContext, component: str) -> Iterator[tuple[str, Policy]]:
    """Policies of that component that ask for mirrors, with their vhosts, in order."""
    for (vhost, kind, name), value in sorted(
        ctx.metadata.state.parameters.items(), key=lambda item: item[0]
    ):
        if kind == component:
            policy = policy_of(name, value)
            if "ha-mode" in policy.definition:
                yield vhost, policy


async def list_policies(
    ctx: AdminContext, request: pb.ListMirroringPolicies
) -> AsyncIterator[PolicyRows]:
    """Rows of all vhosts."""
    rows = (row(vhost, policy) for vhost, policy in _mirroring(ctx, POLICY))
    for batch in batches(rows, lambda chunk: PolicyRows(rows=chunk)):
        yield batch


async def list_operator_policies(
    ctx: AdminContext, request: pb.ListMirroringPolicies
) -> AsyncIterator[PolicyRows]:
    """The same."""
    rows = (row(vhost, policy) for vhost, policy in _mirroring(ctx, OPERATOR_POLICY))
    for batch in batches(rows, lambda chunk: PolicyRows(rows=chunk)):
        yield batch


async def check(ctx: AdminContext, request: pb.CheckMirroringPolicies) -> pb.MirroringPolicies:
    """Both kinds."""
    return pb.MirroringPolicies(
        policies=[
            pb.MirroringPolicy(
                vhost=text(vhost), name=text(policy.name), operator=component == OPERATOR_POLICY
            )
            for component in (POLICY, OPERATOR_POLICY)
            for vhost, policy in _mirroring(ctx, component)
        ]
    )


async def remove_from_policies(
    ctx: AdminContext, request: pb.RemoveMirroring
) -> pb.MirroringPolicies:
    """A policy that says nothing else is deleted. Returns those that were changed."""
    found = await check(ctx, pb.CheckMirroringPolicies())
    for component in (POLICY, OPERATOR_POLICY):
        for vhost, policy in list(_mirroring(ctx, component)):
            kept = {key: value for key, value in policy.definition.items() if key not in KEYS}
            await ctx.metadata.propose_async(
                PutParameter(
                    vhost, component, policy.name, replace(policy, definition=kept).value()
                )
                if kept
                else DeleteParameter(vhost, component, policy.name)
            )
    ctx.broker.turn.end()
    return found
