"""mqd.admin.streams: what is said of streams that have their only replica here."""

from __future__ import annotations

import pytest

from mqd.admin import streams
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import PutQueue, decode, encode
from mqd.rpc.v1 import streams_pb2 as pb
from tests.unit.admin.stand import NODE, Stand, rows

pytestmark = pytest.mark.asyncio


@pytest.fixture
def stand() -> Stand:
    stand = Stand()
    stand.queue("sq", kind="stream")
    stand.queue("cq")
    return stand


async def test_a_stream_is_counted_by_offsets(stand: Stand) -> None:
    async def listed() -> tuple[int, ...]:
        request = pb.StreamStatus(vhost="/", stream="sq")
        (row,) = await rows(streams.status(stand.ctx, request))
        assert (row.role, row.node) == ("writer", NODE)
        return row.offset, row.committed_offset, row.first_offset, row.readers, row.segments

    assert await listed() == (-1, -1, 0, 0, 1)
    stream = stand.broker.vhosts["/"].queues["sq"]
    for _ in range(3):
        stand.publish(stream)
    channel = stand.channel(stand.connect())
    channel.prefetch_count = 10
    stand.consume(channel, stream, "tag", prefetch=10)
    assert await listed() == (2, 2, 0, 1, 1)


async def test_nothing_is_tracked(stand: Stand) -> None:
    request = pb.StreamStatus(vhost="/", stream="sq", tracking=True)
    assert await rows(streams.status(stand.ctx, request)) == []


@pytest.mark.parametrize(
    ("stream", "target", "code", "text"),
    [
        ("nosuch", NODE, ErrorCode.NOT_FOUND, "not_found"),
        ("cq", NODE, ErrorCode.PRECONDITION_FAILED, "Cannot delete replicas from a classic queue"),
        ("sq", "other@host", ErrorCode.UNAVAILABLE, "node_not_running"),
        ("sq", NODE, ErrorCode.UNAVAILABLE, "Cannot delete the last member of a stream"),
    ],
)
async def test_replicas_that_cannot_go(
    stand: Stand, stream: str, target: str, code: ErrorCode, text: str
) -> None:
    request = pb.DeleteStreamReplica(vhost="/", stream=stream, target=target)
    with pytest.raises(MqdError) as caught:
        await streams.delete_replica(stand.ctx, request)
    assert (caught.value.code, caught.value.detail) == (code, text)


async def put(stand: Stand, arguments: dict[str, tuple[str, bytes]]) -> None:
    """As a client's declare does, with the metadata that the stand's broker leaves out."""
    queue = stand.queue("kept", kind="stream", arguments=arguments)
    stand.metadata.propose_now(PutQueue(queue.definition))


async def test_an_operators_age_goes_before_arguments(stand: Stand) -> None:
    await put(stand, {"x-max-age": ("longstr", b"1h")})
    stream = stand.broker.vhosts["/"].queues["kept"]
    assert stream.log.rules[1] == 3600
    request = pb.SetStreamRetentionPolicy(vhost="/", stream="kept", age="2D")
    await streams.set_retention_policy(stand.ctx, request)
    assert stream.log.rules[1] == 2 * 86_400
    command = stand.metadata.proposed[-1]
    assert decode(encode(command)) == command
    assert stream is stand.broker.vhosts["/"].queues["kept"]


@pytest.mark.parametrize(("stream", "age"), [("sq", "bogus"), ("nosuch", "1x"), ("sq", "0s")])
async def test_ages_are_looked_at_first(stand: Stand, stream: str, age: str) -> None:
    request = pb.SetStreamRetentionPolicy(vhost="/", stream=stream, age=age)
    with pytest.raises(MqdError, match=r"^invalid_max_age$"):
        await streams.set_retention_policy(stand.ctx, request)


async def test_a_queue_of_another_kind_has_no_age(stand: Stand) -> None:
    before = len(stand.metadata.proposed)
    request = pb.SetStreamRetentionPolicy(vhost="/", stream="cq", age="1D")
    await streams.set_retention_policy(stand.ctx, request)
    assert len(stand.metadata.proposed) == before


async def test_shrinking_names_every_stream(stand: Stand) -> None:
    (row,) = await rows(streams.shrink(stand.ctx, pb.ShrinkStreams(target=NODE)))
    assert (row.name, row.result) == ("sq", "error: the last node cannot be removed")
    assert await rows(streams.shrink(stand.ctx, pb.ShrinkStreams(target="other@host"))) == []


async def test_the_coordinator_leads_alone(stand: Stand) -> None:
    request = pb.StreamCoordinatorStatus()
    (row,) = await rows(streams.coordinator_status(stand.ctx, request))
    assert (row.node, row.raft_state, row.log_index) == (NODE, "leader", 1)
