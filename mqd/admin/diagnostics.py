"""What a node says about itself: status, alarms, listeners, logs, surroundings.

Decides which facts a report has. Never judges them and never words them for people: that is the
tool's part, so that one report serves a check, a table and JSON.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import platform
import socket
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from mqd.admin import reports, values
from mqd.admin.context import AdminContext, AppState
from mqd.admin.listing import batches
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import diagnostics_pb2 as pb
from mqd.rpc.v1 import values_pb2

_TASKS_LIMIT: Final = 1_048_576  # RabbitMQ's number of processes; tasks have no limit of their own
_NET_TICKTIME_S: Final = 60  # RabbitMQ's default
_OTP_SERIES: Final = reports.ERLANG_VERSION.partition(".")[0]
_TAIL_LINES_MAX: Final = 100_000
_SECRET: Final = ("COOKIE", "PASS", "SECRET")  # variables whose values stay in the node


async def status(ctx: AdminContext, request: pb.StatusRequest) -> pb.StatusReply:
    """Everything `status` shows."""
    node = ctx.node
    memory = node.memory()
    disk = node.disk()
    files = node.file_descriptors()
    vhosts = ctx.broker.vhosts.values()
    return pb.StatusReply(
        pid=node.pid,
        os=platform.system(),
        uptime_s=(node.clock.monotonic_ms() - node.started_at_ms) // 1000,
        under_maintenance=node.in_maintenance,
        product_name=reports.PRODUCT,
        product_version=node.version,
        release_series_support="supported",
        node=node.name,
        runtime=_runtime(),
        crypto_library=ssl.OPENSSL_VERSION,
        tasks_used=len(asyncio.all_tasks()),
        tasks_limit=_TASKS_LIMIT,
        net_ticktime_s=_NET_TICKTIME_S,
        enabled_plugin_file=str(node.enabled_plugins_file),
        active_plugins=[
            pb.PluginVersion(name=row.name, version=row.version, description=row.description)
            for row in node.running_plugins
        ],
        data_directory=str(node.data_directory),
        raft_data_directory=str(node.data_directory / "quorum" / node.name),
        config_files=sorted(node.config_files),  # observed: 3.10.8
        log_files=node.log_files,
        alarms=reports.own_alarms(ctx),
        memory_total_bytes=memory.total_bytes,
        memory_strategy=memory.strategy,
        memory_watermark_fraction=memory.watermark.fraction,
        memory_watermark_bytes=memory.limit_bytes,
        memory=reports.memory_parts(ctx),
        file_descriptors_used=files.used,
        file_descriptors_limit=files.limit,
        sockets_used=files.sockets_used,
        sockets_limit=files.sockets_limit,
        disk_free_limit_bytes=disk.limit_bytes,
        disk_free_bytes=disk.free_bytes,
        connection_count=len(ctx.broker.connections),
        queue_count=sum(len(vhost.queues) for vhost in vhosts),
        vhost_count=len(vhosts),
        listeners=reports.listeners(ctx),
    )


async def ping(ctx: AdminContext, request: pb.PingRequest) -> values_pb2.Done:
    """The answer is that there is one."""
    return values_pb2.Done()


async def server_version(ctx: AdminContext, request: pb.ServerVersionRequest) -> pb.VersionReply:
    """The RabbitMQ version the node speaks as."""
    return pb.VersionReply(version=ctx.node.version)


async def erlang_version(ctx: AdminContext, request: pb.ErlangVersionRequest) -> pb.VersionReply:
    """The runtime that the node stands in for; in full with the one that it has."""
    if request.details:
        return pb.VersionReply(version=f"Erlang/OTP {_OTP_SERIES} [{_runtime()}]")
    return pb.VersionReply(version=reports.OTP_RELEASE)


def _runtime() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


async def app_state(ctx: AdminContext, request: pb.AppStateRequest) -> pb.AppStateReply:
    """Whether the application runs or is about to."""
    state = ctx.node.app_state
    return pb.AppStateReply(running=state is AppState.RUNNING, booting=state is AppState.BOOTING)


async def alarms(ctx: AdminContext, request: pb.AlarmsRequest) -> pb.AlarmsReply:
    """Resource alarms in effect."""
    return pb.AlarmsReply(alarms=reports.alarms(ctx))


async def listeners(ctx: AdminContext, request: pb.ListenersRequest) -> pb.ListenersReply:
    """Listening sockets."""
    return pb.ListenersReply(listeners=reports.listeners(ctx))


async def check_port_listener(
    ctx: AdminContext, request: pb.CheckPortListenerRequest
) -> pb.ListenersReply:
    """All listeners: the tool looks for the port, and shows the others when it is not there."""
    return pb.ListenersReply(listeners=reports.listeners(ctx))


async def check_protocol_listener(
    ctx: AdminContext, request: pb.CheckProtocolListenerRequest
) -> pb.ListenersReply:
    """All listeners: the tool looks for the protocol, and shows the others otherwise."""
    return pb.ListenersReply(listeners=reports.listeners(ctx))


async def check_virtual_hosts(
    ctx: AdminContext, request: pb.CheckVirtualHostsRequest
) -> pb.CheckVirtualHostsReply:
    """Virtual hosts that exist but do not run here."""
    live = ctx.broker.vhosts
    down = [values.text(name) for name in sorted(ctx.metadata.state.vhosts) if name not in live]
    return pb.CheckVirtualHostsReply(down=down)


async def memory_breakdown(
    ctx: AdminContext, request: pb.MemoryBreakdownRequest
) -> pb.MemoryBreakdownReply:
    """Memory by category, largest first."""
    return pb.MemoryBreakdownReply(parts=reports.memory_parts(ctx))


async def cookie_hash(ctx: AdminContext, request: pb.CookieHashRequest) -> pb.CookieHashReply:
    """Base64 of the MD5 of the cookie, to compare by eye (RabbitMQ: rabbit_nodes:cookie_hash)."""
    digest = hashlib.md5(ctx.node.cookie.encode(), usedforsecurity=False).digest()
    return pb.CookieHashReply(hash=base64.b64encode(digest).decode())


async def log_location(ctx: AdminContext, request: pb.LogLocationRequest) -> pb.LogLocationReply:
    """The main log, or all of them."""
    paths = list(ctx.node.log_files)
    return pb.LogLocationReply(paths=paths if request.all else paths[:1])


async def log_tail(ctx: AdminContext, request: pb.LogTailRequest) -> pb.LogTailReply:
    """The last lines of the first log that is a file. Raises NOT_FOUND when none is."""
    count = min(request.number if request.HasField("number") else 50, _TAIL_LINES_MAX)
    for path in ctx.node.log_files:
        if not path.startswith(("<", "-")):
            return pb.LogTailReply(lines=await asyncio.to_thread(_tail, path, count))
    raise MqdError(ErrorCode.NOT_FOUND, f"node {ctx.node.name} does not log to a file")


def _tail(path: str, count: int) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, count)]
    except OSError as error:
        raise MqdError(
            ErrorCode.NOT_FOUND, f"cannot read the log {path}: {error.strerror}"
        ) from error


async def os_env(ctx: AdminContext, request: pb.OsEnvRequest) -> pb.OsEnvReply:
    """RABBITMQ_* and MQD_* variables, by name; those that hold secrets without their value."""
    return pb.OsEnvReply(
        variables=[
            pb.OsEnvVariable(name=name, value="******" if name.endswith(_SECRET) else value)
            for name, value in sorted(os.environ.items())
            if name.startswith(("RABBITMQ_", "MQD_"))
        ]
    )


async def command_line_arguments(
    ctx: AdminContext, request: pb.CommandLineArgumentsRequest
) -> pb.CommandLineArgumentsReply:
    """What the process was started with."""
    return pb.CommandLineArgumentsReply(arguments=sys.orig_argv)


async def resolve_hostname(
    ctx: AdminContext, request: pb.ResolveHostnameRequest
) -> pb.ResolveHostnameReply:
    """Addresses of a host name, as the node's machine knows it. Raises NOT_FOUND."""
    family = socket.AF_INET6 if request.address_family.lower() == "ipv6" else socket.AF_INET
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(request.hostname, None, family=family)
    except (socket.gaierror, UnicodeError) as error:
        raise MqdError(
            ErrorCode.NOT_FOUND, f"host name '{request.hostname}' does not resolve: {error}"
        ) from error
    addresses = dict.fromkeys(str(address[4][0]) for address in found)
    return pb.ResolveHostnameReply(addresses=addresses)


