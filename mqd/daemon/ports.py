"""The ports on which members link to each other.

Decides which are tried, in which order. Never listens.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final

from mqd.metadata.commands import Member

_PORTS_UP: Final = 10_000  # RabbitMQ's own range for tools and nodes begins there
_PORTS: Final = 11
_PORT_MAX: Final = 65_535


def candidates(me: Member) -> Sequence[int]:
    """Where others expect it first."""
    up = me.control_port + _PORTS_UP
    first = up if up + _PORTS <= _PORT_MAX else me.control_port - _PORTS_UP
    usual = range(first, first + _PORTS)
    return [*([me.link_port] if me.link_port else []), *usual]


class Reserved:
    """A port that is kept from others until it is listened on by another process."""

    def __init__(self, me: Member, host: str | None, but: int) -> None:
        """me: of which the route's port comes first; but: not this one. port 0: none is free."""
        self.port = 0
        self._socket: socket.socket | None = None
        preferred = [me.route_port] if me.route_port else []
        for port in [*preferred, *candidates(me)]:
            if port == but:
                continue
            held = _socket(host)
            # Connections of a server that crashed a moment ago do not count, and from then on
            # nobody else can bind to it: a port that changed must be known to a majority first.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind((host or "", port))
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            except OSError:
                held.close()
                continue
            self.port, self._socket = port, held
            return

    def release(self) -> None:
        """Just before it is listened on, or when it is not needed."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _socket(host: str | None) -> socket.socket:
    """Of its family; None: all addresses, which those of IPv4 tell enough of."""
    is_six = host is not None and ":" in host
    return socket.socket(socket.AF_INET6 if is_six else socket.AF_INET)


def free_port(me: Member, host: str | None, but: Sequence[int] = ()) -> int:
    """One of those, for others to know before it is listened on; 0: none is free."""
    for port in candidates(me):
        if port in but:
            continue
        with _socket(host) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host or "", port))
            except OSError:
                continue
            return port
    return 0
