"""Quorum queues: their replicas, and what is in them.

Decides which queues an operation is about, how many replicas it leaves, and how far each replica is
said to be. Which members have one, and what adding or taking one away means, is decided in
`copies`. Never moves a message.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mqd.admin import copies, values
from mqd.admin.context import AdminContext
from mqd.admin.copies import copies_of, mirrors_of, shared_log
from mqd.admin.everywhere import others, rows_of
from mqd.admin.homes import at_home, is_down, is_here, is_lost
from mqd.admin.listing import batches
from mqd.admin.values import text
from mqd.amqp import properties
from mqd.amqp.fields import FieldError, Table
from mqd.auth.patterns import InvalidPattern, compile_pattern
from mqd.broker.message import Message
from mqd.broker.queues.base import Queue
from mqd.broker.queues.quorum import QuorumQueue
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import quorum_queues_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

if TYPE_CHECKING:
    from mqd.cluster.fanout.copies import Copy

MACHINE_VERSION: Final = 2  # of the queue's rules, as 3.10.8 counts them
_TERM: Final = 1
_NO_APP: Final = "noproc"  # the state of a copy whose node does not say anything of it
PEEKED_BYTES_MAX: Final = 64
QUEUE_KINDS: Final = ("all", "classic", "quorum", "stream")


def find(ctx: AdminContext, vhost: str, name: str) -> Queue | None:
    """A queue of any kind."""
    found = ctx.broker.vhosts.get(vhost)
    return found.queues.get(name) if found is not None else None


def not_found() -> MqdError:
    """The word that scripts look for."""
    return MqdError(ErrorCode.NOT_FOUND, "not_found")


def node_not_running() -> MqdError:
    """A replica cannot go to a node that is not there."""
    return MqdError(ErrorCode.UNAVAILABLE, "node_not_running")


def _quorum(ctx: AdminContext, vhost: str, name: str, refusal: str) -> Queue:
    """The queue. refusal: what is said of one of another kind, which {kind} stands for."""
    queue = find(ctx, vhost, name)
    if queue is None or is_lost(ctx, queue):
        raise not_found()
    if queue.definition.type != "quorum":
        raise MqdError(ErrorCode.PRECONDITION_FAILED, refusal.format(kind=queue.definition.type))
    return queue


def _target(ctx: AdminContext, vhost: str, name: str, refusal: str) -> Queue:
    """The same, for verbs that say where they looked; one that nobody leads is not found."""
    queue = find(ctx, vhost, name)
    if queue is None or is_down(ctx, queue):
        raise MqdError(ErrorCode.NOT_FOUND, f"Target queue was not found in virtual host '{vhost}'")
    return _quorum(ctx, vhost, name, refusal)


def _served(queue: Queue) -> QuorumQueue:
    """One that this node serves."""
    assert isinstance(queue, QuorumQueue)
    return queue


def matching(
    ctx: AdminContext,
    vhost_pattern: str,
    queue_pattern: str,
    kinds: tuple[str, ...],
    counts: Callable[[Queue], bool] = lambda queue: True,
) -> Iterator[Queue]:
    """Queues of these kinds that count, whose names, and whose vhosts' names, match.

    Raises INVALID_ARGUMENT where there is one to try a pattern on (observed: 3.10.8).
    """
    for name in sorted(ctx.broker.vhosts):
        queues = ctx.broker.vhosts[name].queues
        for key in sorted(queues):
            queue = queues[key]
            if queue.definition.type not in kinds or not counts(queue):
                continue
            if _matches(vhost_pattern, name) and _matches(queue_pattern, key):
                yield queue


def _matches(pattern: str, name: str) -> bool:
    try:
        compiled = compile_pattern(pattern)
    except InvalidPattern as error:
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT,
            f"'{pattern}' is no regular expression: {error.reason} (at {error.offset})",
        ) from None
    return compiled.search(name.encode("utf-8", "surrogateescape")) is not None


async def status(ctx: AdminContext, request: pb.QuorumStatus) -> AsyncIterator[pb.QuorumStatusRows]:
    """A row for each replica. Raises NOT_FOUND, PRECONDITION_FAILED.

    The log's index counts from the node's start where the queue is this node's alone: what was
    recovered then came at once.
    """
    queue = _quorum(ctx, request.vhost, request.queue, "Cannot get quorum status of a {kind} queue")
    logs = shared_log(ctx, queue)
    if logs is not None:
        members = copies_of(ctx, queue).members
        looked = await logs.look(queue.definition)
        found = [copy for copy in looked if copy.node in members]
    elif is_here(ctx, queue):
        from mqd.cluster.fanout.copies import Copy  # not at the start of a node alone

        index = _served(queue).log_index
        found = [Copy(ctx.node.name, "leader", index, index, _TERM)]
    elif is_down(ctx, queue):
        raise not_found()
    else:
        async for batch in rows_of(ctx, queue.home, "QuorumQueues.Status", request):
            yield batch
        return
    down = await _down(ctx, found)
    rows = (_status_row(copy, copy.node in down) for copy in found)
    for batch in batches(rows, lambda chunk: pb.QuorumStatusRows(rows=chunk)):
        yield batch


async def _down(ctx: AdminContext, found: Sequence[Copy]) -> Collection[str]:
    """Of these, the nodes whose process does not answer: their app may only be stopped."""
    silent = [copy.node for copy in found if copy.state == _NO_APP]
    answers = await ctx.node.membership.survey(ctx.node.app_state) if silent else {}
    return [node for node in silent if answers.get(node) is None]


def _status_row(copy: Copy, is_down: bool) -> pb.QuorumStatusRow:
    state = values.atom(copy.state)
    if is_down:
        state = values.term_tuple((values.atom("nodedown"), values.atom(copy.node)))
    if copy.state == _NO_APP:
        return pb.QuorumStatusRow(node=copy.node, raft_state=state)
    return pb.QuorumStatusRow(
        node=copy.node,
        raft_state=state,
        log_index=copy.log_index,
        commit_index=copy.commit_index,
        snapshot_index="undefined",
        term=copy.term,
        machine_version=MACHINE_VERSION,
    )


async def peek(ctx: AdminContext, request: pb.PeekQuorumQueue) -> pb.PeekReply:
    """A ready message, by its place. Raises NOT_FOUND, PRECONDITION_FAILED."""
    queue = _target(ctx, request.vhost, request.queue, "Cannot peek into a {kind} queue")
    if not is_here(ctx, queue):
        reply: pb.PeekReply = await at_home(ctx, queue, "QuorumQueues.Peek", request)
        return reply
    message = _served(queue).ready_at(request.position - 1)
    if message is None:
        raise MqdError(ErrorCode.NOT_FOUND, "Target queue does not have a message at that position")
    return pb.PeekReply(
        exchange=text(message.exchange),
        routing_key=text(message.routing_key),
        payload=message.body[:PEEKED_BYTES_MAX],
        properties=values.table(_properties(message)),
        delivery_count=message.delivery_count,
    )


def _properties(message: Message) -> Table:
    """Those that are set, as a table in the order of the protocol."""
    try:
        found = properties.decode(message.header)
    except FieldError:
        return {}
    table: Table = {}
    for name in properties.NAMES:
        value = getattr(found, name)
        if isinstance(value, str):
            table[name] = ("longstr", value.encode("utf-8", "surrogateescape"))
        elif isinstance(value, int):
            table[name] = ("timestamp" if name == "timestamp" else "unsignedbyte", value)
        elif value is not None:
            table[name] = ("table", dict(sorted(value.items())))
    return table


async def reclaim_memory(ctx: AdminContext, request: pb.ReclaimQuorumMemory) -> Done:
    """Its backlog keeps only what is delivered next. Raises NOT_FOUND, PRECONDITION_FAILED."""
    queue = _target(
        ctx, request.vhost, request.queue, "This operation is not applicable to {kind} queues"
    )
    if not is_here(ctx, queue):
        done: Done = await at_home(ctx, queue, "QuorumQueues.ReclaimMemory", request)
        return done
    _served(queue).shed()
    return Done()


async def grow(
    ctx: AdminContext, request: pb.GrowQuorumQueues
) -> AsyncIterator[pb.ReplicationRows]:
    """A row for each queue that was to get a replica; none when the target does not run
    (observed: 3.10.8). even: those with an even number of them."""

    def wanted(queue: Queue) -> bool:
        members = copies_of(ctx, queue).members
        fits = request.strategy == "all" or len(members) % 2 == 0
        return fits and request.target not in members

    patterns = (request.vhost_pattern, request.queue_pattern)
    found = matching(ctx, *patterns, ("quorum",), wanted)
    rows = [
        await _changed(ctx, queue, copies.add, request.target)
        for queue in (found if _is_running(ctx, request.target) else ())
    ]
    for batch in batches(
        _shown(rows, request.errors_only), lambda chunk: pb.ReplicationRows(rows=chunk)
    ):
        yield batch


async def grow_to_count(
    ctx: AdminContext, request: pb.GrowQuorumQueuesToCount
) -> AsyncIterator[pb.ReplicationRows]:
    """A row for each queue that has fewer than that, also when there are not enough nodes."""
    rows = []
    for queue in matching(ctx, request.vhost_pattern, request.queue_pattern, ("quorum",)):
        members = copies_of(ctx, queue).members
        skipped = request.strategy != "all" and len(members) % 2
        if skipped or len(members) >= request.count:
            continue
        for node in [ctx.node.name, *others(ctx)]:
            if len(copies_of(ctx, queue).members) < request.count:
                with contextlib.suppress(MqdError):
                    await copies.add(ctx, queue, node)
        size = len(copies_of(ctx, queue).members)
        nodes = len(ctx.node.cluster.members) if ctx.node.cluster is not None else 1
        there = f"{nodes} node" if nodes == 1 else f"{nodes} nodes"
        reason = f"error: the cluster has {there}, {request.count} are needed"
        rows.append(replication(queue, "ok" if size == request.count else reason, size))
    for batch in batches(rows, lambda chunk: pb.ReplicationRows(rows=chunk)):
        yield batch


async def shrink(
    ctx: AdminContext, request: pb.ShrinkQuorumQueues
) -> AsyncIterator[pb.ReplicationRows]:
    """A row for each queue that has a replica there; the last one cannot be taken away."""
    rows = [
        await _changed(ctx, queue, copies.remove, request.target)
        for queue in list(matching(ctx, "", "", ("quorum",)))
        if request.target in copies_of(ctx, queue).members
    ]
    for batch in batches(
        _shown(rows, request.errors_only), lambda chunk: pb.ReplicationRows(rows=chunk)
    ):
        yield batch


def _shown(rows: Sequence[pb.ReplicationRow], errors_only: bool) -> Sequence[pb.ReplicationRow]:
    return [row for row in rows if row.result != "ok"] if errors_only else rows


async def _changed(
    ctx: AdminContext,
    queue: Queue,
    change: Callable[[AdminContext, Queue, str], Awaitable[None]],
    target: str,
) -> pb.ReplicationRow:
    """The row of a queue whose list of members was changed, or could not be."""
    result = "ok"
    try:
        await change(ctx, queue, target)
    except MqdError as error:
        last = "the last node cannot be removed"
        result = f"error: {last if error.detail == 'last_node' else error.detail}"
    return replication(queue, result, len(copies_of(ctx, queue).members))


def _is_running(ctx: AdminContext, node: str) -> bool:
    return node == ctx.node.name or node in others(ctx)


def replication(queue: Queue, result: str, size: int = 1) -> pb.ReplicationRow:
    """A row of growing or shrinking."""
    return pb.ReplicationRow(
        vhost=text(queue.vhost.name), name=text(queue.name), size=size, result=result
    )


async def add_member(ctx: AdminContext, request: pb.AddQuorumMember) -> Done:
    """Where there is one already, nothing happens. Raises NOT_FOUND, PRECONDITION_FAILED,
    UNAVAILABLE."""
    queue = _quorum(ctx, request.vhost, request.queue, "Cannot add members to a {kind} queue")
    if not _is_running(ctx, request.target):
        raise node_not_running()
    await copies.add(ctx, queue, request.target)
    return Done()


async def delete_member(ctx: AdminContext, request: pb.DeleteQuorumMember) -> Done:
    """Where there is none, nothing happens. Raises NOT_FOUND, PRECONDITION_FAILED; UNAVAILABLE
    for the last one."""
    # observed: 3.10.8 speaks of adding here too
    queue = _quorum(ctx, request.vhost, request.queue, "Cannot add members to a {kind} queue")
    await copies.remove(ctx, queue, request.target)
    return Done()


async def transfer_leadership(ctx: AdminContext, request: pb.TransferQuorumLeadership) -> Done:
    """Raises NOT_FOUND, PRECONDITION_FAILED, UNAVAILABLE."""
    refusal = "Cannot transfer leadership of a {kind} queue"
    queue = _target(ctx, request.vhost, request.queue, refusal)
    found, logs = copies_of(ctx, queue), shared_log(ctx, queue)
    if request.target not in found.members:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"queue '{request.queue}' has no replica on {request.target}: add_member adds one",
        )
    if request.target not in found.online:
        raise node_not_running()
    if logs is not None and found.leader != request.target:
        await logs.lead(queue.definition, request.target)
    return Done()


async def critical(ctx: AdminContext, request: pb.CriticalRequest) -> pb.CriticalReply:
    """The queues that would stop with this node."""
    cluster = ctx.node.cluster
    if cluster is None or len(cluster.members) == 1:
        return pb.CriticalReply(alone=True)
    if not request.mirrors and cluster.standing(ctx.node.name).in_maintenance:
        return pb.CriticalReply(in_maintenance=True)
    found = copies.critical_mirrors(ctx) if request.mirrors else copies.critical(ctx)
    return pb.CriticalReply(queues=map(_queue_name, found))


def _queue_name(queue: Queue) -> pb.QueueName:
    return pb.QueueName(vhost=text(queue.vhost.name), name=text(queue.name))


async def force_checkpoint(
    ctx: AdminContext, request: pb.ForceQuorumCheckpoint
) -> AsyncIterator[pb.CheckpointRows]:
    """A queue's state is written down with every commit: there is nothing to force."""
    queues = matching(ctx, request.vhost_pattern, request.queue_pattern, ("quorum",))
    rows = (
        pb.CheckpointRow(vhost=text(queue.vhost.name), name=text(queue.name), result="ok")
        for queue in queues
    )
    for batch in batches(rows, lambda chunk: pb.CheckpointRows(rows=chunk)):
        yield batch


