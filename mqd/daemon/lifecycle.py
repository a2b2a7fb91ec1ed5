"""What a node lives through: boot, ready, drain, stop, and the app inside it coming and going.

Theory. The node is the process with its data directory and control socket; the app is the broker
inside it (`compose.App`). stop_app ends the app and leaves the node serving control, start_app
brings it back, reset empties the data directory in between. One lock makes the moves exclusive:
a second start_app waits for the first and finds the work done.

Decides the order of those moves and what is told to the service manager on the way. Never builds
an object of the broker (`compose` does) and answers no question about the node (`node` does).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mqd.admin.context import AppState, app_running
from mqd.config.settings import NodeSettings
from mqd.daemon.alarms import Alarms
from mqd.daemon.compose import App, Blueprint, boot
from mqd.daemon.locks import LOCK_FILE
from mqd.daemon.report import unknown_plugin
from mqd.daemon.systemd import Notifier
from mqd.errors import ErrorCode, MqdError
from mqd.plugins import catalogue, enabled, installed
from mqd.plugins.catalogue import Running
from mqd.plugins.table import LIBRARIES, Plugins

_log = logging.getLogger(__name__)

FORCE_LOAD_FILE = "force_load"  # RabbitMQ's name for the marker that force_boot leaves
_STEP_EXTEND_S = 120  # what one step of the boot or of the end may take, as told to systemd


class Lifecycle:
    """The app's comings and goings on one data directory, which the caller has locked."""

    def __init__(self, blueprint: Blueprint, notifier: Notifier) -> None:
        self.blueprint = blueprint
        self.notifier = notifier
        self.app: App | None = None
        self.app_state = AppState.STOPPED
        self.in_maintenance = False
        self.shutdown_wanted = asyncio.Event()
        self.reload_wanted = asyncio.Event()
        self.alarms = Alarms(
            blueprint.node,
            blueprint.data,
            blueprint.settings.resources,
            self._set_alarm,
            self._share_memory,
        )
        self._moving = asyncio.Lock()
        self._settled = asyncio.Event()
        self._settled.set()

    # -- the app ------------------------------------------------------------------------------

    async def start_app(self) -> None:
        async with self._moving:
            if self.app is not None:
                return
            self._move(AppState.BOOTING)
            try:
                plugins, room_bytes = self._plugins(), self.alarms.backlog_limit_bytes
                self.app = await boot(self.blueprint, plugins, self._step, room_bytes)
            except BaseException:
                self._move(AppState.STOPPED)
                raise
            self.alarms.start()
            self._forget_force_boot()
            self._move(AppState.RUNNING)
            names = self.app.plugins.names
            listed = "".join(f"\n * {name}" for name in names)
            _log.info("Server startup complete; %d plugins started.%s", len(names), listed)

    def _plugins(self) -> Running:
        """Those to be run. Raises ConfigError when the file cannot be read."""
        path, folders = self.blueprint.enabled_plugins, self.blueprint.plugin_folders
        names = [name for name in enabled.read(path) if name not in LIBRARIES]
        plugins = catalogue.known(names, folders)
        for name in names:
            if name not in plugins:
                _log.warning("%s", unknown_plugin(path, name))
        return catalogue.start(names, _tell_of_broken, plugins, folders)

    def use_settings(self, settings: NodeSettings) -> None:
        """Of a configuration that was read again: for new connections, and for the next app."""
        self.blueprint = replace(self.blueprint, settings=settings)
        if self.app is not None:
            self.app.use_settings(settings)

    # -- plugins ------------------------------------------------------------------------------

    async def known_plugins(self) -> Plugins:
        return await asyncio.to_thread(installed.every, self.blueprint.plugin_folders)

    async def plugin_troubles(self, names: Iterable[str]) -> Mapping[str, str]:
        def examine() -> dict[str, str]:
            troubles: dict[str, str] = {}
            folders = self.blueprint.plugin_folders
            plugins = installed.every(folders)
            catalogue.start(names, troubles.__setitem__, plugins, folders)
            return troubles

        return await asyncio.to_thread(examine)

    async def apply_plugins(self) -> tuple[Sequence[str], Sequence[str]]:
        async with self._moving:
            app = self._running_app()
            running = await asyncio.to_thread(self._plugins)
            before = app.plugins.names
            app.use_plugins(running)
        started = [name for name in running.names if name not in before]
        stopped = [name for name in before if name not in running.names]
        if started or stopped:
            listed = (", ".join(started), ", ".join(stopped))
            _log.info("Plugins changed; enabled [%s], disabled [%s]", *listed)
        return started, stopped

    # -- the app, on its way ------------------------------------------------------------------

    async def stop_app(self) -> None:
        async with self._moving:
            app, self.app = self.app, None
            if app is None:
                return
            self._move(AppState.STOPPING)
            self.alarms.stop()
            try:
                self.notifier.status("Closing client connections", _STEP_EXTEND_S)
                await app.drain()
                self.notifier.status("Writing what is left to disc", _STEP_EXTEND_S)
            finally:
                await app.close()
                self.in_maintenance = False
                self._move(AppState.STOPPED)
            self.notifier.status("Broker application stopped; control is served")
            _log.info("Successfully stopped RabbitMQ and its dependencies")

    async def await_running(self) -> None:
        await self._settled.wait()

    def _move(self, state: AppState) -> None:
        self.app_state = state
        if state is AppState.BOOTING:
            self._settled.clear()
        else:
            self._settled.set()

    def _step(self, name: str) -> None:
        _log.debug("Running boot step %s", name)
        self.notifier.status(f"Startup in progress ({name})", _STEP_EXTEND_S)

    def _set_alarm(self, name: str, on: bool) -> None:
        if self.app is not None:
            self.app.set_alarm(name, on)

    def _share_memory(self, limit_bytes: int, spare_bytes: int) -> None:
        """What is not in backlogs is in no account of theirs: what the machine says decides."""
        if self.app is not None:
            room = self.app.broker.room
            room.resize(max(min(limit_bytes, room.leased_bytes + spare_bytes), 0))

    # -- data ---------------------------------------------------------------------------------

    async def reset(self, force: bool) -> None:
        """One machine has no peers to leave, so force makes no difference yet."""
        del force
        async with self._moving:
            if self.app is not None:
                raise app_running()
            _log.info("Resetting Rabbit")
            await asyncio.to_thread(_empty, self.blueprint.data)

    def force_boot(self) -> None:
        (self.blueprint.data / FORCE_LOAD_FILE).touch()

    def _forget_force_boot(self) -> None:
        (self.blueprint.data / FORCE_LOAD_FILE).unlink(missing_ok=True)

    # -- clients ------------------------------------------------------------------------------

    async def suspend_listeners(self) -> None:
        self._running_app().suspend_listeners()

    async def resume_listeners(self) -> None:
        await self._running_app().resume_listeners()

    async def drain(self) -> None:
        app = self._running_app()
        _log.warning("This node is being put into maintenance (drain) mode")
        self.in_maintenance = True
        app.suspend_listeners()
        await app.send_clients_away("Node was put into maintenance mode")
        _log.warning("Node has been drained")

    async def revive(self) -> None:
        app = self._running_app()
        _log.info("This node is being revived from maintenance (drain) mode")
        self.in_maintenance = False
        await app.resume_listeners()

    def _running_app(self) -> App:
        if self.app is None:
            raise MqdError(ErrorCode.APP_STOPPED, "the broker application is stopped: start_app")
        return self.app

    # -- the node -----------------------------------------------------------------------------

    def request_shutdown(self) -> None:
        self.shutdown_wanted.set()


def _tell_of_broken(name: str, reason: str) -> None:
    _log.error("plugin '%s' is not started: %s", name, reason)


def _empty(directory: Path) -> None:
    """Remove everything but the lock, which we hold."""
    for path in directory.iterdir():
        if path.name == LOCK_FILE:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
