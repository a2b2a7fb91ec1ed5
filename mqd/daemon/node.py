"""The node as its administrator sees it: `mqd.admin.context.NodeControl`.

Decides where each answer comes from. Starts and stops through `Lifecycle`, which it is; never
formats anything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mqd.admin.context import (
    DiskSpace,
    FileDescriptors,
    ListenerInfo,
    MemoryUse,
    Watermark,
)
from mqd.auth.credentials import CredentialRules
from mqd.broker.broker import Broker
from mqd.clock import Clock
from mqd.config.applications import environment
from mqd.config.erlang import Plain
from mqd.config.load import Configuration
from mqd.config.management import ManagementSettings
from mqd.daemon import machine, plugging
from mqd.daemon.compose import Blueprint
from mqd.daemon.lifecycle import Lifecycle
from mqd.daemon.logs import Logging, Outputs
from mqd.daemon.systemd import Notifier
from mqd.metadata.store import MetadataStore
from mqd.names import NodeName
from mqd.plugins import installed
from mqd.plugins.table import Plugin, Plugins

if TYPE_CHECKING:
    from mqd.admin.members import ClusterView
    from mqd.daemon.membership import Membership
    from mqd.daemon.side import Site
    from mqd.rpc.v1.doctor_pb2 import Facts

VERSION = "3.10.8"  # what clients and scripts take the node for
AMQP_PURPOSE = "AMQP 0-9-1 and AMQP 1.0"


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Of one node, for those who ask: paths, secrets and texts that never change."""

    cookie: str
    config_files: tuple[str, ...]
    logs: Outputs
    configuration: Configuration
    control_port: int = 0  # for other nodes; 0: there is none


