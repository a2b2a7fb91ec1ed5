"""mqd.admin.exchanges, bindings, connections, channels and consumers."""

from __future__ import annotations

import pytest

from mqd.admin import bindings, channels, connections, consumers, exchanges
from mqd.broker.definitions import BindingDefinition
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import (
    bindings_pb2,
    channels_pb2,
    connections_pb2,
    consumers_pb2,
    exchanges_pb2,
)
from tests.unit.admin.stand import Stand, closed_with, rows

pytestmark = pytest.mark.asyncio


async def test_exchanges_by_name() -> None:
    request = exchanges_pb2.ListExchanges(vhost="/")
    found = await rows(exchanges.list_(Stand().ctx, request))
    assert [row.name for row in found] == [
        "",
        "amq.direct",
        "amq.fanout",
        "amq.headers",
        "amq.match",
        "amq.rabbitmq.trace",
        "amq.topic",
    ]
    trace = found[5]
    assert (trace.type, trace.durable, trace.internal, trace.auto_delete) == (
        "topic",
        True,
        True,
        False,
    )
    assert not trace.HasField("policy")
    assert trace.HasField("arguments")


async def test_bindings_begin_with_the_default_exchange() -> None:
    stand = Stand()
    stand.queue("q")
    binding = BindingDefinition("/", "amq.topic", "queue", "q", "a.*", {"z": ("bool", True)})
    stand.broker.apply_put_binding(binding)
    found = await rows(bindings.list_(stand.ctx, bindings_pb2.ListBindings(vhost="/")))
    assert [
        (row.source_name, row.source_kind, row.destination_name, row.destination_kind)
        for row in found
    ] == [("", "exchange", "q", "queue"), ("amq.topic", "exchange", "q", "queue")]
    assert [row.routing_key for row in found] == ["q", "a.*"]
    assert found[1].arguments.entries[0].value.bool is True


async def test_a_vhost_that_is_missing_lists_nothing() -> None:
    ctx = Stand().ctx
    assert await rows(exchanges.list_(ctx, exchanges_pb2.ListExchanges(vhost="no"))) == []
    assert await rows(bindings.list_(ctx, bindings_pb2.ListBindings(vhost="no"))) == []
    assert await rows(consumers.list_(ctx, consumers_pb2.ListConsumers(vhost="no"))) == []


async def test_connections_with_every_column() -> None:
    stand = Stand()
    entry = stand.connect(properties={"z": ("longstr", b"1"), "a": ("table", {})})
    stand.channel(entry)
    request = connections_pb2.ListConnections()
    (row,) = await rows(connections.list_(stand.ctx, request))
    assert (row.pid, row.user, row.vhost, row.state) == (entry.pid, "guest", "/", "running")
    assert (row.host, row.port, row.peer_host, row.peer_port) == (
        "127.0.0.1",
        5672,
        "127.0.0.1",
        40_000,
    )
    assert (row.channels, row.timeout, row.frame_max, row.channel_max) == (1, 60, 131_072, 2047)
    assert [term.integer for term in row.protocol.tuple.items] == [0, 9, 1]
    assert [prop.name for prop in row.client_properties.entries] == ["z", "a"]
    assert (row.recv_oct, row.recv_cnt, row.send_oct, row.send_cnt) == (100, 10, 200, 20)
    assert (row.HasField("send_pend"), row.send_pend) == (True, 0)
    assert row.connected_at == 1_700_000_000_000
    assert (row.HasField("ssl"), row.ssl, row.HasField("ssl_cipher")) == (True, False, False)


