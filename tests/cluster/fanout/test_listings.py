"""Listings of a cluster: each member's rows, asked for on any of them."""

from __future__ import annotations

import asyncio

import pytest

from mqd.admin import bindings, channels, connections, consumers, queues
from mqd.broker.definitions import QueueDefinition
from mqd.metadata.commands import PutQueue
from mqd.rpc.v1 import bindings_pb2, channels_pb2, connections_pb2, consumers_pb2, queues_pb2
from tests.cluster.fanout.logs import Logs
from tests.cluster.fanout.stands import A, B, C, Stands

pytestmark = pytest.mark.asyncio

NAMES = ["name", "state", "pid", "type", "messages"]


def listed(**options: object) -> queues_pb2.ListQueues:
    return queues_pb2.ListQueues(vhost="/", columns=NAMES, **options)  # type: ignore[arg-type]


async def test_each_queue_is_listed_by_the_member_that_serves_it() -> None:
    stands = Stands(A, B, C)
    stands.queue(A, "q1")
    two = stands.queue(B, "q2")
    stands.queue(C, "q3")
    stands[B].publish(two)  # type: ignore[arg-type]
    rows = await stands.rows(queues.list_(stands[A].ctx, listed()))
    assert {(row.name, row.messages) for row in rows} == {("q1", 0), ("q2", 1), ("q3", 0)}
    assert [row.pid.startswith(f"<{B}.") for row in rows if row.name == "q2"] == [True]
    rows = await stands.rows(queues.list_(stands[C].ctx, listed(local=True)))
    assert [row.name for row in rows] == ["q3"]


async def test_queues_of_a_stopped_member_are_down() -> None:
    stands = Stands(A, B)
    stands.queue(A, "q1")
    stands.queue(B, "q2")
    stands.stop(B)
    ctx = stands[A].ctx
    rows = await stands.rows(queues.list_(ctx, listed()))
    assert [(row.name, row.state) for row in rows] == [("q2", "down"), ("q1", "running")]
    down = rows[0]
    assert down.type == "rabbit_classic_queue"
    assert down.pid.startswith(f"<{B}.")
    assert not down.HasField("messages")
    rows = await stands.rows(queues.list_(ctx, listed(offline=True)))
    assert [row.name for row in rows] == ["q2"]
    rows = await stands.rows(queues.list_(ctx, listed(online=True)))
    assert [row.name for row in rows] == ["q1"]
    shown = await stands.rows(bindings.list_(ctx, bindings_pb2.ListBindings(vhost="/")))
    assert [row.destination_name for row in shown] == ["q1"]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_a_queue_that_waits_for_a_leader_is_listed_by_who_is_asked(kind: str) -> None:
    logs = Logs(A, B, C, leaders=[None])
    stands = Stands(A, B, C, queues=logs)
    nobody = QueueDefinition(7, "/", "q", type=kind, node="nobody", shard=0)
    stands[A].metadata.propose_now(PutQueue(nobody))
    for name in (A, C):
        ctx = stands[name].ctx
        rows = await stands.rows(queues.list_(ctx, listed()))
        assert [(row.name, row.state, row.messages) for row in rows] == [("q", "running", 0)]
        for options, count in (({"local": True}, 0), ({"offline": True}, 0), ({"online": True}, 1)):
            assert len(await stands.rows(queues.list_(ctx, listed(**options)))) == count
    logs.down = {B, C}
    rows = await stands.rows(queues.list_(stands[A].ctx, listed()))
    assert [(row.name, row.state) for row in rows] == [("q", "down")]


async def test_clients_of_all_members_are_listed() -> None:
    stands = Stands(A, B, C)
    two = stands.queue(B, "q2")
    for name in (A, B, C):
        stands[name].channel(stands[name].connect())
    channel = next(iter(stands[B].broker.connections.values())).channels[1]
    stands[B].consume(channel, two, "tag")  # type: ignore[arg-type]
    ctx = stands[C].ctx
    rows = await stands.rows(connections.list_(ctx, connections_pb2.ListConnections()))
    assert [row.pid.rsplit(".", 3)[0] for row in rows] == [f"<{C}", f"<{A}", f"<{B}"]
    rows = await stands.rows(channels.list_(ctx, channels_pb2.ListChannels()))
    assert [row.pid.rsplit(".", 3)[0] for row in rows] == [f"<{C}", f"<{A}", f"<{B}"]
    rows = await stands.rows(consumers.list_(ctx, consumers_pb2.ListConsumers(vhost="/")))
    assert [row.consumer_tag for row in rows] == ["tag"]


async def test_a_long_listing_comes_in_parts() -> None:
    stands = Stands(A, B)
    for number in range(3000):
        stands.queue(B, f"a-queue-with-a-name-{number}" * 5)
    rows = await stands.rows(queues.list_(stands[A].ctx, listed()))
    assert len(rows) == 3000


async def test_a_member_that_goes_down_is_skipped() -> None:
    stands = Stands(A, B, C)
    for name in (A, B, C):
        stands[name].connect()
    listing = connections.list_(stands[A].ctx, connections_pb2.ListConnections())
    assert len((await anext(listing)).rows) == 1
    task = asyncio.ensure_future(anext(listing))
    await asyncio.sleep(0)
    stands.meshes.cut(A, B)
    await stands.meshes.settle()
    assert (await task).rows[0].pid.startswith(f"<{C}.")


async def test_a_member_that_does_not_answer_is_skipped_and_its_queues_are_told() -> None:
    stands = Stands(A, B)
    stands.queue(A, "q1")
    stands.queue(B, "q2")
    stands.meshes.hold(A, B)
    ctx = stands[A].ctx
    request = queues_pb2.ListUnresponsiveQueues(vhost="/", columns=["name"], queue_timeout=20)
    rows = [row async for batch in queues.list_unresponsive(ctx, request) for row in batch.rows]
    assert [row.name for row in rows] == ["q2"]


async def test_what_clients_of_other_members_hold_is_counted() -> None:
    stands = Stands(A, B)
    queue = stands.queue(A, "q1")
    stand = stands[A]
    entry = stand.connect()
    channel = stand.channel(entry)
    stand.broker.connections.pop(entry.pid)
    stand.broker.served.add(entry)  # as of a channel of another member
    stand.publish(queue)  # type: ignore[arg-type]
    stand.consume(channel, queue, "tag")  # type: ignore[arg-type]
    columns = ["message_bytes_unacknowledged"]
    request = queues_pb2.ListQueues(vhost="/", columns=columns)
    (row,) = await stands.rows(queues.list_(stands[B].ctx, request))
    assert row.message_bytes_unacknowledged == 5
