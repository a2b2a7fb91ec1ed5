"""mqd.transport.door: who waits outside, real sockets of this machine."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from mqd.broker.settings import Settings
from mqd.transport.door import Door
from mqd.transport.listener import Listener
from tests.harness import Connection, World
from tests.unit.transport.test_listener import Peer
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def listener() -> AsyncIterator[Listener]:
    world = World()
    made = Listener(world.broker, Settings(), world.clock)
    await made.start("127.0.0.1", 0)
    yield made
    await made.stop(0.0)


async def test_clients_wait_while_there_are_as_many_as_may_be(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    listener.sockets_max = 2
    address = listener.addresses[0]
    inside = [await (await Peer.connect(address)).login() for _ in range(2)]
    outside = await Peer.connect(address)  # the system accepts it, the listener does not
    outside.writer.write(b"AMQP\x00\x00\x09\x01")
    waiting = asyncio.create_task(outside.expect(Connection.Start))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    assert len(listener.sessions) == 2
    assert "limit alarm set" in caplog.text
    inside[0].writer.close()
    assert await waiting
    assert "limit alarm cleared" in caplog.text
    outside.writer.close()
    inside[1].writer.close()


async def test_nothing_left_to_accept_with_is_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    came = asyncio.Event()

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            came.set()
            transport.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        door = Door(cast("socket.socket", Exhausted(listening)), Client)
        door.open()
        _, writer = await asyncio.open_connection(*listening.getsockname())
        await asyncio.wait_for(came.wait(), PATIENCE_S)
        assert "Too many open files; trying again" in caplog.text
        writer.close()
        door.close()
        assert listening.fileno() < 0


class Exhausted:
    """A socket whose first accept finds no descriptor."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self._refused = False

    def accept(self) -> tuple[socket.socket, object]:
        if not self._refused:
            self._refused = True
            raise OSError(errno.EMFILE, "Too many open files")
        return self._real.accept()

    def fileno(self) -> int:
        return self._real.fileno()

    def setblocking(self, flag: bool) -> None:
        self._real.setblocking(flag)

    def close(self) -> None:
        self._real.close()