class Node(Lifecycle):
    """Implements `NodeControl`; see there for what each member means."""

    def __init__(
        self,
        blueprint: Blueprint,
        files: NodeFiles,
        notifier: Notifier,
        logging: Logging | None = None,
    ) -> None:
        super().__init__(blueprint, notifier)
        self._files = files
        self._logging = logging
        self._fully_qualified = ""
        self.clustering: ListenerInfo | None = None  # while it is listened on
        self.started_at_ms = blueprint.clock.monotonic_ms()

    # -- who it is ----------------------------------------------------------------------------

    @property
    def name(self) -> NodeName:
        return self.blueprint.node

    @property
    def version(self) -> str:
        return VERSION

    @property
    def credentials(self) -> CredentialRules:
        given = self.blueprint.settings.credentials
        return CredentialRules(given.validator, given.min_length, given.regexp, given.algorithm)

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def clock(self) -> Clock:
        return self.blueprint.clock

    @property
    def cookie(self) -> str:
        return self._files.cookie

    @property
    def cluster_name_default(self) -> str:
        given = self.blueprint.settings.cluster_name
        if given:
            return given
        if not self._fully_qualified:  # asks the resolver: once, and not at boot
            self._fully_qualified = machine.host_name()
        return f"{self.name.partition('@')[0]}@{self._fully_qualified}"

    def _make_membership(self) -> Membership:
        from mqd.daemon.first_of_cluster import FirstOfCluster
        from mqd.daemon.membership import Membership
        from mqd.daemon.peers import Peers

        port = self._files.control_port
        peers = Peers(self.cookie, port)
        membership = Membership(self.name, self.data_directory, peers, port)
        first = FirstOfCluster(self._running_app, self._site, self.start_anew)
        membership.begin, membership.begun = first.begin, first.begun
        if self.app is not None:
            membership.use(self.app.metadata)
        return membership

    def _site(self) -> Site:
        from mqd.daemon.side import Site

        settings = self.blueprint.settings
        interface = settings.distribution_interface
        return Site(self, self.membership, interface, self.start_anew, settings.cluster)

    @property
    def management(self) -> ManagementSettings:
        return self.blueprint.settings.management

    # -- what it holds ------------------------------------------------------------------------

    @property
    def broker(self) -> Broker | None:
        return self.app.broker if self.app else None

    @property
    def metadata(self) -> MetadataStore | None:
        return self.app.metadata if self.app else None

    @property
    def cluster(self) -> ClusterView | None:
        side = self.app.side if self.app is not None else None
        return side.view if side is not None else None

    @property
    def data_directory(self) -> Path:
        return self.blueprint.data

    @property
    def config_files(self) -> Sequence[str]:
        return self._files.config_files

    @property
    def log_files(self) -> Sequence[str]:
        return self._files.logs.names

    @property
    def enabled_plugins_file(self) -> Path:
        return self.blueprint.enabled_plugins

    @property
    def plugin_folders(self) -> Sequence[Path]:
        return self.blueprint.plugin_folders

    async def known_plugins(self) -> Plugins:
        return await asyncio.to_thread(installed.every, self.plugin_folders)

    async def plugin_troubles(self, names: Iterable[str]) -> Mapping[str, str]:
        return await asyncio.to_thread(plugging.troubles, names, self.plugin_folders)

    @property
    def plugins_expand(self) -> Path:
        data = self.data_directory
        return self.blueprint.plugins_expand or data.with_name(data.name + "-plugins-expand")

    @property
    def running_plugins(self) -> Sequence[Plugin]:
        return self.app.plugins.plugins if self.app else ()

    @property
    def environment(self) -> Mapping[str, Mapping[str, Plain]]:
        config = self._files.configuration
        data = self.data_directory
        rows = (
            (row.key.name, row.name, row.shown)
            for row in config.set.values()  # in the order of the files, which lists show
        )
        paths = {
            "data": str(data),
            "stream": str(data / "stream"),
            "quorum": str(data / "quorum"),
            "feature_flags": f"{data}-feature_flags",
            "plugins_expand": str(self.plugins_expand),
            "enabled_plugins": str(self.enabled_plugins_file),
            "plugins": ":".join(map(str, self.plugin_folders)),
        }
        plugins = [row.name for row in self.running_plugins]
        found = environment(rows, config.applications, paths, plugins)
        port = self.clustering.port if self.clustering else 0
        if port:
            found["kernel"] |= {"inet_dist_listen_max": port, "inet_dist_listen_min": port}
        return found

    # -- what it uses -------------------------------------------------------------------------

    def listeners(self) -> Sequence[ListenerInfo]:
        bound = self.app.addresses if self.app else ()
        amqp = [
            ListenerInfo(f"[{host}]" if ":" in host else host, port, "amqp", AMQP_PURPOSE)
            for host, port in bound
        ]
        fronts = [ListenerInfo(*bound) for bound in self.fronts.listeners]
        first = [self.clustering] if self.clustering else []
        return [*first, *amqp, *fronts]

    def memory(self) -> MemoryUse:
        alarms = self.alarms
        return MemoryUse(
            total_bytes=machine.memory_used_bytes(),
            limit_bytes=alarms.memory_limit_bytes,
            machine_bytes=alarms.memory_total_bytes,
            watermark=Watermark(alarms.memory_fraction, alarms.memory_absolute_bytes),
            parts={},
        )

    def disk(self) -> DiskSpace:
        free = machine.disk_free_bytes(self.data_directory)
        return DiskSpace(free, self.alarms.disk_limit_bytes)

    def file_descriptors(self) -> FileDescriptors:
        limit, sockets_limit = machine.sockets_limit(machine.open_files_limit())
        return FileDescriptors(
            used=machine.open_files(),
            limit=limit,
            sockets_used=len(self.broker.connections) if self.broker else 0,
            sockets_limit=sockets_limit,
        )

    async def checkup(self) -> Facts:
        from mqd.daemon.checkup.gather import gather  # seldom asked for

        return await asyncio.to_thread(gather, os.environ, self.pid)

    def reset_statistics(self) -> None:
        self.fronts.reset_statistics()

    # -- what may be changed while it runs ----------------------------------------------------

    def set_memory_watermark(self, watermark: Watermark) -> None:
        self.alarms.set_memory_watermark(watermark.fraction, watermark.absolute_bytes)

    def set_disk_free_limit(self, limit_bytes: int) -> None:
        self.alarms.set_disk_limit(limit_bytes)

    def use_configuration(self, configuration: Configuration) -> None:
        """What `environment` tells from now on."""
        self._files = replace(self._files, configuration=configuration)

    def watch_disk(self, on: bool) -> None:
        self.alarms.watch_disk(on)

    def set_log_level(self, level: str) -> None:
        if self._logging is not None:
            self._logging.set_level(level)
