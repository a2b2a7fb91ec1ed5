"""A connection that makes a server which is alone go on.

Decides how mqd holds a leaf connection to its own nats-server; nothing ever travels on it. The
reason: a Raft group starts its loop only once the server has a route, a gateway or a leaf
connection (raft.go, `run`), so the holder of the metadata, started alone, would wait for ever.
A second server that only has a route would do as well, but is counted when a cold cluster guesses
how many voters it has; a leaf connection in an account of its own is not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable


class Anchor(asyncio.Protocol):
    """One connection; `on_lost` when it ends, whoever ended it."""

    def __init__(self, user: str, password: str, on_lost: Callable[[], None]) -> None:
        options = {"user": user, "pass": password, "name": "mqd", "version": "2.15.1"}
        self._connect = b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n"
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"INFO") and self._connect:
                self._transport.write(self._connect)
                self._connect = b""
            elif line == b"PING":
                self._transport.write(b"PONG\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        self._on_lost()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
