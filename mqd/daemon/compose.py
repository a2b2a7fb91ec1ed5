"""Joins the parts: the only place that builds the objects of a broker.

Decides who is given what and in which order things are opened and closed. The daemon and
`mqd.embedded` both come through here, so that there is one composition. Never reads a file or a
variable: a `Blueprint` carries every value.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mqd.auth.access import Access
from mqd.broker.broker import Broker
from mqd.broker.settings import Settings as BrokerSettings
from mqd.clock import Clock
from mqd.config.settings import DefinitionsSettings, FirstBoot, NodeSettings
from mqd.config.values import Address
from mqd.daemon import machine
from mqd.daemon.paths import METADATA_FILE
from mqd.errors import ErrorCode, MqdError
from mqd.metadata import announce, bridge
from mqd.metadata.first_boot import Seeds, identify, seed
from mqd.metadata.machine import State
from mqd.metadata.store import MetadataStore
from mqd.names import NodeName, PidSource
from mqd.plugins.catalogue import NONE, Running
from mqd.plugins.contribution import Service
from mqd.storage.engine import StorageEngine
from mqd.storage.spool import FileSpool
from mqd.storage.writer import Writer
from mqd.transport.listener import Listener

SPOOL_RETRY_S = 1.0

if TYPE_CHECKING:
    from mqd.daemon.enrolment import Enrolment
    from mqd.daemon.side import Side

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Every value that a broker application is built from.

    drain_s: what clients get for answering connection.close when the app stops. enabled_plugins:
    the file that names them, read at every start of the app and when a tool has changed it.
    plugin_folders: where other people's are looked for beside Python's path. traced: names of
    vhosts with tracing on, which outlives the app but not the process (observed: 3.10.8).
    """

    node: NodeName
    data: Path
    settings: NodeSettings
    clock: Clock
    pids: PidSource
    enabled_plugins: Path
    drain_s: float = 5.0
    traced: set[str] = field(default_factory=set)
    plugin_folders: tuple[Path, ...] = ()
    plugins_expand: Path | None = None  # named to those who ask, and not used


class App:
    """The broker application: what start_app makes and stop_app ends."""

    def __init__(
        self,
        blueprint: Blueprint,
        broker: Broker,
        metadata: MetadataStore,
        listener: Listener,
        opened: contextlib.AsyncExitStack,
    ) -> None:
        self.broker = broker
        self.metadata = metadata
        self.plugins = NONE
        self.side: Side | None = None  # what a member of a cluster has
        self._services: dict[type[Service], Service] = {}
        self._blueprint = blueprint
        self._listener = listener
        self._opened = opened
        self._disk_alarms: set[str] = set()
        self._closed = False
        self.addresses: Sequence[tuple[str, int]] = ()

    async def listen(self) -> None:
        """Take clients on every address of the configuration. Raises MqdError."""
        for address in self._blueprint.settings.listeners:
            await self._bind(address)
        self.addresses = tuple(self._listener.addresses)
        for host, port in self.addresses:
            shown = f"[{host}]" if ":" in host else host
            _log.info("started TCP listener on %s:%d", shown, port)

    async def _bind(self, address: Address) -> None:
        sockets = self._blueprint.settings.sockets
        try:
            await self._listener.start(
                address.host or None,
                address.port,
                sockets.backlog,
                [(one.level, one.name, one.value) for one in sockets.options],
            )
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno and not isinstance(error, socket.gaierror):
                reason = os.strerror(error.errno)  # asyncio's own text is longer than helpful
            raise MqdError(
                ErrorCode.UNAVAILABLE,
                f"cannot listen on {address.host or '*'}:{address.port}: {reason}; "
                "set RABBITMQ_NODE_PORT or listeners.tcp",
            ) from error

    def use_settings(self, settings: NodeSettings) -> None:
        """From the next connection on; which addresses are listened on stays."""
        fresh = broker_settings(settings)
        self._blueprint = replace(self._blueprint, settings=settings)
        self.broker.settings = fresh
        self._listener.use_settings(fresh)
        auth = self.broker.auth
        if isinstance(auth, Access):
            auth.loopback_users = settings.loopback_users

    def suspend_listeners(self) -> None:
        self._listener.suspend()

    async def resume_listeners(self) -> None:
        """Harmless when they were not suspended."""
        if not self._listener.addresses:
            await self.listen()

    async def send_clients_away(self, text: str) -> None:
        for entry in list(self.broker.connections.values()):
            entry.close(320, text)

    def set_alarm(self, name: str, on: bool) -> None:
        """The memory alarm, or the disc alarm for want of space."""
        if name == "disk":
            self._disk_alarm("space", on)
        else:
            self._tell(name, on)

    def storage_trouble(self, part: str, text: str | None) -> None:
        """Commits fail, or work again: whatever is said to be free, publishers wait."""
        self._disk_alarm(part, text is not None)

    def spool_trouble(self, spool: FileSpool, text: str | None) -> None:
        """The spool leaves it to us to find out when it can write again."""
        self.storage_trouble("spool", text)
        if text is not None:
            loop = asyncio.get_running_loop()

            def retry() -> None:
                if not self._closed and not spool.retry():
                    loop.call_later(SPOOL_RETRY_S, retry)

            loop.call_later(SPOOL_RETRY_S, retry)

    def _disk_alarm(self, reason: str, on: bool) -> None:
        if on:
            self._disk_alarms.add(reason)
        else:
            self._disk_alarms.discard(reason)
        self._tell("disk", bool(self._disk_alarms))

    def _tell(self, name: str, on: bool) -> None:
        self.broker.set_alarm(name, on)
        self.broker.turn.end()

    def use_plugins(self, plugins: Running) -> None:
        """From now on these."""
        before, now = self.plugins.names, plugins.names
        self.plugins = plugins
        self.broker.use_exchange_types(plugins.exchange_types)
        self.use_services(plugins.services)
        events = self.broker.events
        if events.listeners and now != before:
            started = [name for name in now if name not in before]
            events.plugins_changed(started, [name for name in before if name not in now])
        self.broker.turn.end()

    def use_services(self, services: Sequence[type[Service]]) -> None:
        """These run from now on, and no others."""
        for kind in [kind for kind in self._services if kind not in services]:
            self._services.pop(kind).stop()
        for kind in services:
            if kind not in self._services:
                self._services[kind] = kind(self.broker)
                self._services[kind].start()

    async def drain(self) -> None:
        """Take no more clients and send the others away, a bounded time."""
        await self._listener.stop(self._blueprint.drain_s)

    async def leave_off(self) -> None:
        """The other members go on without this one."""
        if self.side is not None:
            await self.side.leave_off()

    async def close(self) -> None:
        """Write what is left and close every file; also after a failed `drain`."""
        self._closed = True
        try:
            if self.side is not None:
                await self.side.close()
        finally:
            await self._opened.aclose()


