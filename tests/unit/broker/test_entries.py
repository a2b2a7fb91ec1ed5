"""`mqd.broker.entries`: what a connection says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.broker.entries import ConnectionEntry
from tests.harness import World


def entry_of(**options: Any) -> ConnectionEntry:
    world = World()
    world.connect(**options)
    (entry,) = world.broker.connections.values()
    return entry


def test_what_is_known_of_a_connection() -> None:
    entry = entry_of(heartbeat=30, frame_max=8192, channel_max=100, name="worker 1")
    assert entry.name == "127.0.0.1:40001 -> 127.0.0.1:5672"
    assert (entry.peer_host, entry.peer_port) == ("127.0.0.1", 40001)
    assert (entry.host, entry.port) == ("127.0.0.1", 5672)
    assert (entry.user.name, entry.vhost.name) == ("guest", "/")
    assert (entry.frame_max, entry.channel_max, entry.timeout) == (8192, 100, 30)
    assert entry.protocol == (0, 9, 1)
    assert entry.auth_mechanism == "PLAIN"
    assert entry.connected_at == 1_000_000
    assert entry.user_provided_name == "worker 1"
    assert entry.state == "running"


def test_what_went_over_it() -> None:
    entry = entry_of()
    assert entry.recv_cnt > 0
    assert entry.recv_oct > 100
    assert entry.send_cnt > 0
    assert entry.send_oct > 100
    assert entry.send_pend >= 0


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [
        ({"basic.nack": True}, True),
        ({"basic.nack": False}, False),
        ({"basic.nack": 1}, False),
        ({}, False),
    ],
)
def test_capabilities(capabilities: dict[str, Any], can: bool) -> None:
    assert entry_of(capabilities=capabilities).can("basic.nack") is can


def test_a_client_that_says_nothing() -> None:
    entry = entry_of()
    entry.client_properties = {}
    assert not entry.can("basic.nack")
    assert entry.user_provided_name == ""
    entry.client_properties = {"capabilities": ("bool", True), "connection_name": ("long", 5)}
    assert not entry.can("basic.nack")
    assert entry.user_provided_name == ""
