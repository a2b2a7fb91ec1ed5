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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mqd.admin.context import AppState, app_running
from mqd.config.settings import NodeSettings
from mqd.daemon.alarms import Alarms
from mqd.daemon.compose import App, Blueprint, InVain, Unremembered, boot
from mqd.daemon.emptying import RECORD_FILE, empty, finish
from mqd.daemon.fronts import Fronts
from mqd.daemon.paths import METADATA_FILE
from mqd.daemon.plugging import tell_of_broken, wanted
from mqd.daemon.revocable import Revocable
from mqd.daemon.systemd import Notifier
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.store import MetadataStore
from mqd.plugins.catalogue import Running

if TYPE_CHECKING:
    from mqd.daemon.admission import Admitted
    from mqd.daemon.enrolment import Enrolment
    from mqd.daemon.membership import Membership
    from mqd.daemon.side import Site

_log = logging.getLogger(__name__)

FORCE_LOAD_FILE = "force_load"  # RabbitMQ's name for the marker that force_boot leaves
_STEP_EXTEND_S = 120  # what one step of the boot or of the end may take, as told to systemd


class GivenUp(MqdError):
    """A start that waited for other nodes was told to wait no more."""

    def __init__(self, node: str) -> None:
        text = f"the start of {node}, which waited for other nodes, was given up"
        super().__init__(ErrorCode.UNAVAILABLE, text)


