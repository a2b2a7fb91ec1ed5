"""Plugins: what there is, what runs, and following the file when a tool has changed it.

Never writes the file enabled_plugins: the tool does, with the rights of whoever called it. So the
node looks only whether both mean the same file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from mqd.admin.context import AdminContext, AppState
from mqd.admin.everywhere import ask, others
from mqd.auth.patterns import InvalidPattern, compile_pattern
from mqd.config.parse import ConfigError
from mqd.errors import ErrorCode, MqdError
from mqd.plugins import enabled
from mqd.plugins.table import LIBRARIES
from mqd.rpc.v1 import plugins_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done


async def list_(ctx: AdminContext, request: pb.ListPlugins) -> pb.PluginsReply:
    """What there is, and which names match. Raises INVALID_ARGUMENT for the pattern."""
    try:
        pattern = compile_pattern(request.pattern)
    except InvalidPattern as error:
        reason = f"{{:badmatch, {{:error, {{'{error.reason}', {error.offset}}}}}}}"
        raise MqdError(ErrorCode.INVALID_ARGUMENT, reason) from error
    reply = await _reply(ctx, {})
    for row in reply.plugins:
        row.matches = pattern.search(row.name.encode()) is not None
    return reply


async def is_enabled(ctx: AdminContext, request: pb.IsPluginEnabled) -> pb.PluginsReply:
    """The same; the tool judges."""
    return await _reply(ctx, {})


async def directories(ctx: AdminContext, request: pb.ListPluginDirectories) -> pb.PluginsReply:
    """The same; the tool shows the paths."""
    return await _reply(ctx, {})


async def examine(ctx: AdminContext, request: pb.ExaminePlugins) -> pb.PluginsReply:
    """The same, with what would keep the named plugins from running."""
    return await _reply(ctx, await ctx.node.plugin_troubles(request.plugins))


async def enable(ctx: AdminContext, request: pb.EnablePlugins) -> pb.PluginsApplied:
    """Follow the file. Raises INVALID_ARGUMENT when it is not ours."""
    return await _apply(ctx, request.file)


async def disable(ctx: AdminContext, request: pb.DisablePlugins) -> pb.PluginsApplied:
    """The same."""
    return await _apply(ctx, request.file)


async def set_(ctx: AdminContext, request: pb.SetPlugins) -> pb.PluginsApplied:
    """The same."""
    return await _apply(ctx, request.file)


async def reset_stats_db(ctx: AdminContext, request: pb.ResetStatsDbRequest) -> Done:
    """Forget what was sampled; with `all`, on every member that runs."""
    ctx.node.reset_statistics()
    if request.all:
        for node in others(ctx):
            await ask(ctx, node, "Plugins.ResetStatsDb", request)
    return Done()


async def _reply(ctx: AdminContext, troubles: Mapping[str, str]) -> pb.PluginsReply:
    node = ctx.node
    known = await node.known_plugins()
    running = {plugin.name for plugin in node.running_plugins}
    rows = [
        pb.PluginRow(
            name=plugin.name,
            version=plugin.version,
            description=plugin.description,
            needs=plugin.needs,
            is_running=plugin.name in running,
            trouble=troubles.get(plugin.name, ""),
        )
        for plugin in known.values()
    ]
    return pb.PluginsReply(
        plugins=rows,
        app_runs=node.app_state is AppState.RUNNING,
        enabled_plugins_file=str(node.enabled_plugins_file),
        folders=map(str, node.plugin_folders),
        expand_folder=str(node.plugins_expand),
        enabled=sorted(running | _libraries(node.enabled_plugins_file)),
    )


def _libraries(path: Path) -> set[str]:
    """Those in the file, which count as enabled though they do nothing."""
    try:
        return set(enabled.read(path)) & LIBRARIES
    except ConfigError:
        return set()


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


async def _apply(ctx: AdminContext, file: str) -> pb.PluginsApplied:
    own = ctx.node.enabled_plugins_file
    if not _is_same(Path(file), own):
        raise MqdError(ErrorCode.INVALID_ARGUMENT, str(own))
    started, stopped = await asyncio.shield(ctx.node.apply_plugins())
    return pb.PluginsApplied(started=started, stopped=stopped)
