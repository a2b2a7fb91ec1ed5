"""The control socket: gRPC on the daemon's own loop.

Decides where the socket stands, that nobody else's is taken over, and how long calls may take
to end when the server stops. Serves whatever state the broker application is in, so that a
stopped one can be started. Never decides what an rpc does (`bind`) or who may call
(`interceptors`, and the mode of the directory: gRPC tells no peer uid on a unix socket).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import weakref
from collections.abc import Collection
from pathlib import Path
from typing import Any

from grpclib.health.service import Health
from grpclib.protocol import H2Protocol
from grpclib.reflection.service import ServerReflection
from grpclib.server import Server

from mqd import limits
from mqd.admin.context import NodeControl
from mqd.control.bind import Served, services
from mqd.control.interceptors import Guard
from mqd.errors import ErrorCode, MqdError

_log = logging.getLogger(__name__)


class _Server(Server):
    """grpclib's server leaves idle connections open when it closes; this one knows them."""

    def __init__(self, handlers: Collection[Any]) -> None:
        super().__init__(handlers)
        self._protocols: weakref.WeakSet[H2Protocol] = weakref.WeakSet()

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._protocols.add(protocol)
        return protocol

    async def disconnect(self) -> None:
        """Close every connection; what was written still leaves."""
        for protocol in list(self._protocols):
            if hasattr(protocol, "processor"):  # else it is not made yet
                protocol.processor.close("the node is stopping")
        await asyncio.sleep(0)  # transports end in the next turn of the loop


class ControlServer:
    """A control socket that is being served."""

    def __init__(self, server: _Server, guard: Guard, path: Path) -> None:
        self._server = server
        self._guard = guard
        self.path = path

    async def stop(self, grace_s: float = limits.CONTROL_GRACE_S) -> None:
        """Take no more calls, let running ones end within `grace_s`, remove the socket."""
        self._guard.closing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._guard.idle(), grace_s)
        self._server.close()
        await self._server.wait_closed()
        await self._server.disconnect()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


async def serve(node: NodeControl, path: Path) -> ControlServer:
    """Serve the catalogue for `node` on the unix socket `path`.

    Makes the directory (mode 0750) and removes the sockets of daemons that are gone. Raises
    MqdError(ALREADY_EXISTS) when another daemon answers on `path`, MqdError(UNAVAILABLE) when the
    directory cannot be used.
    """
    _prepare(path, node.name)
    logging.getLogger("grpclib").setLevel(logging.WARNING)  # else a line for every late call
    guard = Guard(node)
    served = [Served(service, guard) for service in services()]
    # health and reflection: for tools that know gRPC but not mqd
    health = Health(dict.fromkeys(served, ()))
    server = _Server(ServerReflection.extend([*served, health]))
    try:
        await server.start(path=str(path))
    except OSError as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE, f"cannot listen on the control socket {path}: {error}"
        ) from error
    os.chmod(path, 0o660)
    return ControlServer(server, guard, path)


def _prepare(path: Path, node: str) -> None:
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        in_use = [found for found in path.parent.glob("*.sock") if not _is_stale(found)]
    except OSError as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"cannot use {path.parent} for the control socket: {error.strerror}; "
            "set MQD_RUN_DIR to a directory that can be written",
        ) from error
    if path in in_use:
        raise MqdError(
            ErrorCode.ALREADY_EXISTS, f"node {node} is already running: it answers on {path}"
        )


def _is_stale(path: Path) -> bool:
    """Whether nobody listens on a socket; removes it then."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            if not stat.S_ISSOCK(path.lstat().st_mode):
                return False
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            _log.debug("removing the control socket %s of a node that is gone", path)
            path.unlink(missing_ok=True)
            return True
        except FileNotFoundError:
            return True
        except PermissionError:  # another user's node
            return False
    return False
