"""One node in this process, from the first log line to the last.

Decides the order in which a process takes and gives back what is the machine's: log, data lock,
cookie, pid file, AMQP, control socket. Signals: TERM and INT drain and end, USR1 logs where every
thread is, HUP reads the configuration again (3.10.8 ignores it).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

from mqd import __version__
from mqd.daemon import limits, machine, report
from mqd.daemon.clock import SystemClock
from mqd.daemon.compose import Blueprint
from mqd.daemon.cookie import read_or_create
from mqd.daemon.lifecycle import GivenUp
from mqd.daemon.locks import DataLock, remove_pid_file, write_pid_file
from mqd.daemon.logs import Logging, skip_unused_details
from mqd.daemon.node import Node, NodeFiles
from mqd.daemon.reload import Reloader, reader
from mqd.daemon.setup import Setup, read_setup
from mqd.errors import MqdError
from mqd.names import PidSource

_log = logging.getLogger(__name__)


def run(setup: Setup, on_ready: Callable[[], None]) -> int:
    """Returns the exit code when the node was told to end. Raises MqdError when it cannot
    start; whatever it took is given back."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    with contextlib.ExitStack() as taken:
        _settle_rename(setup)
        lock = DataLock(setup.paths.data)
        taken.callback(lock.release)
        clock = SystemClock()
        pids = PidSource(setup.paths.node, clock.wall_ms() // 1000)
        skip_unused_details()
        log = Logging(setup.logs, f"<{pids.node}.{pids.creation}.")
        taken.callback(log.close)
        cookie = setup.variables.text("ERLANG_COOKIE") or read_or_create(setup.paths.cookie)
        write_pid_file(setup.paths.pid_file)
        if not setup.paths.keep_pid_file:
            taken.callback(remove_pid_file, setup.paths.pid_file)
        refused = limits.apply(setup.variables.limits)
        if limits.OPEN_FILES not in setup.variables.limits:
            machine.raise_open_files_limit()
        _introduce(setup, cookie)
        for warning in refused:
            _log.warning("%s", warning)
        try:
            blueprint = _blueprint(setup, clock, pids)
            node = _node(setup, blueprint, cookie, log)
            read = reader(read_setup, os.environ)
            gc.collect()
            gc.disable()  # until it is ready: _tune_collector
            asyncio.run(_serve(node, setup, Reloader(node, setup, log, read), on_ready))
        except MqdError as error:
            _log.error("the node cannot run: %s", error.detail)
            raise
        except Exception:
            _log.exception("the node failed")
            raise
    return 0


def _settle_rename(setup: Setup) -> None:
    """What rename_cluster_node prepared; seldom anything."""
    data = setup.paths.data
    prepared = data if data.exists() else data.parent / "*"
    if any(prepared.parent.glob(f"{prepared.name}/before_rename")):
        from mqd.daemon.offline import settle_rename

        settle_rename(data, setup.paths.node)


def _introduce(setup: Setup, cookie: str) -> None:
    for warning in report.warnings(setup.variables, setup.paths):
        _log.warning("%s", warning)
    for note in report.without_effect(setup.configuration, setup.variables):
        _log.info("Configuration: %s has no effect: %s (%s)", note.what, note.reason, note.origin)
    _log.info("Starting mqd %s, compatible with RabbitMQ 3.10.8", __version__)
    _log.info("%s", report.log_header(setup.paths, setup.logs, setup.configuration, cookie))
    sys.stdout.write(report.banner(__version__, setup.paths, setup.logs, setup.configuration))
    sys.stdout.flush()


def _blueprint(setup: Setup, clock: SystemClock, pids: PidSource) -> Blueprint:
    paths = setup.paths
    return Blueprint(
        paths.node,
        paths.data,
        setup.settings,
        clock,
        pids,
        paths.enabled_plugins,
        plugin_folders=paths.plugin_folders,
        plugins_expand=paths.plugins_expand,
    )


def _node(setup: Setup, blueprint: Blueprint, cookie: str, log: Logging) -> Node:
    files = NodeFiles(
        cookie=cookie,
        config_files=setup.configuration.files,
        logs=setup.logs,
        configuration=setup.configuration,
        control_port=setup.clustering.port,
    )
    return Node(blueprint, files, setup.notifier, log)


async def _serve(
    node: Node, setup: Setup, reloader: Reloader, on_ready: Callable[[], None]
) -> None:
    _listen_to_signals(node)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_stray_exception)
    if setup.configuration.threads:
        loop.set_default_executor(ThreadPoolExecutor(setup.configuration.threads))
    async with contextlib.AsyncExitStack() as opened:
        opened.push_async_callback(node.stop_app)
        setup.clustering.check_free()
        if node.is_member:
            await _start_member(node, setup, opened)
        else:
            await node.start_app()
            await _serve_control(node, setup, opened)
        _ready(node, on_ready)
        await _until_told(node, reloader)
        _log.info("RabbitMQ is asked to stop...")
        setup.notifier.stopping("Stopping")