async def test_channels_with_every_column() -> None:
    stand = Stand()
    entry = stand.connect()
    queue = stand.queue("q")
    stand.publish(queue)
    first, second, third = (stand.channel(entry, number) for number in (1, 2, 3))
    first.set_prefetch(7, for_channel=False)
    stand.consume(first, queue, "t")
    second.select_confirm()
    second.set_prefetch(5, for_channel=True)
    third.select_tx()
    found = await rows(channels.list_(stand.ctx, channels_pb2.ListChannels()))
    assert [row.number for row in found] == [1, 2, 3]
    assert [row.name for row in found] == [f"{entry.name} ({n})" for n in (1, 2, 3)]
    assert {row.connection for row in found} == {entry.pid}
    one, two, three = found
    assert (one.consumer_count, one.messages_unacknowledged, one.prefetch_count) == (1, 1, 7)
    assert (two.confirm, two.transactional, two.global_prefetch_count) == (True, False, 5)
    assert (three.confirm, three.transactional, three.messages_uncommitted) == (False, True, 0)


async def test_consumers_by_queue() -> None:
    stand = Stand()
    channel = stand.channel(stand.connect())
    stand.consume(channel, stand.queue("b"), "t2", no_ack=True)
    arguments = {"x-priority": ("signedint", 3)}
    stand.consume(channel, stand.queue("a"), "t1", prefetch=2, arguments=arguments)
    found = await rows(consumers.list_(stand.ctx, consumers_pb2.ListConsumers(vhost="/")))
    assert [(row.queue_name, row.consumer_tag, row.ack_required) for row in found] == [
        ("a", "t1", True),
        ("b", "t2", False),
    ]
    assert (found[0].prefetch_count, found[0].active, found[0].activity_status) == (2, True, "up")
    assert found[0].arguments.entries[0].value.signedint == 3
    assert found[0].channel_pid == channel.pid


async def test_who_is_active() -> None:
    """Of a single active consumer's queue the others wait (observed: 3.10.8)."""
    stand = Stand()
    channel = stand.channel(stand.connect())
    queue = stand.queue("q", arguments={"x-single-active-consumer": ("bool", True)})
    for tag in "xyz":
        stand.consume(channel, queue, tag)
    found = await rows(consumers.list_(stand.ctx, consumers_pb2.ListConsumers(vhost="/")))
    assert {row.consumer_tag: (row.active, row.activity_status) for row in found} == {
        "x": (True, "single_active"),
        "y": (False, "waiting"),
        "z": (False, "waiting"),
    }


async def close(stand: Stand, pid: str) -> None:
    request = connections_pb2.CloseConnection(pid=pid, explanation="why")
    await connections.close(stand.ctx, request)


async def test_closing_by_pid() -> None:
    stand = Stand()
    one, other = stand.connect(), stand.connect()
    await close(stand, one.pid)
    assert closed_with(one) == (320, "why")
    assert closed_with(other) is None
    await close(stand, "<nosuch.1.2.3>")  # gone is closed


@pytest.mark.parametrize("pid", ["notapid", "", "<foo>", "rabbit@x.1.2.3"])
async def test_closing_what_is_no_pid(pid: str) -> None:
    with pytest.raises(MqdError) as caught:
        await close(Stand(), pid)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert caught.value.detail == f'{{:invalid_pid_syntax, "{pid}"}}'


async def test_closing_all_of_a_vhost_of_the_node_or_some() -> None:
    stand = Stand()
    stand.add_vhost("v")
    in_v, one, two = stand.connect(vhost="v"), stand.connect(), stand.connect()

    async def close_all(**wanted: object) -> int:
        request = connections_pb2.CloseAllConnections(vhost="/", explanation="why", **wanted)
        return (await connections.close_all(stand.ctx, request)).closed_count

    assert await close_all(limit=1) == 1
    assert [closed_with(entry) is not None for entry in (in_v, one, two)] == [False, True, False]
    assert await close_all() == 2
    assert await close_all(**{"global": True}) == 3
    assert closed_with(in_v) == (320, "why")


async def test_closing_all_of_a_user() -> None:
    stand = Stand()
    stand.add_user("bob")
    bobs, other = stand.connect("bob"), stand.connect()
    request = connections_pb2.CloseAllUserConnections(username="bob", explanation="why")
    await connections.close_all_of_user(stand.ctx, request)
    assert (closed_with(bobs), closed_with(other)) == ((320, "why"), None)