class Unremembered(MqdError):
    """The metadata is that of a member of a cluster, and the file that says so is not there: what
    others changed meanwhile is unknown here, and they do not know what would be changed here."""

    def __init__(self, state: State, number: int) -> None:
        super().__init__(
            ErrorCode.UNAVAILABLE,
            "cluster.json was not there, though this node is a member of a cluster. It has been "
            "made again out of the metadata: start the node again",
        )
        self.state = state
        self.number = number


class InVain(MqdError):
    """Other members that a start depends on were there, and did not stay: they may come again."""


async def boot(
    blueprint: Blueprint,
    plugins: Running,
    step: Callable[[str], None],
    room_bytes: int = sys.maxsize,
    member: Enrolment | None = None,
) -> App:
    """Open, recover, listen. `step` hears the name of each part before it starts.

    room_bytes: what the messages of all backlogs may take in memory.

    Raises MqdError with what hinders; what was opened until then is closed again.
    """
    importing = _definitions(blueprint.settings.definitions, blueprint.data)
    async with contextlib.AsyncExitStack() as opened:
        writer = Writer()
        opened.callback(writer.stop)
        step("metadata")
        metadata, side = await _metadata(blueprint, writer, member, opened)
        step("message_store")
        engine, spool = _stores(blueprint, writer, metadata, opened)
        broker = _broker(blueprint, plugins, metadata, engine, spool)
        broker.room.resize(room_bytes)
        opened.callback(broker.remember_deliveries)
        if side is not None:
            side.house(broker)
        step("recovery")
        bridge.connect(metadata, broker, engine.drop_store)
        announce.connect(metadata, broker)
        recovered = broker.recover()
        if recovered:
            _log.info("Recovered %d messages", recovered)
        step("definitions")
        await importing(metadata, broker)
        step("networking")
        listener = Listener(broker, broker.settings, blueprint.clock)
        _, listener.sockets_max = machine.sockets_limit(machine.open_files_limit())
        opened.push_async_callback(listener.stop, 0.0)
        app = App(blueprint, broker, metadata, listener, opened)
        app.side = side
        app.plugins = plugins
        app.use_services(plugins.services)
        _publish_log(blueprint, broker, opened)
        engine.on_trouble = functools.partial(app.storage_trouble, "messages")
        metadata.on_trouble = functools.partial(app.storage_trouble, "metadata")
        spool.on_trouble = functools.partial(app.spool_trouble, spool)
        await app.listen()
        app._opened = opened.pop_all()
        return app


