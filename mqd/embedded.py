"""A broker inside a Python program or a test suite.

Decides how it is started and ended: `Broker` on a thread of its own for synchronous code,
`AsyncBroker` on the running loop. What runs is what the daemon runs (`mqd.daemon.compose`), with
storage in a temporary directory unless one is given, without log files, signals or, unless asked
for, a control socket.

    with mqd.embedded.Broker() as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from mqd.config.load import Configuration, load
from mqd.config.parse import Entry
from mqd.config.settings import NodeSettings, node_settings
from mqd.config.variables import Variables
from mqd.daemon.clock import SystemClock
from mqd.daemon.compose import Blueprint
from mqd.daemon.locks import DataLock
from mqd.daemon.logs import Outputs
from mqd.daemon.node import Node, NodeFiles
from mqd.daemon.systemd import Notifier
from mqd.names import NodeName, PidSource
from mqd.plugins.enabled import show

if TYPE_CHECKING:
    from mqd.control.server import ControlServer

_ORIGIN = "argument"
# Blocking clients do not answer while the test that ends us does not call them.
_DRAIN_S = 0.1
# A test suite must not stall because the machine it runs on is full.
_NO_ALARMS = {
    "disk_free_limit.absolute": "0",
    "vm_memory_high_watermark.relative": "1.0",
}


class _Options:
    """What both forms are made of.

    data: directory that keeps messages and metadata, or None for one that goes with the broker.
    port: 0 takes a free one. config: keys of rabbitmq.conf. control: path of a control socket for
    mqctl, or None for none. plugins: names of those to enable, None for those that `data` had
    before.
    """

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        config: Mapping[str, str] | None = None,
        node: str = "embedded@localhost",
        control: str | Path | None = None,
        plugins: Sequence[str] | None = None,
        cookie: str = "EMBEDDED",
    ) -> None:
        given = {**_NO_ALARMS, "listeners.tcp.embedded": f"{host}:{port}", **(config or {})}
        entries = [Entry(key, value, _ORIGIN) for key, value in given.items()]
        self.configuration: Configuration = load([], Variables({}), entries)
        self.settings: NodeSettings = node_settings(self.configuration)
        self.data = Path(data) if data is not None else None
        self.node = NodeName(node)
        self.control = Path(control) if control is not None else None
        self.plugins = plugins
        self.cookie = cookie


class AsyncBroker:
    """An asynchronous context manager; the arguments are those of `_Options`."""

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        config: Mapping[str, str] | None = None,
        node: str = "embedded@localhost",
        control: str | Path | None = None,
        plugins: Sequence[str] | None = None,
    ) -> None:
        self._options = _Options(
            data, host=host, port=port, config=config, node=node, control=control, plugins=plugins
        )
        self._opened = contextlib.AsyncExitStack()
        self._node: Node | None = None

    async def __aenter__(self) -> Self:
        """Raises MqdError when it cannot start."""
        async with contextlib.AsyncExitStack() as opened:
            self._node = await _start(self._options, opened)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.aclose()

    @property
    def node(self) -> Node:
        """The node, for those who want more than AMQP of it."""
        assert self._node is not None, "the broker is not running: enter it first"
        return self._node

    @property
    def host(self) -> str:
        return self._address()[0]

    @property
    def port(self) -> int:
        return self._address()[1]

    @property
    def url(self) -> str:
        """amqp://user:password@host:port/vhost of the user made on the first boot."""
        first = self._options.settings.first_boot
        host, port = self._address()
        shown = f"[{host}]" if ":" in host else host
        user, password = quote(first.user, safe=""), quote(first.password, safe="")
        return f"amqp://{user}:{password}@{shown}:{port}/{quote(first.vhost, safe='')}"

    def _address(self) -> tuple[str, int]:
        app = self.node.app
        assert app is not None, "the broker application is stopped"
        return app.addresses[0]


async def _start(options: _Options, opened: contextlib.AsyncExitStack) -> Node:
    if options.data is None:
        directory = tempfile.TemporaryDirectory(prefix="mqd-", ignore_cleanup_errors=True)
        data = Path(opened.enter_context(directory)) / "node"
    else:
        data = options.data
    opened.callback(DataLock(data).release)
    clock = SystemClock()
    pids = PidSource(options.node, clock.wall_ms() // 1000)
    plugins = data / "enabled_plugins"
    if options.plugins is not None:
        plugins.write_text(show(options.plugins), "utf-8")
    blueprint = Blueprint(options.node, data, options.settings, clock, pids, plugins, _DRAIN_S)
    files = NodeFiles(
        cookie=options.cookie,
        config_files=(),
        logs=Outputs(options.settings.log, None),
        configuration=options.configuration,
    )
    node = Node(blueprint, files, Notifier({}))
    opened.push_async_callback(node.stop_app)
    await node.start_app()
    if options.control is not None:
        from mqd.control.server import serve  # gRPC: as long as all the rest together

        server: ControlServer = await serve(node, options.control)
        opened.push_async_callback(server.stop, 0)
    return node


class Broker:
    """A synchronous context manager: the same broker on a thread of its own."""

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        config: Mapping[str, str] | None = None,
        node: str = "embedded@localhost",
        control: str | Path | None = None,
        plugins: Sequence[str] | None = None,
    ) -> None:
        self._broker = AsyncBroker(
            data, host=host, port=port, config=config, node=node, control=control, plugins=plugins
        )
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self.host = ""
        self.port = 0
        self.url = ""

    def __enter__(self) -> Self:
        """Returns once AMQP is answered. Raises MqdError when it cannot start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        assert self._thread is None, "the broker is running already"
        self._started.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._main, name="mqd-broker", daemon=True)
        self._thread.start()
        self._started.wait()
        if not self.url:
            self.stop()

    def stop(self) -> None:
        """Drain, write what is left, end the thread. Harmless when it is not running."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._end is not None:
            with contextlib.suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._end.set)
        thread.join()
        self.url = ""
        if self._failure is not None:
            raise self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with self._broker as broker:
            self.host, self.port, self.url = broker.host, broker.port, broker.url
            self._started.set()
            await self._end.wait()
