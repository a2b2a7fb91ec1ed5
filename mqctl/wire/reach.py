"""Where a node without a socket on this machine is reached.

Decides host, port and how long connecting may take. Says nothing to whom it connects.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from mqctl.wire.outcomes import Broken

REACH_WITHIN_S: Final = 5.0  # connecting, and each step of the handshake after it
_DIST_PORT: Final = 25_672
_OFFSET: Final = 20_000  # from the AMQP port


def port() -> int:
    """RABBITMQ_DIST_PORT, else RABBITMQ_NODE_PORT + 20000, else 25672: as the daemon has it."""
    for name, offset in (("DIST_PORT", 0), ("NODE_PORT", _OFFSET)):
        value = os.environ.get(f"MQD_{name}") or os.environ.get(f"RABBITMQ_{name}")
        if value and value.isascii() and value.isdigit():
            return min(int(value) + offset, 65_535)
    return _DIST_PORT


def dial(node: str) -> socket.socket:
    """Connect to the node's host. A name server that is silent is waited for only once."""
    os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:1")
    host = node.partition("@")[2]
    try:
        sock = socket.create_connection((host, port()), REACH_WITHIN_S)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Broken(f"cannot connect to {host}:{port()}: {reason}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
