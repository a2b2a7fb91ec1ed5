"""Streams: their one replica, and how long they keep messages.

Decides what is said of a stream, which has its replica on one member. Never touches its log: the
queue does.

LIMIT: streams are not replicated; what is asked of one is asked of the member that has it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from mqd.admin.context import AdminContext
from mqd.admin.everywhere import others, rows_of
from mqd.admin.homes import is_down
from mqd.admin.listing import batches
from mqd.admin.quorum_queues import find, matching, node_not_running, not_found, replication
from mqd.broker.queues.base import Queue
from mqd.broker.queues.stream import StreamQueue
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import PutQueue
from mqd.policies.values import age_s
from mqd.rpc.v1 import quorum_queues_pb2, values_pb2
from mqd.rpc.v1 import streams_pb2 as pb


def _stream(ctx: AdminContext, vhost: str, name: str, refusal: str) -> Queue:
    """The stream. refusal: what cannot be done with a queue of another kind."""
    queue = find(ctx, vhost, name)
    if queue is None:
        raise not_found()
    kind = queue.definition.type
    if kind != "stream":
        raise MqdError(ErrorCode.PRECONDITION_FAILED, f"{refusal} a {kind} queue")
    return queue


def _no_replica(queue: Queue, node: str) -> MqdError:
    return MqdError(
        ErrorCode.UNAVAILABLE,
        f"stream '{queue.name}' has its one replica on {queue.home}: {node} cannot have one",
    )


def _check_target(ctx: AdminContext, node: str) -> None:
    if node != ctx.node.name and node not in others(ctx):
        raise node_not_running()


async def status(ctx: AdminContext, request: pb.StreamStatus) -> AsyncIterator[pb.StreamStatusRows]:
    """A row for each replica. Raises NOT_FOUND, PRECONDITION_FAILED.

    tracking has none: publishers and readers here are AMQP's, which keep no names in the log.
    """
    stream = _stream(ctx, request.vhost, request.stream, "Cannot get stream status of")
    if not isinstance(stream, StreamQueue):
        if is_down(ctx, stream):
            raise not_found()
        async for batch in rows_of(ctx, stream.home, "Streams.Status", request):
            yield batch
        return
    rows = [] if request.tracking else [_row(ctx, stream)]
    for batch in batches(rows, lambda chunk: pb.StreamStatusRows(rows=chunk)):
        yield batch


def _row(ctx: AdminContext, stream: StreamQueue) -> pb.StreamStatusRow:
    log = stream.log
    return pb.StreamStatusRow(
        role="writer",
        node=ctx.node.name,
        offset=log.next_offset - 1,
        committed_offset=log.next_offset - 1,
        first_offset=log.first_offset,
        readers=len(stream.consumers),
        segments=max(log.segment_count, 1),  # observed: 3.10.8 makes the first one at once
    )


async def add_replica(ctx: AdminContext, request: pb.AddStreamReplica) -> values_pb2.Done:
    """Where there is one already, nothing happens. Raises NOT_FOUND, PRECONDITION_FAILED,
    UNAVAILABLE."""
    stream = _stream(ctx, request.vhost, request.stream, "Cannot add replicas to")
    _check_target(ctx, request.target)
    if request.target != stream.home:
        raise _no_replica(stream, request.target)
    return values_pb2.Done()


async def delete_replica(ctx: AdminContext, request: pb.DeleteStreamReplica) -> values_pb2.Done:
    """Where there is none, nothing happens, unless the stream was to have one only; the last one
    stays. Raises NOT_FOUND, PRECONDITION_FAILED, UNAVAILABLE."""
    stream = _stream(ctx, request.vhost, request.stream, "Cannot delete replicas from")
    _check_target(ctx, request.target)
    wanted = stream.definition.arguments.get("x-initial-cluster-size")
    if request.target != stream.home and (wanted is None or wanted[1] != 1):
        return values_pb2.Done()
    raise MqdError(ErrorCode.UNAVAILABLE, "Cannot delete the last member of a stream")


async def set_retention_policy(
    ctx: AdminContext, request: pb.SetStreamRetentionPolicy
) -> values_pb2.Done:
    """The age is checked first (observed: 3.10.8). Raises INVALID_ARGUMENT, NOT_FOUND."""
    age = age_s(request.age)
    if age is None:
        raise MqdError(ErrorCode.INVALID_ARGUMENT, "invalid_max_age")
    queue = find(ctx, request.vhost, request.stream)
    if queue is None:
        raise not_found()
    if queue.definition.type == "stream":
        definition = ctx.metadata.state.queues[request.vhost, request.stream]
        await ctx.metadata.propose_async(PutQueue(replace(definition, max_age_s=age)))
    return values_pb2.Done()


async def restart(ctx: AdminContext, request: pb.RestartStream) -> values_pb2.Done:
    """Its one replica leads it, and has nothing to restart. Raises NOT_FOUND,
    PRECONDITION_FAILED, UNAVAILABLE."""
    _stream(ctx, request.vhost, request.stream, "Cannot restart")
    if request.preferred_leader_node:
        _check_target(ctx, request.preferred_leader_node)
    return values_pb2.Done()


async def transfer_leadership(
    ctx: AdminContext, request: pb.TransferStreamLeadership
) -> values_pb2.Done:
    """The one replica leads. Raises NOT_FOUND, PRECONDITION_FAILED, UNAVAILABLE."""
    stream = _stream(ctx, request.vhost, request.stream, "Cannot transfer leadership of")
    if request.target != stream.home:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"stream '{request.stream}' has no replica on {request.target}: add_replica adds one",
        )
    return values_pb2.Done()


async def grow(
    ctx: AdminContext, request: pb.GrowStreams
) -> AsyncIterator[quorum_queues_pb2.ReplicationRows]:
    """Every stream keeps its one replica: no rows."""
    for batch in batches((), lambda chunk: quorum_queues_pb2.ReplicationRows(rows=chunk)):
        yield batch


async def shrink(
    ctx: AdminContext, request: pb.ShrinkStreams
) -> AsyncIterator[quorum_queues_pb2.ReplicationRows]:
    """The last replica cannot be taken away, and elsewhere there is none."""
    streams = (q for q in matching(ctx, "", "", ("stream",)) if q.home == request.target)
    reason = "error: the last node cannot be removed"
    for batch in batches(
        (replication(stream, reason) for stream in streams),
        lambda chunk: quorum_queues_pb2.ReplicationRows(rows=chunk),
    ):
        yield batch


async def coordinator_status(
    ctx: AdminContext, request: pb.StreamCoordinatorStatus
) -> AsyncIterator[pb.CoordinatorStatusRows]:
    """This node places all replicas; every stream is an entry of what it decided."""
    count = sum(1 for _ in matching(ctx, "", "", ("stream",)))
    row = pb.CoordinatorStatusRow(
        node=ctx.node.name,
        raft_state="leader",
        log_index=count,
        commit_index=count,
        snapshot_index="undefined",
        term=1,
    )
    for batch in batches([row], lambda chunk: pb.CoordinatorStatusRows(rows=chunk)):
        yield batch
