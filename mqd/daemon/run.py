"""One node in this process, from the first log line to the last.

Decides the order in which a process takes and gives back what is the machine's: log, data lock,
cookie, pid file, AMQP, control socket. Signals: TERM and INT drain and end, USR1 writes where
every thread is to the log's neighbour, HUP does nothing (observed: 3.10.8 ignores it).
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import signal
import sys
from collections.abc import Callable

from mqd.daemon import machine, report
from mqd.daemon.clock import SystemClock
from mqd.daemon.compose import Blueprint
from mqd.daemon.cookie import read_or_create
from mqd.daemon.locks import DataLock, remove_pid_file, write_pid_file
from mqd.daemon.logs import Logging
from mqd.daemon.node import Node, NodeFiles
from mqd.daemon.setup import Setup
from mqd.names import PidSource

_log = logging.getLogger(__name__)


def run(setup: Setup, on_ready: Callable[[], None]) -> int:
    """Returns the exit code when the node was told to end. Raises MqdError when it cannot
    start; whatever it took is given back."""
    with contextlib.ExitStack() as taken:
        lock = DataLock(setup.paths.data)
        taken.callback(lock.release)
        log = Logging(setup.logs)
        taken.callback(log.close)
        cookie = setup.variables.text("ERLANG_COOKIE") or read_or_create(setup.paths.cookie)
        write_pid_file(setup.paths.pid_file)
        if not setup.paths.keep_pid_file:
            taken.callback(remove_pid_file, setup.paths.pid_file)
        machine.raise_open_files_limit()
        _introduce(setup, cookie)
        try:
            asyncio.run(_serve(setup, cookie, log, on_ready))
        except Exception:
            _log.exception("the node ended")
            raise
    return 0


def _introduce(setup: Setup, cookie: str) -> None:
    from mqd.daemon.main import own_version

    version = own_version()
    for warning in report.warnings(setup.variables, setup.paths):
        _log.warning("%s", warning)
    _log.info("Starting mqd %s, compatible with RabbitMQ 3.10.8", version)
    _log.info("%s", report.log_header(setup.paths, setup.logs, setup.configuration, cookie))
    sys.stdout.write(report.banner(version, setup.paths, setup.logs, setup.configuration))
    sys.stdout.flush()


def make_node(setup: Setup, cookie: str, log: Logging | None) -> Node:
    """The node that a set-up describes."""
    clock = SystemClock()
    pids = PidSource(setup.paths.node, clock.wall_ms() // 1000)
    paths = setup.paths
    blueprint = Blueprint(paths.node, paths.data, setup.settings, clock, pids)
    files = NodeFiles(
        cookie=cookie,
        config_files=setup.configuration.files,
        enabled_plugins=paths.enabled_plugins,
        logs=setup.logs,
        configuration=setup.configuration,
    )
    return Node(blueprint, files, setup.notifier, log)


async def _serve(setup: Setup, cookie: str, log: Logging, on_ready: Callable[[], None]) -> None:
    node = make_node(setup, cookie, log)
    _listen_to_signals(node, setup)
    async with contextlib.AsyncExitStack() as opened:
        opened.push_async_callback(node.stop_app)
        await node.start_app()
        await _serve_control(node, setup, opened)
        _ready(node, on_ready)
        await node.shutdown_wanted.wait()
        _log.info("RabbitMQ is asked to stop...")
        setup.notifier.stopping("Stopping")


async def _serve_control(node: Node, setup: Setup, opened: contextlib.AsyncExitStack) -> None:
    # AMQP is answered by now: gRPC takes longer to import than all the rest.
    server_module = await asyncio.to_thread(_import_control)
    server = await server_module(node, setup.paths.control_socket)
    opened.push_async_callback(server.stop)


def _import_control():  # type: ignore[no-untyped-def]
    from mqd.control.server import serve

    return serve


def _ready(node: Node, on_ready: Callable[[], None]) -> None:
    sys.stdout.write(" completed with 0 plugins.\n")
    sys.stdout.flush()
    gc.collect()
    gc.freeze()
    node.notifier.ready("Ready")
    _feed_watchdog(node)
    on_ready()


def _feed_watchdog(node: Node) -> None:
    interval_s = node.notifier.watchdog_s
    if interval_s:
        node.notifier.alive()
        asyncio.get_running_loop().call_later(interval_s, _feed_watchdog, node)


def _listen_to_signals(node: Node, setup: Setup) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.request_shutdown)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