async def _metadata(
    blueprint: Blueprint,
    writer: Writer,
    member: Enrolment | None,
    opened: contextlib.AsyncExitStack,
) -> tuple[MetadataStore, Side | None]:
    """As the cluster has it; of a node alone as it left it, with what a first boot makes."""
    path = blueprint.data / METADATA_FILE
    if member is not None:
        return await member.begin(str(path), writer, opened, _closed)
    metadata = MetadataStore.open(path, writer)
    opened.push_async_callback(_closed, "metadata", metadata.close)
    members = metadata.state.members
    if len(members) > 1 or blueprint.node in members:
        raise Unremembered(metadata.state, metadata.last_number)
    if blueprint.settings.definitions.path is not None:
        pass  # whoever has definitions gets what they say, and no guest (observed: 3.10.8)
    elif await seed(metadata, _seeds(blueprint.settings)):
        _tell_of_seeds(blueprint.settings.first_boot)
    await identify(metadata)
    return metadata, None


def _stores(
    blueprint: Blueprint,
    writer: Writer,
    metadata: MetadataStore,
    opened: contextlib.AsyncExitStack,
) -> tuple[StorageEngine, FileSpool]:
    """Of messages: those that survive the node, and what backlogs have no room for."""
    engine = StorageEngine.open(blueprint.data / "messages", writer)
    opened.push_async_callback(_closed, "messages", engine.close)
    engine.may_commit = metadata.may_commit
    clock = blueprint.clock
    engine.wall_ms = clock.wall_ms
    engine.wall_offset_ms = lambda: clock.wall_ms() - clock.monotonic_ms()
    engine.drop_unknown(metadata.state.vhosts)
    spool = FileSpool(blueprint.data / "spool")
    opened.callback(spool.close)
    return engine, spool


def _definitions(
    settings: DefinitionsSettings, data: Path
) -> Callable[[MetadataStore, Broker], Awaitable[None]]:
    """What imports the files that the configuration names; they are read now. Raises MqdError.

    The modules are loaded where there are files: they take a tenth of the time of a start.
    """
    if settings.path is None:
        return _import_nothing
    from mqd.daemon import definitions

    found = definitions.sources(settings)
    return lambda metadata, broker: definitions.load(found, settings, data, metadata, broker)


def _publish_log(blueprint: Blueprint, broker: Broker, opened: contextlib.AsyncExitStack) -> None:
    """Where the configuration wants it."""
    level, pids = blueprint.settings.log.exchange_level, blueprint.pids
    if level is None:
        return
    from mqd.daemon.log_exchange import LogExchangeHandler

    vhost, prefix = blueprint.settings.first_boot.vhost, f"<{pids.node}.{pids.creation}."
    handler = LogExchangeHandler(broker, vhost, level, prefix)
    handler.start()
    opened.callback(handler.close)


async def _import_nothing(_metadata: MetadataStore, _broker: Broker) -> None:
    pass


async def _closed(what: str, close: Callable[[], Awaitable[bool]]) -> None:
    if not await close():
        _log.error(
            "not all %s could be written before the end: what was not confirmed may be lost", what
        )


def _seeds(settings: NodeSettings) -> Seeds:
    first, algorithm = settings.first_boot, settings.credentials.algorithm
    permissions = (first.configure, first.write, first.read)
    return Seeds(first.vhost, first.user, first.password, first.tags, permissions, algorithm)


def _tell_of_seeds(first: FirstBoot) -> None:
    """The lines of RabbitMQ 3.10.8's first boot."""
    _log.info("Adding vhost '%s' (description: 'Default virtual host')", first.vhost)
    _log.info("Created user '%s'", first.user)
    tags = ",".join(first.tags)
    _log.info("Successfully set user tags for user '%s' to [%s]", first.user, tags)
    text = "Successfully set permissions for '%s' in virtual host '%s' to '%s', '%s', '%s'"
    _log.info(text, first.user, first.vhost, first.configure, first.write, first.read)


def _broker(
    blueprint: Blueprint,
    plugins: Running,
    metadata: MetadataStore,
    engine: StorageEngine,
    spool: FileSpool,
) -> Broker:
    auth = Access(metadata.state, blueprint.settings.loopback_users)
    return Broker(
        node=blueprint.node,
        pids=blueprint.pids,
        clock=blueprint.clock,
        auth=auth,
        topology=metadata,
        open_store=engine.open_store,
        spool=spool,
        settings=broker_settings(blueprint.settings),
        exchange_types=plugins.exchange_types,
        traced=blueprint.traced,
    )


def broker_settings(settings: NodeSettings) -> BrokerSettings:
    """The part of the configuration that the broker and its connections use."""
    amqp = settings.amqp
    return BrokerSettings(
        channel_max=amqp.channel_max,
        frame_bytes_max=amqp.frame_bytes_max,
        heartbeat_s=amqp.heartbeat_s,
        handshake_timeout_ms=amqp.handshake_timeout_ms,
        message_bytes_max=amqp.message_bytes_max,
        connection_max=amqp.connection_max,
        auth_mechanisms=amqp.auth_mechanisms,
        cluster_name=settings.cluster_name or "",
        events_vhost=settings.events_vhost,
        consumer_timeout_ms=amqp.consumer_timeout_ms,
        product=amqp.product,
        product_version=amqp.product_version,
    )