async def tls_versions(ctx: AdminContext, request: pb.TlsVersionsRequest) -> pb.TlsVersionsReply:
    """Versions of TLS that the runtime speaks, newest first."""
    known = (("tlsv1.3", ssl.HAS_TLSv1_3), ("tlsv1.2", ssl.HAS_TLSv1_2))
    return pb.TlsVersionsReply(versions=[name for name, has in known if has])


async def auth_attempts(
    ctx: AdminContext, request: pb.AuthAttemptsRequest
) -> AsyncIterator[pb.AuthAttemptRows]:
    """Logins since the application started, by protocol or by source; none when nobody tried."""
    attempts = ctx.broker.auth.attempts
    if request.by_source:
        rows = [
            pb.AuthAttemptRow(
                remote_address=values.text(address),
                username=values.text(user),
                protocol="amqp091",
                auth_attempts=refused + admitted,
                auth_attempts_failed=refused,
                auth_attempts_succeeded=admitted,
            )
            for (address, user), (refused, admitted) in sorted((attempts.by_source or {}).items())
        ]
        for batch in batches(rows, lambda chunk: pb.AuthAttemptRows(rows=chunk)):
            yield batch
        return
    total = attempts.refused_count + attempts.admitted_count
    if total:
        row = pb.AuthAttemptRow(
            protocol="amqp091",
            auth_attempts=total,
            auth_attempts_failed=attempts.refused_count,
            auth_attempts_succeeded=attempts.admitted_count,
        )
        yield pb.AuthAttemptRows(rows=[row])
