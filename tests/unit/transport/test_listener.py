"""`mqd.transport.listener`: real sockets of this machine, real asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from pamqp import frame
from pamqp.exceptions import UnmarshalingException
from pamqp.header import ProtocolHeader

from mqd.broker.settings import Settings
from mqd.transport.listener import Listener, server_properties
from tests.harness import (
    CAPABILITIES,
    Basic,
    Channel,
    Client,
    Connection,
    Queue,
    World,
    published,
)
from tests.waiting import PATIENCE_S

WAIT_S = PATIENCE_S


class Peer:
    """A client over a socket; frames are read by pamqp."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._in = b""

    @classmethod
    async def connect(cls, address: tuple[str, int]) -> Peer:
        return cls(*await asyncio.open_connection(*address))

    def send(self, *methods: Any, channel: int = 0) -> None:
        self.writer.write(b"".join(frame.marshal(method, channel) for method in methods))

    async def read(self) -> Any:
        """The next frame, or None at the end."""
        while True:
            if self._in:
                try:
                    size, _, piece = frame.unmarshal(self._in)
                except UnmarshalingException:  # not all there
                    pass
                else:
                    self._in = self._in[size:]
                    return piece
            try:
                data = await asyncio.wait_for(self.reader.read(65_536), WAIT_S)
            except ConnectionError:
                return None
            if not data:
                return None
            self._in += data

    async def expect(self, *kinds: type) -> Any:
        """The next frames are of those kinds; returns the last."""
        piece = None
        for kind in kinds:
            piece = await self.read()
            assert isinstance(piece, kind), piece
        return piece

    async def login(self) -> Peer:
        self.writer.write(ProtocolHeader(0, 9, 1).marshal())
        await self.expect(Connection.Start)
        properties = {"capabilities": CAPABILITIES}
        self.writer.write(Client.start_ok("\0guest\0guest", properties))
        await self.expect(Connection.Tune)
        self.send(Connection.TuneOk(2047, 131_072, 0), Connection.Open("/"))
        await self.expect(Connection.OpenOk)
        self.send(Channel.Open(), channel=1)
        await self.expect(Channel.OpenOk)
        return self

    async def close(self) -> None:
        self.writer.close()
        await asyncio.wait_for(self.writer.wait_closed(), WAIT_S)


@pytest.fixture
def world() -> World:
    return World()


@pytest_asyncio.fixture
async def listener(world: World) -> AsyncIterator[Listener]:
    listener = world.listener
    await listener.start("127.0.0.1", 0)
    yield listener
    await listener.stop(grace_s=0.1)


Connect = Callable[[], Awaitable[Peer]]


@pytest_asyncio.fixture
async def connect(listener: Listener) -> AsyncIterator[Connect]:
    """Makes clients that have logged in and opened channel 1; they are closed at the end."""
    peers: list[Peer] = []

    async def new() -> Peer:
        peer = await Peer.connect(listener.addresses[0])
        peers.append(peer)
        return await peer.login()

    yield new
    for peer in peers:
        await peer.close()


@pytest.mark.asyncio
async def test_a_message_goes_round(connect: Connect) -> None:
    peer = await connect()
    peer.send(Queue.Declare(0, "q"), Basic.Consume(0, "q", "c", no_ack=True), channel=1)
    await peer.expect(Queue.DeclareOk, Basic.ConsumeOk)
    peer.writer.write(published("q", b"x" * 300_000))
    deliver = await peer.expect(Basic.Deliver)
    assert deliver.routing_key == "q"
    header = await peer.read()
    assert header.body_size == 300_000
    received = 0
    while received < 300_000:
        received += len((await peer.read()).value)
    peer.send(Connection.Close(200, "", 0, 0))
    await peer.expect(Connection.CloseOk)


