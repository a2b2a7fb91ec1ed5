"""Quorum queues: their replicas, and what is in them.

Decides what is said of a queue that has all its replicas on this one node: which it is told to get
elsewhere, which it is told to lose. Never moves a message.

LIMIT: no node joins another in this version, so every queue has one replica, which leads it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

from mqd.admin import values
from mqd.admin.context import AdminContext
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

MACHINE_VERSION: Final = 2  # of the queue's rules, as 3.10.8 counts them
_TERM: Final = 1
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


def _quorum(ctx: AdminContext, vhost: str, name: str, refusal: str) -> QuorumQueue:
    """The queue. refusal: what is said of one of another kind, which {kind} stands for."""
    queue = find(ctx, vhost, name)
    if queue is None:
        raise not_found()
    if not isinstance(queue, QuorumQueue):
        raise MqdError(ErrorCode.PRECONDITION_FAILED, refusal.format(kind=queue.kind))
    return queue


def _target(ctx: AdminContext, vhost: str, name: str, refusal: str) -> QuorumQueue:
    """The same, for verbs that say where they looked."""
    if find(ctx, vhost, name) is None:
        raise MqdError(ErrorCode.NOT_FOUND, f"Target queue was not found in virtual host '{vhost}'")
    return _quorum(ctx, vhost, name, refusal)


def matching(
    ctx: AdminContext, vhost_pattern: str, queue_pattern: str, kinds: tuple[str, ...]
) -> Iterator[Queue]:
    """Queues of these kinds whose names, and whose vhosts' names, match.

    Raises INVALID_ARGUMENT.
    """
    patterns = []
    for pattern in (vhost_pattern, queue_pattern):
        try:
            patterns.append(compile_pattern(pattern))
        except InvalidPattern as error:
            raise MqdError(
                ErrorCode.INVALID_ARGUMENT,
                f"'{pattern}' is no regular expression: {error.reason} (at {error.offset})",
            ) from None
    of_vhosts, of_queues = patterns
    for name in sorted(ctx.broker.vhosts):
        if of_vhosts.search(_bytes(name)):
            queues = ctx.broker.vhosts[name].queues
            for queue in sorted(queues):
                if queues[queue].kind in kinds and of_queues.search(_bytes(queue)):
                    yield queues[queue]


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


async def status(ctx: AdminContext, request: pb.QuorumStatus) -> AsyncIterator[pb.QuorumStatusRows]:
    """A row for each replica. Raises NOT_FOUND, PRECONDITION_FAILED.

    The log's index counts from the node's start: what was recovered then came at once.
    """
    queue = _quorum(ctx, request.vhost, request.queue, "Cannot get quorum status of a {kind} queue")
    row = pb.QuorumStatusRow(
        node=ctx.node.name,
        raft_state="leader",
        log_index=queue.log_index,
        commit_index=queue.log_index,
        snapshot_index="undefined",
        term=_TERM,
        machine_version=MACHINE_VERSION,
    )
    for batch in batches([row], lambda chunk: pb.QuorumStatusRows(rows=chunk)):
        yield batch


async def peek(ctx: AdminContext, request: pb.PeekQuorumQueue) -> pb.PeekReply:
    """A ready message, by its place. Raises NOT_FOUND, PRECONDITION_FAILED."""
    queue = _target(ctx, request.vhost, request.queue, "Cannot peek into a {kind} queue")
    message = queue.ready_at(request.position - 1)
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
    queue.shed()
    return Done()


async def grow(
    ctx: AdminContext, request: pb.GrowQuorumQueues
) -> AsyncIterator[pb.ReplicationRows]:
    """Every queue has its replica here, and there is no other node (see LIMIT): no rows."""
    for batch in batches((), lambda chunk: pb.ReplicationRows(rows=chunk)):
        yield batch


async def grow_to_count(
    ctx: AdminContext, request: pb.GrowQuorumQueuesToCount
) -> AsyncIterator[pb.ReplicationRows]:
    """A row for each queue that would have to get more than there are nodes for."""
    found = matching(ctx, request.vhost_pattern, request.queue_pattern, ("quorum",))
    missing = request.count - 1
    queues = list(found) if missing > 0 and request.strategy == "all" else []
    reason = f"error: the cluster has 1 node, {request.count} are needed"
    for batch in batches(
        (replication(queue, reason) for queue in queues),
        lambda chunk: pb.ReplicationRows(rows=chunk),
    ):
        yield batch


async def shrink(
    ctx: AdminContext, request: pb.ShrinkQuorumQueues
) -> AsyncIterator[pb.ReplicationRows]:
    """The last replica cannot be taken away, and elsewhere there is none."""
    queues = matching(ctx, "", "", ("quorum",)) if request.target == ctx.node.name else iter(())
    reason = "error: the last node cannot be removed"
    for batch in batches(
        (replication(queue, reason) for queue in queues),
        lambda chunk: pb.ReplicationRows(rows=chunk),
    ):
        yield batch


def replication(queue: Queue, result: str) -> pb.ReplicationRow:
    """A row of growing or shrinking."""
    return pb.ReplicationRow(
        vhost=text(queue.vhost.name), name=text(queue.name), size=1, result=result
    )


async def add_member(ctx: AdminContext, request: pb.AddQuorumMember) -> Done:
    """Where there is one already, nothing happens. Raises NOT_FOUND, PRECONDITION_FAILED,
    UNAVAILABLE."""
    _quorum(ctx, request.vhost, request.queue, "Cannot add members to a {kind} queue")
    if request.target != ctx.node.name:
        raise node_not_running()
    return Done()


async def delete_member(ctx: AdminContext, request: pb.DeleteQuorumMember) -> Done:
    """Where there is none, nothing happens. Raises NOT_FOUND, PRECONDITION_FAILED; UNAVAILABLE
    for the last one."""
    # observed: 3.10.8 speaks of adding here too
    _quorum(ctx, request.vhost, request.queue, "Cannot add members to a {kind} queue")
    if request.target == ctx.node.name:
        raise MqdError(ErrorCode.UNAVAILABLE, "last_node")
    return Done()


async def transfer_leadership(ctx: AdminContext, request: pb.TransferQuorumLeadership) -> Done:
    """The one replica leads. Raises NOT_FOUND, PRECONDITION_FAILED, UNAVAILABLE."""
    _target(ctx, request.vhost, request.queue, "Cannot transfer leadership of a {kind} queue")
    if request.target != ctx.node.name:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"queue '{request.queue}' has no replica on {request.target}: add_member adds one",
        )
    return Done()


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
    """All leaders are on this node, which is told. Raises INVALID_ARGUMENT.

    Streams are no queues whose leaders 3.10.8 would count; classic queues have no replicas.
    """
    kinds = ("quorum",) if request.kind in ("all", "quorum") else ()
    count = sum(1 for _ in matching(ctx, request.vhost_pattern, request.queue_pattern, kinds))
    if not count:
        return pb.RebalanceReply()
    return pb.RebalanceReply(nodes=[pb.Leaders(node=ctx.node.name, quorum_queues=count)])


async def list_unsynced(ctx: AdminContext, request: pb.ListUnsyncedReplicas) -> pb.QueueNames:
    """None: a lone replica has nobody to catch up with."""
    return pb.QueueNames()


async def list_leaderless(ctx: AdminContext, request: pb.ListLeaderlessQueues) -> pb.QueueNames:
    """None of those that match: a lone replica leads. Raises NO_SUCH_VHOST, INVALID_ARGUMENT."""
    if not request.across_all_vhosts and request.vhost not in ctx.broker.vhosts:
        raise MqdError(ErrorCode.NO_SUCH_VHOST, f"Virtual host '{request.vhost}' does not exist")
    list(matching(ctx, "", request.pattern, ("quorum",)))  # refuses what is no expression
    return pb.QueueNames()
