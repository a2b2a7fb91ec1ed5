"""Which port a member keeps for its nats-server."""

from __future__ import annotations

import socket

import pytest

from mqd.daemon.ports import Reserved
from mqd.metadata.commands import Member


def crashed() -> int:
    """A port of a server whose connections are not forgotten yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # first: this side waits for stragglers
            assert client.recv(1) == b""
    return port


def reserved(port: int) -> Reserved:
    return Reserved(Member("a", "1", 1, control_port=20_000, route_port=port), "127.0.0.1", 0)


def test_it_is_the_former_one_right_after_a_crash() -> None:
    port = crashed()
    kept = reserved(port)
    assert kept.port == port
    for reuse in (0, 1):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
    kept.release()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_it_is_another_one_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = reserved(int(server.getsockname()[1]))
        assert kept.port != server.getsockname()[1]
        kept.release()
