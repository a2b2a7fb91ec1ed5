"""What an administrative operation may touch: the node it runs on, its broker, its metadata.

Decides what `admin` needs to know of a node (`NodeControl`, implemented by the daemon) and how an
operation gets at the broker. Never starts or stops anything itself, knows no wire format.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mqd.errors import ErrorCode, MqdError
from mqd.names import NodeName

if TYPE_CHECKING:
    from mqd.admin.members import ClusterView
    from mqd.auth.credentials import CredentialRules
    from mqd.broker.broker import Broker
    from mqd.clock import Clock
    from mqd.config.management import ManagementSettings
    from mqd.metadata.store import MetadataStore
    from mqd.plugins.table import Plugin, Plugins
    from mqd.rpc.v1.doctor_pb2 import Facts
    from mqd.rpc.v1.membership_pb2 import (
        AdmitMemberReply,
        MemberEntry,
        MemberFacts,
        MetadataCopy,
    )


class AppState(enum.Enum):
    """The broker application inside the node: what stop_app and start_app move."""

    STOPPED = "stopped"
    WAITING = "waiting"  # a start waits for other nodes: it may be given up
    BOOTING = "booting"  # start_app or the node's own start is under way
    RUNNING = "running"  # AMQP is answered
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class ListenerInfo:
    """A listening socket, as `listeners`, `status` and `cluster_status` show it."""

    interface: str  # as RabbitMQ writes it: "127.0.0.1", "[::]"
    port: int
    protocol: str  # "amqp", "amqp/ssl", "clustering", "http", ...
    purpose: str  # "AMQP 0-9-1 and AMQP 1.0", "inter-node and CLI tool communication", ...


@dataclass(frozen=True, slots=True)
class Watermark:
    """The memory threshold as it was set: a fraction of all memory, or bytes when not 0."""

    fraction: float
    absolute_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory of the process. `parts` is bytes by category in RabbitMQ's words; what no category
    claims is in "other_proc"."""

    total_bytes: int
    machine_bytes: int  # all there is, or what the control group leaves; fractions are of it
    limit_bytes: int  # above it the memory alarm is on
    watermark: Watermark
    parts: Mapping[str, int]
    strategy: str = "rss"


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The file system of the data directory."""

    free_bytes: int
    limit_bytes: int  # below it the disk alarm is on


@dataclass(frozen=True, slots=True)
class FileDescriptors:
    """Open files of the process and how many it may open; sockets of AMQP clients apart."""

    used: int
    limit: int
    sockets_used: int
    sockets_limit: int


class MembershipControl(Protocol):
    """The node as a member of a cluster, or as one that could become it."""

    @property
    def partitions(self) -> Sequence[str]:
        """Members that this node lost while it ran and that ran on."""

    async def reached(self, count: int) -> None:
        """Wait until so many of the others run; for ever when they do not come."""

    def facts(self, state: AppState) -> MemberFacts:
        """What others are told of it, in whatever state it is."""

    async def survey(self, state: AppState) -> Mapping[str, MemberFacts | None]:
        """What every known member says of itself, this one first; None: it does not answer."""

    async def admit(self, entry: MemberEntry, again: bool, former: str) -> AdmitMemberReply:
        """Make another node a member; again: one that is a member and must become it anew, under
        the name `former` when that is not empty.
        Raises MqdError, APP_STOPPED among others."""

    async def withdraw(self, name: str, incarnation: str) -> None:
        """Strike a member out that leaves. Harmless when it is none. Raises as `admit`."""

    async def move(self, entry: MemberEntry) -> None:
        """Write down where a member is reached. Raises as `admit`."""

    async def copy(self, cluster_id: str, state: Callable[[], AppState]) -> MetadataCopy:
        """All metadata, for another member of that cluster, running or not. Raises MqdError."""

    async def forget(self, target: str) -> None:
        """Strike out a member that is down. Raises as `admit`."""

    async def update_nodes(self, target: str) -> None:
        """Learn the members from another one. Only called while stopped. Raises MqdError."""


class NodeControl(Protocol):
    """The node as its administrator sees it. Every value is current when it is read."""

    @property
    def name(self) -> NodeName: ...

    @property
    def version(self) -> str:
        """The RabbitMQ version the node speaks as: 3.10.8."""

    @property
    def pid(self) -> int:
        """Of the operating system's process."""

    @property
    def credentials(self) -> CredentialRules:
        """What passwords must be like."""

    @property
    def app_state(self) -> AppState: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def management(self) -> ManagementSettings:
        """Of the plugin, whether it runs or not."""

    @property
    def started_at_ms(self) -> int:
        """`clock.monotonic_ms()` when the process started."""

    @property
    def cookie(self) -> str:
        """The shared secret of the cluster. Never leaves the node: only hashes of it do."""

    @property
    def cluster_name_default(self) -> str:
        """rabbit@<fully qualified host name>: the cluster's name until someone sets one."""

    @property
    def broker(self) -> Broker | None:
        """None unless the app runs."""

    @property
    def metadata(self) -> MetadataStore | None:
        """None while the app is stopped."""

    @property
    def cluster(self) -> ClusterView | None:
        """None of a node alone, and while the app is stopped."""

    @property
    def data_directory(self) -> Path: ...

    @property
    def config_files(self) -> Sequence[str]: ...

    @property
    def log_files(self) -> Sequence[str]:
        """Paths, or "<stdout>"."""

    @property
    def enabled_plugins_file(self) -> Path: ...

    @property
    def plugin_folders(self) -> Sequence[Path]:
        """Where plugins are looked for beside Python's path."""

    @property
    def plugins_expand(self) -> Path:
        """Where RabbitMQ would unpack plugins."""

    @property
    def running_plugins(self) -> Sequence[Plugin]:
        """By name."""

    @property
    def environment(self) -> Mapping[str, Mapping[str, Any]]:
        """By application and key, as RabbitMQ has it: terms of `mqd.config.erlang`."""

    @property
    def in_maintenance(self) -> bool: ...

    def listeners(self) -> Sequence[ListenerInfo]:
        """All of the node's, the control plane's ("clustering") first, suspended ones too."""

    def memory(self) -> MemoryUse: ...

    def disk(self) -> DiskSpace: ...

    def file_descriptors(self) -> FileDescriptors: ...

    async def start_app(self) -> None:
        """Returns once AMQP is answered; at once when it already is. Raises MqdError when the
        app cannot start; the node stays up, stopped."""

    async def stop_app(self) -> None:
        """Returns once clients are gone and everything is on disc; at once when stopped."""

    async def await_running(self) -> None:
        """Wait while the app boots. Returns at once when it is running or stopped."""

    async def reset(self, force: bool) -> None:
        """Forget everything: the next start_app is a first boot. Only called while stopped."""

    def force_boot(self) -> None:
        """Have the next start_app, or one that waits, not wait for other nodes."""

    @property
    def membership(self) -> MembershipControl: ...

    @property
    def disowned(self) -> str | None:
        """Why tools must find nobody here, except to reset the node: its cluster forgot it."""

    async def join(self, target: str, kind: str) -> bool:
        """Become a member, "disc" or "ram", of another node's cluster; what was here is dropped.
        False when it is one already. Only called while stopped. Raises MqdError."""

    async def change_type(self, kind: str) -> bool:
        """Become the other kind of member; False when it is of that kind. As `join`."""

    def request_shutdown(self) -> None:
        """Have the whole process drain and end soon, as on SIGTERM; returns at once."""

    async def suspend_listeners(self) -> None:
        """Accept no new client; those connected stay. Harmless when repeated."""

    async def resume_listeners(self) -> None: ...

    async def drain(self) -> None:
        """Maintenance mode on: listeners suspended, clients closed. Harmless when repeated."""

    async def revive(self) -> None:
        """Maintenance mode off."""

    async def known_plugins(self) -> Plugins:
        """All there are at this moment, by name."""

    async def plugin_troubles(self, names: Iterable[str]) -> Mapping[str, str]:
        """What would keep plugins of these names, or those they need, from running: name, reason.
        Imports their code."""

    async def apply_plugins(self) -> tuple[Sequence[str], Sequence[str]]:
        """Have the app follow the file enabled_plugins. Returns the plugins that run now and did
        not before, and those that do not any more. Raises MqdError, also when there is no app."""

    async def checkup(self) -> Facts:
        """What can be told of files and machine: everything but what the other members tell.

        A message, because the tool reads the same one of a node that is down."""

    def reset_statistics(self) -> None:
        """Forget what plugins have sampled."""

    def set_memory_watermark(self, watermark: Watermark) -> None:
        """At run time; not written to any file. Alarms follow at once."""

    def set_disk_free_limit(self, limit_bytes: int) -> None:
        """At run time; not written to any file. Alarms follow at once."""

    def watch_disk(self, on: bool) -> None:
        """Whether free disk space is looked at, until the process ends. Alarms follow at once."""

    def set_log_level(self, level: str) -> None:
        """debug, info, warning, error, critical or none."""


