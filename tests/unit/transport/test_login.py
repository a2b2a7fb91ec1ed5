"""`mqd.transport.login`: who may log in from where, and what is said to who may not."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import frame
from pamqp.header import ProtocolHeader

from tests.harness import CAPABILITIES, Client, Connection, World

HEADER = ProtocolHeader(0, 9, 1).marshal()
CLOSE_OK = frame.marshal(Connection.CloseOk(), 0)
REFUSED = (
    "connection.close ACCESS_REFUSED - Login was refused using authentication mechanism {}. "
    "For details see the broker logfile."
)


@pytest.fixture
def world() -> World:
    return World()


def start(
    client: Client, response: str, mechanism: str = "PLAIN", capabilities: Any = CAPABILITIES
) -> list[str]:
    client.feed(HEADER)
    client.feed(client.start_ok(response, {"capabilities": capabilities}, mechanism))
    return client.said()[1:]


def test_plain(world: World) -> None:
    assert start(world.raw(), "\0guest\0guest") == ["Connection.Tune"]


def test_amqplain(world: World) -> None:
    response = "\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"
    assert start(world.raw(), response, "AMQPLAIN") == ["Connection.Tune"]


@pytest.mark.parametrize("response", ["\0guest\0wrong", "\0nobody\0guest", "\0guest\0"])
def test_a_login_that_fails(response: str, world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = world.raw()
    assert start(client, response) == [REFUSED.format("PLAIN")]
    assert "PLAIN login refused" in caplog.text
    client.feed(CLOSE_OK)
    assert client.transport.closing


def test_a_login_that_fails_and_a_client_that_would_not_understand(world: World) -> None:
    client = world.raw()
    assert start(client, "\0guest\0wrong", capabilities={}) == []
    assert not client.transport.closing
    world.tick(2900)
    assert not client.transport.closing
    world.tick(200)
    assert client.transport.aborted


@pytest.mark.parametrize(("response", "mechanism"), [("guest", "PLAIN"), ("\0g\0g", "EXTERNAL")])
def test_a_login_of_no_form_is_silence(response: str, mechanism: str, world: World) -> None:
    client = world.raw()
    assert start(client, response, mechanism) == []
    world.tick(3100)
    assert client.transport.aborted


def test_guest_comes_from_this_machine_alone(world: World) -> None:
    world.directory.add("remote")
    assert start(world.raw("10.1.2.3"), "\0guest\0guest") == [REFUSED.format("PLAIN")]
    assert start(world.raw("10.1.2.3"), "\0remote\0remote") == ["Connection.Tune"]
    for address in ("127.0.0.2", "::1", "::ffff:127.0.0.1"):
        assert start(world.raw(address), "\0guest\0guest") == ["Connection.Tune"]


def test_a_vhost_that_is_not_there(world: World) -> None:
    client = world.raw()
    start(client, "\0guest\0guest")
    client.feed(frame.marshal(Connection.TuneOk(10, 4096, 0), 0))
    client.feed(frame.marshal(Connection.Open("none"), 0))
    assert client.said() == ["connection.close NOT_ALLOWED - vhost none not found"]
    assert world.broker.connections == {}


@pytest.mark.parametrize(
    ("header", "version"), [(b"\1\1\x08\0", (0, 8, 0)), (b"\1\1\0\x09", (0, 9, 1))]
)
def test_which_version_is_spoken(
    header: bytes, version: tuple[int, int, int], world: World
) -> None:
    """As listings have it."""
    client = world.raw()
    client.feed(b"AMQP" + header)
    client.feed(client.start_ok("\0guest\0guest"))
    client.feed(frame.marshal(Connection.TuneOk(2047, 131_072, 0), 0))
    client.feed(frame.marshal(Connection.Open("/"), 0))
    (entry,) = world.broker.connections.values()
    assert entry.protocol == version


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("127.0.0.1", "127.0.0.1:40001 -> 127.0.0.1:5672"),
        ("::1", "[::1]:40001 -> 127.0.0.1:5672"),
        ("::ffff:10.0.0.1", "10.0.0.1:40001 -> 127.0.0.1:5672"),
    ],
)
def test_how_a_connection_is_called(peer: str, name: str, world: World) -> None:
    assert world.raw(peer).session.name == name
