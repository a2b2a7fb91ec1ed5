"""The node: its application, its end, its settings at run time.

Decides which request is refused before the node is bothered. Never does the work: the node's own
lifecycle does (`NodeControl`). What was begun is carried through even when the caller goes away:
half a stopped application is worse than one nobody waited for.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

from mqd import __version__
from mqd.admin import values
from mqd.admin.context import AdminContext, AppState, Watermark
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import nodes_pb2 as pb
from mqd.rpc.v1 import values_pb2

LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical", "none")
_NOT_ADVERTISED: Final = ("notice", "alert", "emergency")  # observed: 3.10.8 takes them

_STARTUP_POLL_S: Final = 0.05

_STATES: Final = {
    AppState.STOPPED: pb.APP_STATE_STOPPED,
    AppState.WAITING: pb.APP_STATE_WAITING,
    AppState.BOOTING: pb.APP_STATE_BOOTING,
    AppState.RUNNING: pb.APP_STATE_RUNNING,
    AppState.STOPPING: pb.APP_STATE_STOPPING,
}


async def probe(ctx: AdminContext, request: pb.ProbeRequest) -> pb.ProbeReply:
    """Who answers here, and in which state."""
    node = ctx.node
    return pb.ProbeReply(
        node=node.name, pid=node.pid, app=_STATES[node.app_state], version=__version__
    )


async def stop_app(ctx: AdminContext, request: pb.StopAppRequest) -> values_pb2.Done:
    """Stop the broker application; nothing to do when it is stopped."""
    await asyncio.shield(ctx.node.stop_app())
    return values_pb2.Done()


async def start_app(ctx: AdminContext, request: pb.StartAppRequest) -> values_pb2.Done:
    """Start the broker application; nothing to do when it runs. Raises what keeps it from it."""
    await asyncio.shield(ctx.node.start_app())
    return values_pb2.Done()


async def reset(ctx: AdminContext, request: pb.ResetRequest) -> values_pb2.Done:
    """Leave the cluster and forget everything."""
    await asyncio.shield(ctx.node.reset(force=False))
    return values_pb2.Done()


async def force_reset(ctx: AdminContext, request: pb.ResetRequest) -> values_pb2.Done:
    """Forget everything, whatever the cluster thinks of it."""
    await asyncio.shield(ctx.node.reset(force=True))
    return values_pb2.Done()


async def force_boot(ctx: AdminContext, request: pb.ForceBootRequest) -> values_pb2.Done:
    """Have the next start wait for nobody."""
    ctx.node.force_boot()
    return values_pb2.Done()


async def shutdown(ctx: AdminContext, request: pb.ShutdownRequest) -> pb.ShutdownReply:
    """Have the process end soon; the reply says whose end to wait for."""
    ctx.node.request_shutdown()
    return pb.ShutdownReply(pid=ctx.node.pid)


async def await_startup(ctx: AdminContext, request: pb.AwaitStartupRequest) -> values_pb2.Done:
    """Return once the application runs; until then the caller's deadline is the only bound.

    A stopped application is waited for as well: somebody may start it (observed: 3.10.8).
    """
    while True:
        await ctx.node.await_running()
        if ctx.node.app_state is AppState.RUNNING:
            return values_pb2.Done()
        await asyncio.sleep(_STARTUP_POLL_S)


async def environment(ctx: AdminContext, request: pb.EnvironmentRequest) -> pb.EnvironmentReply:
    """Every application with its settings; secrets are left out (observed: 3.10.8)."""
    applications = {
        app: values.proplist({key: values.erlang_term(value) for key, value in rows.items()})
        for app, rows in ctx.node.environment.items()
    }
    return pb.EnvironmentReply(applications=values.proplist(applications))


async def suspend_listeners(
    ctx: AdminContext, request: pb.SuspendListenersRequest
) -> values_pb2.Done:
    """Accept no new clients."""
    await asyncio.shield(ctx.node.suspend_listeners())
    return values_pb2.Done()


async def resume_listeners(
    ctx: AdminContext, request: pb.SuspendListenersRequest
) -> values_pb2.Done:
    """Accept clients again."""
    await asyncio.shield(ctx.node.resume_listeners())
    return values_pb2.Done()


async def force_gc(ctx: AdminContext, request: pb.ForceGcRequest) -> values_pb2.Done:
    """Collect garbage, all generations, before answering."""
    gc.collect()
    return values_pb2.Done()


async def set_log_level(ctx: AdminContext, request: pb.SetLogLevelRequest) -> values_pb2.Done:
    """At run time, until the next start. Raises INVALID_ARGUMENT for an unknown level."""
    if request.level not in (*LOG_LEVELS, *_NOT_ADVERTISED):
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT,
            f"level {request.level} is not supported. Try one of {', '.join(LOG_LEVELS)}",
        )
    ctx.node.set_log_level(request.level)
    return values_pb2.Done()


async def set_memory_high_watermark(
    ctx: AdminContext, request: pb.SetMemoryHighWatermarkRequest
) -> values_pb2.Done:
    """At run time, until the next start. 0 blocks publishers at once (observed: 3.10.8)."""
    match request.WhichOneof("limit"):
        case "absolute_bytes":
            ctx.node.set_memory_watermark(Watermark(0.0, request.absolute_bytes))
        case "fraction" if 0.0 <= request.fraction <= 1.0:
            ctx.node.set_memory_watermark(Watermark(request.fraction))
        case _:
            raise MqdError(
                ErrorCode.INVALID_ARGUMENT,
                "The threshold should be a fraction between 0.0 and 1.0",
            )
    return values_pb2.Done()


async def activate_disk_monitoring(
    ctx: AdminContext, request: pb.DiskMonitoring
) -> values_pb2.Done:
    """Look at the free space now and from now on."""
    ctx.node.watch_disk(True)
    return values_pb2.Done()


async def deactivate_disk_monitoring(
    ctx: AdminContext, request: pb.DiskMonitoring
) -> values_pb2.Done:
    """Look no more; an alarm is cleared. Writes that fail still hold publishers back."""
    ctx.node.watch_disk(False)
    return values_pb2.Done()


async def set_disk_free_limit(
    ctx: AdminContext, request: pb.SetDiskFreeLimitRequest
) -> values_pb2.Done:
    """At run time, until the next start."""
    match request.WhichOneof("limit"):
        case "absolute_bytes":
            ctx.node.set_disk_free_limit(request.absolute_bytes)
        case "memory_fraction" if request.memory_fraction >= 0.0:
            machine_bytes = ctx.node.memory().machine_bytes
            ctx.node.set_disk_free_limit(int(request.memory_fraction * machine_bytes))
        case _:
            raise MqdError(
                ErrorCode.INVALID_ARGUMENT,
                "the disk free limit is a number of bytes, or a fraction of the memory from 0.0 up",
            )
    return values_pb2.Done()
