"""mqd.admin.queues, and the queue columns of mqd.broker.snapshots."""

from __future__ import annotations

import pytest

from mqd import limits
from mqd.admin import queues
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import queues_pb2 as pb
from tests.unit.admin.stand import Stand, rows

pytestmark = pytest.mark.asyncio


async def listed(stand: Stand, *columns: str, vhost: str = "/") -> list[pb.QueueRow]:
    return await rows(queues.list_(stand.ctx, pb.ListQueues(vhost=vhost, columns=columns)))


async def test_only_the_wanted_columns_are_filled_in() -> None:
    stand = Stand()
    stand.publish(stand.queue("q"))
    (row,) = await listed(stand, "name", "messages")
    assert {field.name: value for field, value in row.ListFields()} == {"name": "q", "messages": 1}


async def test_queues_come_newest_first_and_in_bounded_batches() -> None:
    stand = Stand()
    names = [f"q{number:04}" for number in range(limits.CONTROL_ROWS_MAX + 1)]
    for name in names:
        stand.queue(name)
    request = pb.ListQueues(vhost="/", columns=["name"])
    batches = [batch async for batch in queues.list_(stand.ctx, request)]
    assert [len(batch.rows) for batch in batches] == [limits.CONTROL_ROWS_MAX, 1]
    assert [row.name for batch in batches for row in batch.rows] == names[::-1]


async def test_a_vhost_that_is_missing_or_empty_lists_nothing() -> None:
    stand = Stand()
    assert await listed(stand, vhost="nosuch") == []
    assert [batch async for batch in queues.list_(stand.ctx, pb.ListQueues(vhost="/"))] == []


async def test_nothing_is_offline_on_a_node_that_runs() -> None:
    stand = Stand()
    stand.queue("q")
    assert await rows(queues.list_(stand.ctx, pb.ListQueues(vhost="/", offline=True))) == []
    assert len(await rows(queues.list_(stand.ctx, pb.ListQueues(vhost="/", online=True)))) == 1


async def test_an_unknown_column_is_refused_by_name() -> None:
    with pytest.raises(MqdError, match=r"Info key\(s\) bad,worse are not supported") as caught:
        await listed(Stand(), "name", "bad", "worse")
    assert caught.value.code is ErrorCode.USAGE


async def test_every_declared_column_can_be_asked_for() -> None:
    stand = Stand()
    stand.queue("q")
    (row,) = await listed(stand, *(field.name for field in pb.QueueRow.DESCRIPTOR.fields))
    assert row.name == "q"


async def test_counts_of_ready_and_delivered_messages() -> None:
    stand = Stand()
    queue = stand.queue("q")
    for number in range(3):
        stand.publish(queue, b"x" * 10, persistent=number > 0, timestamp=1_700_000_000 + number)
    channel = stand.channel(stand.connect())
    stand.consume(channel, queue, "t", prefetch=1)
    (row,) = await listed(stand)
    assert (row.messages_ready, row.messages_unacknowledged, row.messages) == (2, 1, 3)
    assert (row.message_bytes_ready, row.message_bytes_unacknowledged) == (20, 10)
    assert (row.message_bytes, row.messages_persistent, row.message_bytes_persistent) == (30, 2, 20)
    assert (row.messages_ready_ram, row.messages_ram) == (2, 3)
    assert row.head_message_timestamp == 1_700_000_001
    assert (row.consumers, row.consumer_utilisation) == (1, 0.0)  # its prefetch is used up
    assert row.memory > 30


async def test_a_durable_queue_and_what_is_undefined_of_it() -> None:
    stand = Stand()
    stand.queue("q", arguments={"x-max-length": ("signedint", 5), "b": ("longstr", b"\xff")})
    (row,) = await listed(stand)
    assert (row.durable, row.exclusive, row.type, row.state) == (True, False, "classic", "running")
    assert [entry.name for entry in row.arguments.entries] == ["x-max-length", "b"]
    assert row.arguments.entries[0].value.signedint == 5
    assert row.arguments.entries[1].value.longstr_bytes == b"\xff"
    for name in ("policy", "owner_pid", "exclusive_consumer_tag", "leader", "slave_pids"):
        assert not row.HasField(name), name


async def test_an_exclusive_queue_names_its_owner_and_is_not_durable() -> None:
    stand = Stand()
    entry = stand.connect()
    queue = stand.queue("q", owner=entry)
    stand.consume(stand.channel(entry), queue, "t", exclusive=True)
    (row,) = await listed(stand)
    assert (row.exclusive, row.durable, row.owner_pid) == (True, False, entry.pid)
    assert row.exclusive_consumer_tag == "t"
    assert row.exclusive_consumer_pid == entry.channels[1].pid


async def test_a_name_that_is_no_utf8_is_listed_all_the_same() -> None:
    stand = Stand()
    stand.queue(b"q\xff".decode("utf-8", "surrogateescape"))
    (row,) = await listed(stand, "name")
    assert row.name == "q\ufffd"


async def test_no_queue_is_unresponsive() -> None:
    stand = Stand()
    stand.queue("q")
    request = pb.ListUnresponsiveQueues(vhost="/", columns=["name"])
    assert await rows(queues.list_unresponsive(stand.ctx, request)) == []


async def test_purge_drops_ready_messages_only() -> None:
    stand = Stand()
    queue = stand.queue("q")
    for _ in range(3):
        stand.publish(queue)
    stand.consume(stand.channel(stand.connect()), queue, "t", prefetch=1)
    reply = await queues.purge(stand.ctx, pb.PurgeQueue(vhost="/", name="q"))
    assert (reply.message_count, queue.ready_count, queue.unacked_count) == (2, 0, 1)


@pytest.mark.parametrize(("vhost", "name"), [("/", "nosuch"), ("nosuch", "q")])
async def test_purge_and_delete_of_what_is_not_there(vhost: str, name: str) -> None:
    stand = Stand()
    stand.queue("q")
    with pytest.raises(MqdError, match=r"^not_found$") as purged:
        await queues.purge(stand.ctx, pb.PurgeQueue(vhost=vhost, name=name))
    with pytest.raises(MqdError) as deleted:
        await queues.delete(stand.ctx, pb.DeleteQueue(vhost=vhost, name=name))
    assert purged.value.code is deleted.value.code is ErrorCode.NOT_FOUND


async def test_delete_says_how_many_messages_went() -> None:
    stand = Stand()
    queue = stand.queue("q")
    stand.publish(queue)
    reply = await queues.delete(stand.ctx, pb.DeleteQueue(vhost="/", name="q"))
    assert reply.message_count == 1
    assert queue.deleted
    assert "q" not in stand.broker.vhosts["/"].queues


async def test_a_refused_delete_leaves_the_queue_and_says_in_use_first() -> None:
    stand = Stand()
    queue = stand.queue("q")
    stand.publish(queue)
    request = pb.DeleteQueue(vhost="/", name="q", if_empty=True)
    with pytest.raises(MqdError) as not_empty:
        await queues.delete(stand.ctx, request)
    assert not_empty.value.code is ErrorCode.PRECONDITION_FAILED
    stand.consume(stand.channel(stand.connect()), queue, "t", prefetch=1)
    stand.publish(queue)
    request.if_unused = True
    with pytest.raises(MqdError) as in_use:
        await queues.delete(stand.ctx, request)
    assert in_use.value.code is ErrorCode.RESOURCE_LOCKED
    assert stand.broker.vhosts["/"].queues["q"] is queue