@dataclass(frozen=True, slots=True)
class AdminContext:
    """First argument of every operation. `actor` is who asks, for the log. relayed: another member
    asks, for this node's part alone."""

    node: NodeControl
    actor: str = "cli"
    relayed: bool = False

    @property
    def broker(self) -> Broker:
        """Raises MqdError(APP_STOPPED) while the app is stopped."""
        broker = self.node.broker
        if broker is None:
            raise app_stopped()
        return broker

    @property
    def metadata(self) -> MetadataStore:
        """Raises MqdError(APP_STOPPED) while the app is stopped."""
        metadata = self.node.metadata
        if metadata is None:
            raise app_stopped()
        return metadata


def app_stopped() -> MqdError:
    """RabbitMQ's own words (observed: rabbitmqctl 3.10.8); mqctl prints them as they are."""
    return MqdError(
        ErrorCode.APP_STOPPED,
        "this command requires the 'rabbit' app to be running on the target node. "
        "Start it with 'rabbitmqctl start_app'.",
    )


def app_running() -> MqdError:
    """The opposite, for verbs that need a stopped app."""
    return MqdError(
        ErrorCode.APP_RUNNING,
        "this command requires the 'rabbit' app to be stopped on the target node. "
        "Stop it with 'rabbitmqctl stop_app'.",
    )
