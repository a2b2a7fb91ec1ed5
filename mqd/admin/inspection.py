"""What support looks at on a node: interfaces, cipher suites, threads, the log as it grows, tables.

Decides which facts are told. Never words them for people: that is the tool's part.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from mqd.admin import interfaces
from mqd.admin.context import AdminContext
from mqd.admin.listing import batches, columns, fields_of
from mqd.admin.schema import COLUMNS, TABLES, Column
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import inspection_pb2 as pb
from mqd.rpc.v1 import values_pb2

_LOG_POLL_S: Final = 0.2
_LATENESS_S: Final = 0.5  # for how long the event loop is watched
_INTERVAL_MAX_S: Final = 600
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


async def cipher_suites(ctx: AdminContext, request: pb.CipherSuitesRequest) -> pb.CipherSuitesReply:
    """Of the TLS library, in its order of preference."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if request.all:
        context.set_ciphers("ALL")
    return pb.CipherSuitesReply(suites=[_suite(found) for found in context.get_ciphers()])


def _suite(found: Any) -> pb.CipherSuite:
    """A suite in Erlang's words."""
    name = found["name"]
    exchange = found["kea"].removeprefix("kx-").lower()
    signature = found["auth"].removeprefix("auth-").lower()
    cipher = (found["symmetric"] or "null").replace("-", "_")
    if name.endswith(("CCM8", "CCM_8_SHA256")):
        cipher += "_8"
    digest = (found["digest"] or "").replace("sha1", "sha")
    prf = next((d.lower() for d in ("SHA384", "SHA256") if name.endswith(d)), "default_prf")
    return pb.CipherSuite(
        name=name,
        key_exchange=exchange if exchange in (signature, "any") else f"{exchange}_{signature}",
        cipher=cipher,
        mac="aead" if found["aead"] else digest,
        prf=prf,
    )


async def certificates(ctx: AdminContext, request: pb.CertificatesRequest) -> pb.CertificatesReply:
    """Of TLS listeners: there are none."""
    return pb.CertificatesReply()


async def check_certificates(
    ctx: AdminContext, request: pb.CheckCertificatesRequest
) -> pb.CertificatesReply:
    """Those that expire in time; none where there are none."""
    return pb.CertificatesReply()


async def discover_peers(
    ctx: AdminContext, request: pb.DiscoverPeersRequest
) -> pb.DiscoverPeersReply:
    """Peers that configuration names: a single node has none."""
    return pb.DiscoverPeersReply()


async def network_interfaces(
    ctx: AdminContext, request: pb.NetworkInterfacesRequest
) -> pb.NetworkInterfacesReply:
    """Of this machine, by name."""
    return pb.NetworkInterfacesReply(
        interfaces=[
            pb.NetworkInterface(
                name=found.name,
                flags=found.flags,
                hardware_address=found.hardware,
                addresses=[
                    pb.NetworkAddress(address=a.address, netmask=a.netmask, broadcast=a.broadcast)
                    for a in found.addresses
                ],
            )
            for found in interfaces.interfaces()
        ]
    )


async def log_tail_stream(
    ctx: AdminContext, request: pb.LogTailStreamRequest
) -> AsyncIterator[pb.LogLines]:
    """Lines of the first log that is a file, from its present end on. Raises NOT_FOUND."""
    paths = [path for path in ctx.node.log_files if not path.startswith(("<", "-"))]
    if not paths:
        raise MqdError(ErrorCode.NOT_FOUND, f"node {ctx.node.name} does not log to a file")
    duration = request.duration if request.HasField("duration") else float("inf")
    loop = asyncio.get_running_loop()
    end = loop.time() + duration
    with await asyncio.to_thread(_opened_at_end, paths[0]) as file:
        rest = b""
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(_LOG_POLL_S, left))
            *lines, rest = (rest + file.read()).split(b"\n")
            if lines:
                yield pb.LogLines(
                    rows=[pb.LogLine(text=line.decode(errors="replace")) for line in lines]
                )


def _opened_at_end(path: str) -> BinaryIO:
    try:
        file = Path(path).open("rb")  # noqa: SIM115 the caller closes it
    except OSError as error:
        raise MqdError(
            ErrorCode.NOT_FOUND, f"cannot read the log {path}: {error.strerror}"
        ) from error
    file.seek(0, os.SEEK_END)
    return file


async def tasks(ctx: AdminContext, request: pb.TasksRequest) -> pb.TasksReply:
    """How many there are, and how late the loop that runs them is."""
    loop = asyncio.get_running_loop()
    worst, end = 0.0, loop.time() + _LATENESS_S
    while (now := loop.time()) < end:
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - now - 0.01)
    return pb.TasksReply(tasks=len(asyncio.all_tasks()), loop_delay_ms=worst * 1000)


async def threads(ctx: AdminContext, request: pb.ThreadsRequest) -> pb.ThreadsReply:
    """What share of an interval each thread of the process ran."""
    seconds = min(max(request.sample_interval, 0), _INTERVAL_MAX_S)
    loop = asyncio.get_running_loop()
    began, before = loop.time(), _thread_times()
    await asyncio.sleep(seconds)
    elapsed, after = max(loop.time() - began, 0.001), _thread_times()
    return pb.ThreadsReply(
        elapsed_s=elapsed,
        threads=[
            pb.Thread(name=name, busy=min((ticks - before[number][1]) / _TICKS_PER_S / elapsed, 1))
            for number, (name, ticks) in sorted(after.items())
            if number in before
        ],
    )


def _thread_times() -> dict[int, tuple[str, int]]:
    """Thread number -> (name, ticks of processor time)."""
    found = {}
    for entry in Path("/proc/self/task").iterdir():
        try:
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has just ended
        fields = rest.split()
        found[int(entry.name)] = (name, int(fields[11]) + int(fields[12]))
    return found


async def set_auth_attempt_source_tracking(
    ctx: AdminContext, request: pb.SourceTrackingRequest
) -> values_pb2.Done:
    """Count by source from now on, or no more."""
    ctx.broker.auth.attempts.by_source = {} if request.enabled else None
    return values_pb2.Done()


async def reset_auth_attempts(
    ctx: AdminContext, request: pb.ResetAuthAttemptsRequest
) -> values_pb2.Done:
    """Start from nothing."""
    ctx.broker.auth.attempts.reset()
    return values_pb2.Done()


_BLANK: Final = frozenset(pb.SchemaRow.DESCRIPTOR.fields_by_name) - COLUMNS.keys()


async def schema(ctx: AdminContext, request: pb.SchemaRequest) -> AsyncIterator[pb.SchemaRows]:
    """One row per table."""
    blank: dict[str, Column] = dict.fromkeys(_BLANK, lambda ctx, table: None)
    known = {**blank, **COLUMNS}
    chosen = columns(request.columns, known)
    rows = (fields_of(pb.SchemaRow, chosen, ctx, table) for table in TABLES)
    for batch in batches(rows, lambda chunk: pb.SchemaRows(rows=chunk)):
        yield batch