async def rebalance(ctx: AdminContext, request: pb.RebalanceQueues) -> pb.RebalanceReply:
    """Spread the logs over the members that run, and tell how many queues each leads then. Raises
    INVALID_ARGUMENT.

    Streams are no queues whose leaders 3.10.8 would count; of classic queues those with mirrors.
    """
    kinds = {"all": ("quorum", "classic")}.get(request.kind, (request.kind,))

    def counts(queue: Queue) -> bool:
        return queue.definition.type == "quorum" or mirrors_of(ctx, queue) is not None

    patterns = (request.vhost_pattern, request.queue_pattern)
    queues = list(matching(ctx, *patterns, kinds, counts))
    cluster = ctx.node.cluster
    if queues and cluster is not None and cluster.queues is not None:
        await cluster.queues.rebalance()
    leaders = Counter((copies_of(ctx, queue).leader, queue.definition.type) for queue in queues)
    nodes = sorted({node for node, _ in leaders if node is not None})
    return pb.RebalanceReply(
        nodes=[
            pb.Leaders(
                node=node,
                quorum_queues=leaders[node, "quorum"],
                mirrored_queues=leaders[node, "classic"],
            )
            for node in nodes
        ]
    )


async def list_unsynced(ctx: AdminContext, request: pb.ListUnsyncedReplicas) -> pb.QueueNames:
    """None: a copy of a log is whole before it has a vote."""
    return pb.QueueNames()


async def list_leaderless(ctx: AdminContext, request: pb.ListLeaderlessQueues) -> pb.QueueNames:
    """Those of the matching ones that nobody leads. Raises NO_SUCH_VHOST, INVALID_ARGUMENT."""
    if not request.across_all_vhosts and request.vhost not in ctx.broker.vhosts:
        raise MqdError(ErrorCode.NO_SUCH_VHOST, f"Virtual host '{request.vhost}' does not exist")
    found = [
        queue
        for queue in matching(ctx, "", request.pattern, ("quorum",))
        if request.across_all_vhosts or queue.vhost.name == request.vhost
        if copies_of(ctx, queue).leader is None
    ]
    return pb.QueueNames(queues=map(_queue_name, found))