class Lifecycle:
    """The app's comings and goings on one data directory, which the caller has locked."""

    def __init__(self, blueprint: Blueprint, notifier: Notifier) -> None:
        finish(blueprint.data)
        self.blueprint = blueprint
        self.notifier = notifier
        self.app: App | None = None
        self.app_state = AppState.STOPPED
        self.in_maintenance = False
        self.disowned: str | None = None  # why it is down for everything but a reset
        self.shutdown_wanted = asyncio.Event()
        self.reload_wanted = asyncio.Event()
        self.alarms = Alarms(
            blueprint.node,
            blueprint.data,
            blueprint.settings.resources,
            self._set_alarm,
            self._share_memory,
        )
        self.alarms.is_on_elsewhere = self._is_alarmed
        self.fronts = Fronts(self)
        self.moving = asyncio.Lock()
        self._starting = Revocable()
        self._attempts = 0  # to start
        self._given_up = False  # the start that is under way, once it has to wait
        self._anew: asyncio.Task[None] | None = None
        self._nudge = asyncio.Event()
        self._membership: Membership | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    # -- the app ------------------------------------------------------------------------------

    async def start_app(self) -> None:
        async with self.moving:
            self._given_up = False
            left = self.blueprint.settings.cluster.retry_limit
            while self.app is None:
                try:
                    await self._attempt()
                except InVain:
                    left -= 1
                    if left <= 0:
                        raise
                    _log.info("The others are looked for again, %d retries left", left)

    async def _attempt(self) -> None:
        """To start. Without an app, and without an error, when the cluster went on without this
        node meanwhile: another attempt may join it again. Raises InVain when others that it needs
        have gone, and another attempt has to wait for them."""
        self._attempts += 1
        self._move(AppState.BOOTING)
        try:
            app = await self._starting.run(self._booted())
            if app is None and self._given_up:
                raise GivenUp(self.blueprint.node)
        except BaseException:
            self._use_metadata(None)
            self._move(AppState.STOPPED)
            raise
        if app is None:
            self._use_metadata(None)
            return
        self.app = app
        try:
            await self._open(app)
        except BaseException:
            await self._take_back()
            raise
        if app.side is not None:
            await app.side.settle(self.shutdown_wanted)
        names = app.plugins.names
        listed = "".join(f"\n * {name}" for name in names)
        _log.info("Server startup complete; %d plugins started.%s", len(names), listed)

    async def _booted(self) -> App:
        """What was opened is closed again when this is called off."""
        await self._finish_emptying()
        if self._looks_for_peers():
            await self._join_peers()
        member = await self._enrol() if self.is_member else None
        self._move(AppState.BOOTING)
        plugins, room_bytes = self._plugins(), self.alarms.backlog_limit_bytes
        try:
            return await boot(self.blueprint, plugins, self._step, room_bytes, member)
        except Unremembered as error:
            self.membership.recall(error.state, error.number)
            if len(error.state.members) > 1:
                raise
            return await self._booted()  # it cannot have missed anything

    async def _open(self, app: App) -> None:
        """Everything around the app that was booted."""
        self._use_metadata(app.metadata)
        if app.side is not None:
            app.side.attach(app.broker)
        self.alarms.start()
        self._forget_force_boot()
        for name, error in (await self.fronts.follow(app.plugins)).items():
            tell_of_broken(name, error.detail)
            app.plugins = app.plugins.without([name])
        self._move(AppState.RUNNING)
        if app.side is not None:
            await self.membership.serving()
            await app.side.open()

    async def _take_back(self) -> None:
        """A start failed: what it began ends as any app does. Why it failed is told, not this."""
        try:
            await self._end_app()
        except Exception:  # noqa: BLE001 - the caller raises what came before
            _log.exception("what had been started did not end as it should")

    def _plugins(self) -> Running:
        """Those to be run. Raises ConfigError when the file cannot be read."""
        return wanted(self.blueprint.enabled_plugins, self.blueprint.plugin_folders)

    def use_settings(self, settings: NodeSettings) -> None:
        """Of a configuration that was read again: for new connections, and for the next app."""
        self.blueprint = replace(self.blueprint, settings=settings)
        if self.app is not None:
            self.app.use_settings(settings)

    # -- as a member of a cluster -------------------------------------------------------------

    @property
    def is_member(self) -> bool:
        """Whether the start depends on other nodes."""
        if self._membership is None and not (self.blueprint.data / RECORD_FILE).exists():
            return False  # nothing of a cluster is loaded for a node by itself
        return self.membership.is_member

    @property
    def membership(self) -> Membership:
        """Of this node, which may be alone."""
        if self._membership is None:
            self._membership = self._make_membership()
        return self._membership

    def _make_membership(self) -> Membership:
        raise NotImplementedError

    def start_anew(self) -> None:
        """The cluster went on without this node: stop, and join it again."""
        self._starting.revoke()
        loop = asyncio.get_running_loop()
        self._anew = loop.create_task(self._stop_and_start(self._attempts))

    async def _stop_and_start(self, attempt: int) -> None:
        """Unless that one came to nothing."""
        try:
            async with self.moving:
                if self._attempts != attempt:
                    return
                await self._end_app()
            if not self.shutdown_wanted.is_set():
                await self.start_app()
        except MqdError as error:
            _log.error("the app is not started again: %s", error.detail)
        except Exception:  # noqa: BLE001 - nobody waits for this
            _log.exception("the app is not started again")

    def _use_metadata(self, metadata: MetadataStore | None) -> None:
        if self._membership is not None:
            self._membership.use(metadata)

    def _site(self) -> Site:
        raise NotImplementedError

    def _looks_for_peers(self) -> bool:
        """At the first start, where the configuration names some."""
        cluster, data = self.blueprint.settings.cluster, self.blueprint.data
        return bool(cluster.peers or cluster.hostname) and not (
            (data / METADATA_FILE).exists() or (data / RECORD_FILE).exists()
        )

    async def _join_peers(self) -> None:
        from mqd.daemon.discovery import join_peers

        await join_peers(self.membership, self.blueprint.settings.cluster, self._wipe)

    async def _enrol(self) -> Enrolment:
        from mqd.daemon.enrolment import Enrolment

        return Enrolment(self._site(), await self._admitted(), self._wait)

    async def _admitted(self) -> Admitted:
        """Wait for the others as long as the configuration says."""
        from mqd.daemon.admission import Admission

        admission = Admission(
            self.membership,
            self.blueprint.settings.cluster,
            self.notifier,
            self.blueprint.clock,
            self._force_boot_file.exists,
            self._nudge,
            self._wipe_metadata,
            self._wait,
        )
        self._nudge.clear()
        return await admission.admitted()

    def _wait(self, waits: bool) -> None:
        """For other members, or no more."""
        self._move(AppState.WAITING if waits else AppState.BOOTING)
        if waits and self._given_up:
            self._starting.revoke()

    def _give_up_waiting(self) -> None:
        """Before a move that a start which waits for others would hold up."""
        self._given_up = True
        if self.app_state is AppState.WAITING:
            self._starting.revoke()

    async def join(self, target: str, kind: str) -> bool:
        """Become a member of another node's cluster."""
        self._give_up_waiting()
        async with self.moving:
            self._check_stopped()
            return await self.membership.join(target, kind, self._wipe)

    async def change_type(self, kind: str) -> bool:
        """Become the other kind of member."""
        self._give_up_waiting()
        async with self.moving:
            self._check_stopped()
            return await self.membership.change_type(kind, self._wipe_metadata)

    async def _wipe(self, record: str = "") -> None:
        emptying = asyncio.ensure_future(asyncio.to_thread(empty, self.blueprint.data, record))
        try:
            await asyncio.shield(emptying)
        except asyncio.CancelledError:  # who asked has left; nothing may start before it is done
            await asyncio.wait([emptying])
            if self._membership is not None:
                self._membership.read_again()
            raise

    async def _finish_emptying(self) -> None:
        """A reset or a join that failed half-way: nothing may start on what it left."""
        if await asyncio.to_thread(finish, self.blueprint.data) and self._membership is not None:
            self._membership.read_again()

    async def _wipe_metadata(self) -> None:
        await asyncio.to_thread(MetadataStore.wipe, self.blueprint.data / METADATA_FILE)

    def _check_stopped(self) -> None:
        if self.app is not None:
            raise app_running()

    # -- plugins ------------------------------------------------------------------------------

    async def apply_plugins(self) -> tuple[Sequence[str], Sequence[str]]:
        async with self.moving:
            app = self._running_app()
            running = await asyncio.to_thread(self._plugins)
            before = app.plugins.names
            failed = await self.fronts.follow(running)
            running = running.without(failed)
            app.use_plugins(running)
        started = [name for name in running.names if name not in before]
        stopped = [name for name in before if name not in running.names]
        if started or stopped:
            listed = (", ".join(started), ", ".join(stopped))
            _log.info("Plugins changed; enabled [%s], disabled [%s]", *listed)
        for name, error in failed.items():
            tell_of_broken(name, error.detail)
            raise MqdError(error.code, f"plugin {name} cannot run: {error.detail}")
        return started, stopped

    # -- the app, on its way ------------------------------------------------------------------

    async def stop_app(self) -> None:
        self._give_up_waiting()
        async with self.moving:
            await self._end_app()

    async def _end_app(self) -> None:
        app, self.app = self.app, None
        if app is None:
            return
        self._move(AppState.STOPPING)
        self.alarms.stop()
        try:
            await self.fronts.close()
            self.notifier.status("Closing client connections", _STEP_EXTEND_S)
            await app.drain()
            await app.leave_off()
            self.notifier.status("Writing what is left to disc", _STEP_EXTEND_S)
        finally:
            try:
                self._use_metadata(None)
            finally:
                await self._close(app)
        self.notifier.status("Broker application stopped; control is served")
        _log.info("Successfully stopped RabbitMQ and its dependencies")

    async def _close(self, app: App) -> None:
        try:
            await app.close()
        finally:
            self.in_maintenance = False
            self._move(AppState.STOPPED)

    async def await_running(self) -> None:
        while self.app_state in (AppState.BOOTING, AppState.WAITING):
            await self._settled.wait()

    def _move(self, state: AppState) -> None:
        self.app_state = state
        if state in (AppState.BOOTING, AppState.WAITING):
            self._settled.clear()
        else:
            self._settled.set()

    def _step(self, name: str) -> None:
        _log.debug("Running boot step %s", name)
        self.notifier.status(f"Startup in progress ({name})", _STEP_EXTEND_S)

    def _set_alarm(self, name: str, on: bool) -> None:
        if self.app is not None:
            self.app.set_alarm(name, on)

    def _is_alarmed(self, name: str) -> bool:
        return self.app is not None and name in self.app.broker.alarms

    def _share_memory(self, limit_bytes: int, spare_bytes: int) -> None:
        """What is not in backlogs is in no account of theirs: what the machine says decides."""
        if self.app is not None:
            room = self.app.broker.room
            room.resize(max(min(limit_bytes, room.leased_bytes + spare_bytes), 0))

    # -- data ---------------------------------------------------------------------------------

    async def reset(self, force: bool) -> None:
        """Leave the cluster, unless force says that it shall not know, and forget everything."""
        self._give_up_waiting()
        async with self.moving:
            self._check_stopped()
            _log.info("Resetting Rabbit%s", " forcefully" if force else "")
            if self.is_member and not force and self.membership.forgotten is None:
                await self.membership.leave()
            await self._wipe()
            self.disowned = None
            if self._membership is not None:
                self._membership.forget_all()

    def force_boot(self) -> None:
        self._force_boot_file.touch()
        self._nudge.set()
        if self.app_state is AppState.WAITING and not self.membership.waits_for:
            self._starting.revoke()  # it waits for an election: the next attempt is a forced one

    @property
    def _force_boot_file(self) -> Path:
        return self.blueprint.data / FORCE_LOAD_FILE

    def _forget_force_boot(self) -> None:
        self._force_boot_file.unlink(missing_ok=True)

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

    def disown(self) -> None:
        """Its cluster knows it no more, and it has not been running since: a tool finds nobody
        here, except to reset it (3.10.8's process ends, and its files must be removed by hand)."""
        assert self.membership.forgotten is not None
        self.disowned = (
            f"{self.blueprint.node} is no member of the cluster of {self.membership.forgotten} any "
            "more: reset it, then start_app"
        )
        _log.error("%s", self.disowned)

    def request_shutdown(self) -> None:
        self._give_up_waiting()
        self.shutdown_wanted.set()
