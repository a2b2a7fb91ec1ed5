"""The control socket, and the port for other machines: gRPC on the daemon's own loop.

Decides where the socket stands, that nobody else's is taken over, how long calls may take to end
when the server stops, and what strangers on the port may hold: so many connections, which are cut
when they say nothing or ask for nothing, and no body of a request (`door`). Health and reflection,
which would read some, are on the socket alone. Serves whatever state the broker application is in,
so that a stopped one can be started. Never decides what an rpc does (`bind`) or who may call
(`interceptors`, and the mode of the directory: gRPC tells no peer uid on a unix socket).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mqd import limits
from mqd.admin.context import NodeControl
from mqd.admin.operations import services
from mqd.control.bind import handlers
from mqd.control.clustering import Clustering
from mqd.control.door import Door
from mqd.control.interceptors import Guard
from mqd.errors import ErrorCode, MqdError

_log = logging.getLogger(__name__)

Handlers = Sequence[Any]  # of grpc.GenericRpcHandler, which is generic in its stub only

_CALL: Final = "_schedule_rpc_coro"  # gRPC's task of a call, from its begin to its end
_PATH_BYTES: Final = 107  # sockaddr_un, less the byte that ends it
_OPTIONS = (
    ("grpc.max_receive_message_length", limits.CONTROL_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", limits.CONTROL_MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),
)
_OF_THE_PORT = (
    *_OPTIONS,
    ("grpc.server_handshake_timeout_ms", limits.PEER_PREFACE_MS),
    ("grpc.max_connection_idle_ms", limits.PEER_IDLE_MS),
    ("grpc.max_concurrent_streams", limits.PEER_STREAMS_MAX),
    ("grpc.max_allowed_incoming_connections", limits.PEER_CONNECTIONS_MAX),
)


class ControlServer:
    """A control socket that is being served."""

    def __init__(self, servers: Sequence[grpc.aio.Server], guard: Guard, path: Path) -> None:
        self._servers = servers
        self._guard = guard
        self.path = path

    async def stop(self, grace_s: float = limits.CONTROL_GRACE_S) -> None:
        """Take no more calls, let running ones end within `grace_s`, remove the socket.

        gRPC's own grace would last to its end for every client that holds a connection and does
        not read, such as a tool that waits for the process to end.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._guard.close(), grace_s)
        await _stop(self._servers)
        await _ended()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


async def _ended() -> None:
    """Until gRPC's own tasks are: one that the end of the loop cancels prints where it was."""
    tasks = [
        each for each in asyncio.all_tasks() if getattr(each.get_coro(), "__name__", "") == _CALL
    ]
    if tasks:
        await asyncio.wait(tasks, timeout=limits.CONTROL_GRACE_S)


async def serve(
    node: NodeControl, path: Path, clustering: Clustering | None = None
) -> ControlServer:
    """Serve the catalogue for `node` on the unix socket `path` and, when given, over TCP.

    Makes the directory (mode 0750). A socket of this name that nobody listens on is taken over;
    those of other names are left alone, since one that refuses may belong to a daemon that is
    starting: gRPC binds first and listens later. Raises MqdError(ALREADY_EXISTS) when another
    daemon answers on `path`, MqdError(UNAVAILABLE) when the directory or the port cannot be used.
    """
    _prepare(path, node.name)
    guard = Guard(node)
    served = handlers(guard)
    servers: list[grpc.aio.Server] = []
    try:
        if clustering is not None:
            servers.append(grpc.aio.server(options=_OF_THE_PORT, interceptors=(Door(guard),)))
            await _open_port(servers[-1], served, clustering)
        servers.append(grpc.aio.server(options=_OPTIONS))
        await _open(servers[-1], served, path)
    except BaseException:
        await _stop(servers)  # left to the collector, they print that their loop is gone
        raise
    return ControlServer(servers, guard, path)


async def _stop(servers: Sequence[grpc.aio.Server]) -> None:
    await asyncio.gather(*(server.stop(None) for server in servers))


async def _open(server: grpc.aio.Server, served: Handlers, path: Path) -> None:
    server.add_generic_rpc_handlers(served)
    await _add_standard_services(server)
    try:
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        os.chmod(path, 0o660)
    except (RuntimeError, OSError) as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE, f"cannot listen on the control socket {path}: {error}"
        ) from error


async def _open_port(server: grpc.aio.Server, served: Handlers, clustering: Clustering) -> None:
    server.add_generic_rpc_handlers(served)
    try:
        server.add_insecure_port(f"{clustering.interface}:{clustering.port}")
        await server.start()
    except RuntimeError as error:  # gRPC tells no reason
        raise clustering.unusable() from error


def _prepare(path: Path, node: str) -> None:
    if (length := len(os.fsencode(path))) > _PATH_BYTES:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"cannot listen on the control socket {path}: its path has {length} bytes and a "
            f"socket's may have {_PATH_BYTES}; set MQD_RUN_DIR to a shorter one",
        )
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        in_use = _is_in_use(path)
    except OSError as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"cannot use {path.parent} for the control socket: {error.strerror}; "
            "set MQD_RUN_DIR to a directory that can be written",
        ) from error
    if in_use:
        raise MqdError(
            ErrorCode.ALREADY_EXISTS, f"node {node} is already running: it answers on {path}"
        )


def _is_in_use(path: Path) -> bool:
    """Whether somebody listens on a socket, or it is not ours to take; removes it if nobody does.
    Raises OSError when that cannot be known."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return True
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            _log.debug("removing the control socket %s of a node that is gone", path)
            path.unlink(missing_ok=True)
            return False
        except FileNotFoundError:
            return False
        except PermissionError:  # another user's node
            return True
    return True


async def _add_standard_services(server: grpc.aio.Server) -> None:
    """Health and reflection, for tools that know gRPC but not mqd."""
    servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    serving = health_pb2.HealthCheckResponse.SERVING
    names = [service.full_name for service in services()]
    for name in ("", *names):
        await servicer.set(name, serving)
    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)
