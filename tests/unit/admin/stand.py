"""A node to administer in tests: the real broker, state machine and access rules, in memory.

Decides what `NodeControl` answers there, and offers connections without sockets. Nothing here
reads a clock or a file.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mqd.admin.context import (
    AdminContext,
    AppState,
    DiskSpace,
    FileDescriptors,
    ListenerInfo,
    MemoryUse,
    Watermark,
)
from mqd.admin.members import ClusterView
from mqd.amqp.fields import Table
from mqd.amqp.outlet import Outlet
from mqd.amqp.properties import Properties, encode
from mqd.amqp.replies import AmqpError
from mqd.auth.access import Access
from mqd.auth.credentials import CredentialRules
from mqd.auth.passwords import hash_password
from mqd.auth.permissions import Permission
from mqd.auth.users import User
from mqd.broker.broker import Broker
from mqd.broker.channel import Channel
from mqd.broker.consumers import Consumer
from mqd.broker.definitions import QueueDefinition
from mqd.broker.entries import ConnectionEntry
from mqd.broker.memory import MemorySpool, MemoryStore, MemoryTopology
from mqd.broker.message import content_of, names_of
from mqd.broker.ports import Done
from mqd.broker.queues.classic import ClassicQueue
from mqd.broker.settings import Settings
from mqd.clock import ManualClock
from mqd.metadata import bridge, machine
from mqd.metadata.commands import (
    Command,
    PutPermission,
    PutUser,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.store import Listener, MetadataStore
from mqd.names import NodeName, PidSource
from mqd.plugins.table import PLUGINS, Plugin, Plugins
from mqd.rpc.v1.doctor_pb2 import CookieFacts, Facts
from mqd.rpc.v1.membership_pb2 import (
    AdmitMemberReply,
    MemberEntry,
    MemberFacts,
    MetadataCopy,
)

NODE = NodeName("rabbit@unit")


class Peer:
    """The far end of a connection that has no socket."""

    def __init__(self) -> None:
        self.closed_with: AmqpError | None = None

    def close(self, error: AmqpError) -> None:
        self.closed_with = error

    def charge(self, copies: int) -> None:
        del copies

    def alarmed(self) -> None:
        pass

    def hold(self, reason: str) -> None:
        pass

    def release(self) -> None:
        pass

    def counts(self) -> tuple[int, int, int, int, int]:
        return 100, 10, 200, 20, 0


class MemoryMetadata:
    """The state machine without a file: what is proposed is applied at once."""

    orders_here = True

    def __init__(self) -> None:
        self.state = machine.State()
        self.broker: Broker | None = None
        self.proposed: list[Command] = []
        self.listeners: list[Listener] = []
        self.new_queue_id = itertools.count(1).__next__

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def propose(self, command: Command, done: Done) -> None:
        self.propose_now(command)
        done(None)

    async def propose_async(self, command: Command) -> None:
        self.propose_now(command)

    def propose_now(self, command: Command) -> None:
        heard = machine.apply(self.state, command)
        self.proposed.append(command)
        assert self.broker is not None
        for each in heard:
            bridge.apply_to(self.broker, each)
            for listener in tuple(self.listeners):
                listener(each)


class StandMembership:
    """Of a node whose other members, by name, run elsewhere."""

    def __init__(self, node: StandNode) -> None:
        self._node = node
        self.others: list[str] = []

    partitions: Sequence[str] = ()

    async def reached(self, count: int) -> None:
        cluster = self._node.cluster
        if count > (len(cluster.running) - 1 if cluster is not None else 0):
            await asyncio.get_running_loop().create_future()  # nobody comes

    def facts(self, state: AppState) -> MemberFacts:
        names = [str(self._node.name), *self.others] if self.others else []
        return MemberFacts(
            node=self._node.name,
            state=state.value,
            members=[MemberEntry(name=name, incarnation="i") for name in names],
        )

    async def survey(self, state: AppState) -> Mapping[str, MemberFacts | None]:
        return {str(self._node.name): self.facts(state)}

    async def admit(self, entry: MemberEntry, again: bool, former: str) -> AdmitMemberReply:
        self._node.calls.append(("admit", entry.name, again, former))
        return AdmitMemberReply(cluster_id="c")

    async def withdraw(self, name: str, incarnation: str) -> None:
        self._node.calls.append(("withdraw", name, incarnation))

    async def move(self, entry: MemberEntry) -> None:
        self._node.calls.append(("move", entry.name))

    async def copy(self, cluster_id: str, state: Callable[[], AppState]) -> MetadataCopy:
        return MetadataCopy(number=7, lines=state().value.encode())

    async def forget(self, target: str) -> None:
        self._node.calls.append(("forget", target))

    async def update_nodes(self, target: str) -> None:
        self._node.calls.append(("update_nodes", target))


class StandNode:
    """Implements `mqd.admin.context.NodeControl`. `calls` records what it was told to do."""

    version = "3.10.8"
    pid = 4711
    cookie = "SECRET"
    credentials = CredentialRules()
    cluster_name_default = "rabbit@unit.example"
    data_directory = Path("/data")
    config_files: Sequence[str] = ("/etc/rabbitmq/rabbitmq.conf",)
    enabled_plugins_file = Path("/etc/rabbitmq/enabled_plugins")
    running_plugins: Sequence[Plugin] = ()
    plugin_folders = (Path("/plugins"),)
    plugins_expand = Path("/data-plugins-expand")
    in_maintenance = False

    def __init__(self, name: NodeName = NODE) -> None:
        self.name = name
        self.broker: Broker | None = None
        self.metadata: MetadataStore | None = None
        self.cluster: ClusterView | None = None
        self.app_state = AppState.STOPPED
        self.clock = ManualClock(90_500)
        self.started_at_ms = 500
        self.log_files: Sequence[str] = ("<stdout>",)
        self.environment: Mapping[str, Mapping[str, Any]] = {"rabbit": {"heartbeat": 60}}
        self.calls: list[tuple[object, ...]] = []
        self.membership = StandMembership(self)
        self.disowned: str | None = None
        self.joins = True

    async def join(self, target: str, kind: str) -> bool:
        self.calls.append(("join", target, kind))
        return self.joins

    async def change_type(self, kind: str) -> bool:
        self.calls.append(("change_type", kind))
        return self.joins

    def listeners(self) -> Sequence[ListenerInfo]:
        return [ListenerInfo("127.0.0.1", 5672, "amqp", "AMQP 0-9-1 and AMQP 1.0")]

    def memory(self) -> MemoryUse:
        return MemoryUse(
            total_bytes=1000,
            machine_bytes=10_000,
            limit_bytes=4000,
            watermark=Watermark(0.4),
            parts={"queue_procs": 300},
        )

    def disk(self) -> DiskSpace:
        return DiskSpace(free_bytes=5000, limit_bytes=50)

    def file_descriptors(self) -> FileDescriptors:
        return FileDescriptors(used=7, limit=1000, sockets_used=1, sockets_limit=900)

    async def start_app(self) -> None:
        self.calls.append(("start_app",))

    async def stop_app(self) -> None:
        self.calls.append(("stop_app",))

    async def await_running(self) -> None:
        self.calls.append(("await_running",))

    async def reset(self, force: bool) -> None:
        self.calls.append(("reset", force))

    def force_boot(self) -> None:
        self.calls.append(("force_boot",))

    def request_shutdown(self) -> None:
        self.calls.append(("request_shutdown",))

    async def suspend_listeners(self) -> None:
        self.calls.append(("suspend_listeners",))

    async def resume_listeners(self) -> None:
        self.calls.append(("resume_listeners",))

    async def drain(self) -> None:
        self.calls.append(("drain",))

    async def revive(self) -> None:
        self.calls.append(("revive",))

    async def known_plugins(self) -> Plugins:
        return PLUGINS

    async def plugin_troubles(self, names: Iterable[str]) -> Mapping[str, str]:
        return dict.fromkeys(names, "broken")

    async def apply_plugins(self) -> tuple[Sequence[str], Sequence[str]]:
        self.calls.append(("apply_plugins",))
        return ["a"], ["b"]

    async def checkup(self) -> Facts:
        return Facts(node="file@name", cookie=CookieFacts(hash="of the file"))

    def set_memory_watermark(self, watermark: Watermark) -> None:
        self.calls.append(("memory", watermark))

    def set_disk_free_limit(self, limit_bytes: int) -> None:
        self.calls.append(("disk", limit_bytes))

    def watch_disk(self, on: bool) -> None:
        self.calls.append(("watch_disk", on))

    def set_log_level(self, level: str) -> None:
        self.calls.append(("log_level", level))


class Stand:
    """A running node with the vhost "/" and the user guest."""

    def __init__(self, name: NodeName = NODE) -> None:
        self.node = StandNode(name)
        self.metadata = MemoryMetadata()
        topology = MemoryTopology()
        self.broker = Broker(
            node=name,
            pids=PidSource(name, creation=1),
            clock=self.node.clock,
            auth=Access(self.metadata.state),
            topology=topology,
            open_store=lambda vhost: MemoryStore(),
            spool=MemorySpool(),
            settings=Settings(),
        )
        topology.broker = self.metadata.broker = self.node.broker = self.broker
        self.node.metadata = cast("MetadataStore", self.metadata)
        self.node.app_state = AppState.RUNNING
        self.ctx = AdminContext(self.node)
        guest = User("guest", hash_password("guest"), tags=("administrator",))
        self.metadata.propose_now(PutVhost(VhostRecord("/", "Default virtual host")))
        self.metadata.propose_now(PutUser(guest))
        self.metadata.propose_now(PutPermission("guest", "/", Permission(".*", ".*", ".*")))

    def add_vhost(self, name: str) -> None:
        self.metadata.propose_now(PutVhost(VhostRecord(name)))

    def add_user(self, name: str) -> None:
        self.metadata.propose_now(PutUser(User(name, hash_password("pw"))))

    def connect(
        self, user: str = "guest", vhost: str = "/", properties: Table | None = None
    ) -> ConnectionEntry:
        pid = self.broker.pids.new()
        port = 40_000 + len(self.broker.connections)
        entry = ConnectionEntry(
            pid=pid,
            name=f"127.0.0.1:{port} -> 127.0.0.1:5672",
            outlet=Outlet(self.broker.turn, lambda: None),
            peer=Peer(),
            user=self.metadata.state.users[user],
            vhost=self.broker.vhosts[vhost],
            host="127.0.0.1",
            port=5672,
            peer_host="127.0.0.1",
            peer_port=port,
            frame_max=131_072,
            channel_max=2047,
            timeout=60,
            client_properties=properties or {},
            connected_at=1_700_000_000_000,
        )
        self.broker.add_connection(entry)
        return entry

    def channel(self, entry: ConnectionEntry, number: int = 1) -> Channel:
        return self.broker.open_channel(entry, number)

    def queue(
        self,
        name: str,
        vhost: str = "/",
        *,
        owner: ConnectionEntry | None = None,
        durable: bool = True,
        arguments: Table | None = None,
        kind: str = "classic",
    ) -> Any:
        definition = QueueDefinition(
            self.broker.topology.new_queue_id(),
            vhost,
            name,
            durable=durable,
            exclusive=owner is not None,
            arguments=arguments or {},
            type=kind,
        )
        return self.broker.vhosts[vhost].apply_put_queue(definition, owner)

    def publish(
        self,
        queue: ClassicQueue,
        body: bytes = b"hello",
        *,
        persistent: bool = True,
        timestamp: int | None = None,
    ) -> None:
        header = encode(Properties(timestamp=timestamp), len(body))
        queue.publish(names_of("", queue.name), content_of(header, body, 1, 4096), persistent)

    def consume(self, channel: Channel, queue: ClassicQueue, tag: str, **options: Any) -> Consumer:
        settings = {"no_ack": False, "exclusive": False, "prefetch": 0, "arguments": {}} | options
        consumer = Consumer(tag, channel, queue, **settings)
        channel.consumers[tag] = consumer
        queue.add_consumer(consumer)
        queue.drain()
        return consumer


def closed_with(entry: ConnectionEntry) -> tuple[int, str] | None:
    """Code and text the broker closed a connection with, None while it is open."""
    assert isinstance(entry.peer, Peer)
    error = entry.peer.closed_with
    return None if error is None else (int(error.code), error.text)


async def rows(batches: AsyncIterator[Any]) -> list[Any]:
    """All rows of a listing, whatever batches they came in."""
    return [row async for batch in batches for row in batch.rows]