@pytest.mark.asyncio
async def test_a_slow_reader_holds_up_nobody(world: World, connect: Connect) -> None:
    """Its deliveries wait in the queue once the buffers are full; others are served meanwhile."""
    slow, quick = await connect(), await connect()
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    slow.send(Queue.Declare(0, "big"), Basic.Consume(0, "big", "c", no_ack=True), channel=1)
    quick.send(Queue.Declare(0, "q"), Basic.Consume(0, "q", "c", no_ack=True), channel=1)
    await quick.expect(Queue.DeclareOk, Basic.ConsumeOk)
    body = b"x" * 100_000
    sent = 0
    while "big" not in world.vhost.queues or not world.queue("big").ready_count:
        quick.writer.write(published("big", body))
        await quick.writer.drain()
        sent += 1
        assert sent < 2000, "the broker buffers without bound"
        await asyncio.sleep(0)
    quick.writer.write(published("q", b"m"))
    await quick.expect(Basic.Deliver)
    waiting = world.queue("big").ready_count
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await slow.expect(Queue.DeclareOk, Basic.ConsumeOk)
    received = 0
    while received < sent:
        if isinstance(await slow.read(), Basic.Deliver):
            received += 1
    assert waiting > 0
    assert world.queue("big").ready_count == 0


@pytest.mark.asyncio
async def test_a_lost_socket_hands_back(world: World, connect: Connect) -> None:
    one, two = await connect(), await connect()
    one.send(Queue.Declare(0, "q"), Basic.Consume(0, "q", "c"), channel=1)
    one.writer.write(published("q", b"m"))
    await one.expect(Queue.DeclareOk, Basic.ConsumeOk, Basic.Deliver)
    two.send(Basic.Consume(0, "q", "c"), channel=1)
    await two.expect(Basic.ConsumeOk)
    one.writer.transport.abort()
    deliver = await two.expect(Basic.Deliver)
    assert deliver.redelivered


@pytest.mark.asyncio
async def test_stop_sends_all_away(listener: Listener, connect: Connect) -> None:
    polite, rude = await connect(), await connect()
    stopping = asyncio.ensure_future(listener.stop(grace_s=0.2))
    close = await polite.expect(Connection.Close)
    assert close.reply_text == (
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    )
    polite.send(Connection.CloseOk())
    await rude.expect(Connection.Close)
    await asyncio.wait_for(stopping, WAIT_S)
    assert await polite.read() is None
    assert await rude.read() is None


@pytest.mark.asyncio
async def test_stop_waits_no_longer_than_it_must(listener: Listener, connect: Connect) -> None:
    peer = await connect()
    stopping = asyncio.ensure_future(listener.stop(grace_s=WAIT_S))
    await peer.expect(Connection.Close)
    peer.send(Connection.CloseOk())
    await asyncio.wait_for(stopping, WAIT_S / 2)


@pytest.mark.asyncio
async def test_a_suspended_listener_takes_no_one(listener: Listener, connect: Connect) -> None:
    address = listener.addresses[0]
    peer = await connect()
    listener.suspend()
    with pytest.raises(ConnectionError):
        await Peer.connect(address)
    peer.send(Queue.Declare(0, "q"), channel=1)  # who is in stays
    await peer.expect(Queue.DeclareOk)


@pytest.mark.asyncio
async def test_it_listens_where_it_is_told(world: World) -> None:
    listener = world.listener
    await listener.start("127.0.0.1", 0)
    await listener.start(None, 0)
    first, second = listener.addresses
    assert first[0] == "127.0.0.1"
    for port in {first[1], second[1]}:
        peer = await Peer.connect(("127.0.0.1", port))
        await peer.close()
    if socket.has_ipv6 and second[0] == "::":
        peer = await Peer.connect(("::1", second[1]))
        await peer.close()
    await listener.stop(grace_s=0.1)


@pytest.mark.asyncio
async def test_a_port_in_use(listener: Listener) -> None:
    with pytest.raises(OSError, match="in use"):
        await listener.start("127.0.0.1", listener.addresses[0][1])


@pytest.mark.asyncio
async def test_sockets_have_no_delay(listener: Listener, connect: Connect) -> None:
    await connect()
    (session,) = listener.sessions
    accepted = session._transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_the_server_says_of_itself() -> None:
    table = server_properties(Settings(), "rabbit@here")
    assert table["product"] == ("longstr", b"RabbitMQ")
    assert table["version"] == ("longstr", b"3.10.8")
    assert table["cluster_name"] == ("longstr", b"rabbit@here")
    kind, capabilities = table["capabilities"]
    assert kind == "table"
    assert set(capabilities) >= {"basic.nack", "publisher_confirms", "consumer_cancel_notify"}
    assert set(capabilities.values()) == {("bool", True)}
    named = server_properties(Settings(cluster_name="prod"), "rabbit@here")
    assert named["cluster_name"] == ("longstr", b"prod")