async def _start_member(node: Node, setup: Setup, opened: contextlib.AsyncExitStack) -> None:
    """Others must be able to ask it, and tools to help it, while it waits. One that its cluster has
    forgotten stays for a tool to reset it, and is down for everything else (as with 3.10.8, whose
    process ends). One that would have to give up what it was forced to go on with stays, too, its
    app stopped, until it is told."""
    await _serve_control(node, setup, opened)
    try:
        await node.start_app()
    except GivenUp as error:
        _log.info("%s", error.detail)
    except MqdError as error:
        if node.membership.apart:
            _log.error("%s", error.detail)
            return
        if node.membership.forgotten is None:
            if unmet := node.membership.unmet:
                raise MqdError(error.code, f"{unmet}\n{error.detail}") from error
            raise
        _log.error("%s", error.detail)
        node.disown()


async def _serve_control(node: Node, setup: Setup, opened: contextlib.AsyncExitStack) -> None:
    # AMQP is answered by now: importing gRPC takes longer than all the rest, so a thread does it.
    server = await asyncio.to_thread(importlib.import_module, "mqd.control.server")
    control = await server.serve(node, setup.paths.control_socket, setup.clustering)
    opened.push_async_callback(control.stop)
    node.clustering = setup.clustering.info


def _ready(node: Node, on_ready: Callable[[], None]) -> None:
    if node.app is not None:
        sys.stdout.write(f" completed with {len(node.running_plugins)} plugins.\n")
        sys.stdout.flush()
    _tune_collector()
    machine.keep_freed_memory()
    node.notifier.ready("Ready" if node.app is not None else node.disowned or "Not started")
    _feed_watchdog(node)
    on_ready()


async def _until_told(node: Node, reloader: Reloader) -> None:
    """Wait for the end; what was asked for by SIGHUP until now and from now on is done."""

    async def reload_when_asked() -> None:
        while True:
            await node.reload_wanted.wait()
            node.reload_wanted.clear()
            await reloader.reload()

    async with asyncio.TaskGroup() as tasks:
        reloading = tasks.create_task(reload_when_asked())
        await node.shutdown_wanted.wait()
        reloading.cancel()


def _log_stacks(_number: int, _frame: FrameType | None) -> None:
    """Not faulthandler, which reads the frames of running threads and may crash on them."""
    import traceback

    for thread, frame in sys._current_frames().items():
        _log.info("thread %d\n%s", thread, "".join(traceback.format_stack(frame)).rstrip())


def _tune_collector() -> None:
    """What was made until now stays for good; what comes is messages, which have no cycles.

    Measured with 12-byte messages filled into a queue and drained: 2.4 CPU-s a million instead
    of 2.7; one to one makes no difference. Neither does sys.setswitchinterval, from 0.5 ms to
    20 ms, under persistent messages with confirms, and uvloop (connections cost a third less,
    messages a quarter more, 2.5 MB) is no gain either. While it starts nothing is collected: to
    look through a million recovered messages takes 0.6 s, and there is no cycle among them.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 20, 50)


def _stray_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody awaited or caught: a fault of ours that must not pass unseen."""
    _log.error("%s", context.get("message"), exc_info=context.get("exception"))


def _feed_watchdog(node: Node) -> None:
    interval_s = node.notifier.watchdog_s
    if interval_s:
        node.notifier.alive()
        asyncio.get_running_loop().call_later(interval_s, _feed_watchdog, node)


def _listen_to_signals(node: Node) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.request_shutdown)
    loop.add_signal_handler(signal.SIGHUP, node.reload_wanted.set)
    signal.signal(signal.SIGUSR1, _log_stacks)
