"""Who closes the socket when a connection ends, and when it is given up."""

from __future__ import annotations

import pytest
from pamqp import frame

from mqd.amqp.replies import ConnectionError_, ReplyCode
from tests.harness import Client, Connection, World


def _closed_by_client(world: World, heartbeat: int = 0) -> Client:
    client = world.connect(heartbeat=heartbeat)
    client.declare("mine", exclusive=True)
    client.send(Connection.Close(200, "bye", 0, 0), channel=0)
    assert client.said() == ["Connection.CloseOk"]
    return client


def test_a_client_that_closes_closes_the_socket_as_well() -> None:
    client = _closed_by_client(World())
    assert not client.transport.closing
    client.feed(frame.marshal(Connection.Close(200, "bye", 0, 0), 0) + b"garbage")
    assert client.said() == []
    assert not client.transport.closing


def test_what_it_had_is_gone_before_close_ok() -> None:
    world = World()
    _closed_by_client(world)
    assert world.broker.connections == {}
    assert "mine" not in world.vhost.queues


@pytest.mark.parametrize(("heartbeat", "seconds"), [(0, 30), (60, 30), (5, 5)])
def test_the_socket_is_given_up_after_a_while(heartbeat: int, seconds: int) -> None:
    world = World()
    client = _closed_by_client(world, heartbeat)
    world.tick(seconds * 1000 - 1)
    assert not client.transport.closing
    world.tick(1)
    assert client.transport.aborted


def test_a_node_that_stops_does_not_wait_for_it() -> None:
    world = World()
    client = _closed_by_client(world)
    for session in list(world.listener.sessions):
        session.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "shutdown", (0, 0)))
    assert client.transport.closing
