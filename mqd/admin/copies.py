"""Which members of the cluster have copies of a queue.

Decides what is shown and counted of them: the copies of its log, less those that an operator took
away from it. Never copies a queue (`mqd.cluster.fanout.copies` is the port of those who do).

Theory. Quorum queues share a few replicated logs, so that a copy of one queue can neither be made
nor dropped alone. What add_member and delete_member change is therefore the queue's own list of
members, which begins with those that were there when it was declared: it is what listings show, and
what decides whether the queue counts as in danger. The log keeps its copies, so nothing is ever on
fewer members than the list says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mqd.admin.context import AdminContext
from mqd.broker.queues.base import Queue
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import PutQueue

if TYPE_CHECKING:
    from mqd.cluster.fanout.copies import ClusterQueues, Copies


def shared_log(ctx: AdminContext, queue: Queue) -> ClusterQueues | None:
    """Who knows of the log that holds the queue; None of a queue of one member alone."""
    cluster = ctx.node.cluster
    if cluster is None or queue.definition.shard is None:
        return None
    return cluster.queues


def copies_of(ctx: AdminContext, queue: Queue) -> Copies:
    """Its own list of members, as far as their copies exist."""
    from mqd.cluster.fanout.copies import Copies  # not at the start of a node alone

    cluster, logs = ctx.node.cluster, shared_log(ctx, queue)
    if logs is None:
        home = queue.home
        online = (home,) if cluster is None or home in cluster.running else ()
        return Copies(home if online else None, (home,), online)
    found = all_copies_of(ctx, queue)
    kept = [node for node in found.members if node in queue.definition.members]
    if not kept:
        return found
    return Copies(found.leader, kept, [node for node in found.online if node in kept])


def all_copies_of(ctx: AdminContext, queue: Queue) -> Copies:
    """Those of its log, which it needs to be served, whatever its list says."""
    logs = shared_log(ctx, queue)
    return copies_of(ctx, queue) if logs is None else logs.copies(queue.definition)


def mirrors_of(ctx: AdminContext, queue: Queue) -> Sequence[str] | None:
    """Of a classic queue, the copies that its policy asks for; None when it asks for none. The log
    may have more."""
    asked = dict(queue.policy.definition) if queue.policy is not None else {}
    mode = asked.get("ha-mode")
    if queue.definition.type != "classic" or mode is None or shared_log(ctx, queue) is None:
        return None
    found = copies_of(ctx, queue)
    others, wanted = [node for node in found.online if node != found.leader], asked.get("ha-params")
    if mode == "exactly" and isinstance(wanted, int):
        return others[: max(wanted - 1, 0)]
    if mode == "nodes" and isinstance(wanted, list):
        return [node for node in others if node in wanted]
    return others


def critical(ctx: AdminContext) -> Iterator[Queue]:
    """Quorum queues that would stop with this node, as their lists have it, or for their log."""
    for queue in _queues(ctx, "quorum"):
        if any(
            found.would_lose_quorum(ctx.node.name)
            for found in (copies_of(ctx, queue), all_copies_of(ctx, queue))
        ):
            yield queue


def critical_mirrors(ctx: AdminContext) -> Iterator[Queue]:
    """Mirrored queues that run on this node alone."""
    for queue in _queues(ctx, "classic"):
        leads = copies_of(ctx, queue).leader == ctx.node.name
        if leads and mirrors_of(ctx, queue) == []:
            yield queue


def _queues(ctx: AdminContext, kind: str) -> Iterator[Queue]:
    for _, vhost in sorted(ctx.broker.vhosts.items()):
        for _, queue in sorted(vhost.queues.items()):
            if queue.definition.type == kind:
                yield queue


async def add(ctx: AdminContext, queue: Queue, node: str) -> None:
    """Put a running member into the list; nothing when it is there. Raises UNAVAILABLE."""
    copies = copies_of(ctx, queue)
    if node in copies.members:
        return
    if node not in all_copies_of(ctx, queue).members:
        raise MqdError(
            ErrorCode.UNAVAILABLE, f"{node} has no copy of the log that holds {queue.name}"
        )
    await _put(ctx, queue, (*copies.members, node))


async def remove(ctx: AdminContext, queue: Queue, node: str) -> None:
    """Take it out of the list; nothing when it is not there. Raises UNAVAILABLE for the last."""
    copies = copies_of(ctx, queue)
    if node not in copies.members:
        return
    members = tuple(member for member in copies.members if member != node)
    if not members:
        raise MqdError(ErrorCode.UNAVAILABLE, "last_node")
    await _put(ctx, queue, members)
    logs = shared_log(ctx, queue)
    online = [member for member in copies.online if member != node]
    if logs is not None and copies.leader == node and online:
        with contextlib.suppress(MqdError):  # it leads on, which is no harm
            await logs.lead(queue.definition, online[0])


async def _put(ctx: AdminContext, queue: Queue, members: tuple[str, ...]) -> None:
    definition = ctx.metadata.state.queues[queue.vhost.name, queue.name]
    await ctx.metadata.propose_async(PutQueue(replace(definition, members=members)))
