"""A broker and its clients in one process, without a socket, a disc or a clock that runs.

Decides how tests talk to the core: real `Session`s over a transport in memory, real `Listener`
for what is offered, the ports of `mqd.broker.memory`; a client side by pamqp, so that what goes
over the wire is read by other eyes than ours. Never waits: a turn ends when `feed` returns,
commits and proposals are done when the test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pamqp import base, commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader, ProtocolHeader
from pamqp.heartbeat import Heartbeat

from mqd.amqp.codec import encode_method
from mqd.amqp.outlet import Turn
from mqd.auth.access import Access
from mqd.auth.passwords import hash_password
from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.broker import Broker
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.memory import MemorySpool, MemoryStore, MemoryTopology
from mqd.broker.ports import Done, MessageStore
from mqd.broker.queues.classic import ClassicQueue
from mqd.broker.settings import Settings
from mqd.broker.vhost import VHost
from mqd.clock import ManualClock
from mqd.names import NodeName, PidSource
from mqd.plugins.catalogue import PLUGINS, exchange_types
from mqd.transport.listener import Listener
from mqd.transport.session import Session

Basic = commands.Basic
Queue = commands.Queue
Exchange = commands.Exchange
Channel = commands.Channel
Connection = commands.Connection
Confirm = commands.Confirm
Tx = commands.Tx
Properties = commands.Basic.Properties

PERSISTENT = 2
CAPABILITIES = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}


class Directory:
    """Users and permissions in dictionaries. `guest` may do everything in "/"."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.permissions: dict[tuple[str, str], Permission] = {}
        self.topic_permissions: dict[tuple[str, str, str], TopicPermission] = {}
        self.add("guest", tags=("administrator",))

    def add(
        self,
        name: str,
        password: str = "",
        *,
        tags: tuple[str, ...] = (),
        vhost: str = "/",
        rights: tuple[str, str, str] = (".*", ".*", ".*"),
    ) -> None:
        """A user whose password is its name unless given; rights: configure, write, read."""
        self.users[name] = User(name, hash_password(password or name), tags=tags)
        self.permissions[name, vhost] = Permission(*rights)

    def user(self, name: str) -> User | None:
        return self.users.get(name)

    def permission(self, user: str, vhost: str) -> Permission | None:
        return self.permissions.get((user, vhost))

    def topic_permission(self, user: str, vhost: str, exchange: str) -> TopicPermission | None:
        return self.topic_permissions.get((user, vhost, exchange))


class SlowTopology(MemoryTopology):
    """A Topology that applies and answers when `settle` is called, in order of proposal.

    `slow` False: at once. `failure`: what the next ones are answered with, unapplied.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slow = False
        self.failure: Exception | None = None
        self.waiting: list[Callable[[], None]] = []

    def settle(self) -> None:
        """Carry out what was proposed so far."""
        waiting, self.waiting = self.waiting, []
        for step in waiting:
            step()

    def _propose(self, call: Callable[[Done], None], done: Done) -> None:
        def step() -> None:
            if self.failure is not None:
                done(self.failure)
            else:
                call(done)

        if self.slow:
            self.waiting.append(step)
        else:
            step()

    def put_exchange(self, definition: ExchangeDefinition, done: Done) -> None:
        call = super().put_exchange
        self._propose(lambda d: call(definition, d), done)

    def delete_exchange(
        self, vhost: str, name: str, done: Done, *, if_unused: bool = False
    ) -> None:
        call = super().delete_exchange
        self._propose(lambda d: call(vhost, name, d), done)

    def put_queue(self, definition: Any, done: Done) -> None:
        call = super().put_queue
        self._propose(lambda d: call(definition, d), done)

    def delete_queue(self, definition: Any, done: Done) -> None:
        call = super().delete_queue
        self._propose(lambda d: call(definition, d), done)

    def put_binding(self, definition: Any, done: Done) -> None:
        call = super().put_binding
        self._propose(lambda d: call(definition, d), done)

    def delete_binding(self, definition: Any, done: Done) -> None:
        call = super().delete_binding
        self._propose(lambda d: call(definition, d), done)


class World:
    """A broker with one vhost "/" and its amq.* exchanges.

    commit_at_once False: persistent messages are durable when `commit` is called.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        commit_at_once: bool = True,
        vhosts: tuple[str, ...] = ("/",),
    ) -> None:
        self.clock = ManualClock(1_000_000)
        self.directory = Directory()
        self.auth = Access(self.directory)
        self.topology = SlowTopology()
        self.spool = MemorySpool()
        self.stores: dict[str, MemoryStore] = {}
        self.turn = Turn()
        self.settings = settings if settings is not None else Settings()
        self.broker = Broker(
            node=NodeName("mqd@test"),
            pids=PidSource("mqd@test", 1),
            clock=self.clock,
            auth=self.auth,
            topology=self.topology,
            open_store=lambda name: self._open_store(name, commit_at_once),
            spool=self.spool,
            settings=self.settings,
            turn=self.turn,
            exchange_types=exchange_types(PLUGINS),
        )
        self.topology.broker = self.broker
        for name in vhosts:
            self.add_vhost(name)
        self.listener = Listener(self.broker, self.settings, self.clock)
        self._ports = 40_000

    def _open_store(self, name: str, commit_at_once: bool) -> MessageStore:
        self.stores[name] = MemoryStore(commit_at_once=commit_at_once, wall_ms=self.clock.wall_ms)
        return self.stores[name]

    def add_vhost(self, name: str) -> None:
        self.broker.apply_put_vhost(name)
        for kind in ("direct", "fanout", "topic", "headers"):
            self.broker.apply_put_exchange(ExchangeDefinition(name, f"amq.{kind}", kind))

    @property
    def vhost(self) -> VHost:
        return self.broker.vhosts["/"]

    @property
    def store(self) -> MemoryStore:
        return self.stores["/"]

    def queue(self, name: str = "q", vhost: str = "/") -> ClassicQueue:
        return self.broker.vhosts[vhost].queues[name]

    def connect(self, **options: Any) -> Client:
        """A client that has logged in and opened its vhost; see `Client.login`."""
        client = self.raw()
        client.login(**options)
        return client

    def raw(self, peer: str = "127.0.0.1") -> Client:
        """A client that has connected its socket and sent nothing."""
        self._ports += 1
        return Client(self, (peer, self._ports))

    def end_turns(self) -> None:
        """Finish the turn, and those that follow because work was put off."""
        self.turn.end()
        while self.turn.later:
            self.turn.run()

    def commit(self) -> None:
        """What was stored so far is on disc."""
        for store in self.stores.values():
            store.commit()
        self.end_turns()

    def settle_topology(self) -> None:
        self.topology.settle()
        self.end_turns()

    def tick(self, ms: int) -> None:
        """Let time pass, and have sessions and queues look at the clock once at the end of it."""
        self.clock.advance(ms)
        for session in list(self.listener.sessions):
            seen = self.listener._seen
            seen[session] = session.tick(self.clock.now_ms, seen.get(session, (0, 0)))
        self.broker.tick(self.clock.now_ms)
        self.end_turns()


class MemoryTransport(asyncio.Transport):
    """What asyncio would give a session, with the client at the other end of it."""

    def __init__(self, peer: tuple[str, int]) -> None:
        super().__init__({"peername": peer, "sockname": ("127.0.0.1", 5672)})
        self.max_size = 0
        self.written = bytearray()
        self.writes = 0
        self.reading = True
        self.closing = False
        self.aborted = False
        self.limits: tuple[int | None, int | None] = (None, None)
        self.on_reading: Callable[[], None] = lambda: None

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        assert not self.closing, "written after close"
        self.written += data
        self.writes += 1

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        return len(self.written)


@dataclass
class Got:
    """A frame the server sent, a method with its content in one."""

    channel: int
    method: Any
    header: ContentHeader | None = None
    body: bytes = b""
    frames: list[int] = field(default_factory=list)  # sizes of the body frames, envelope included

    @property
    def properties(self) -> Properties:
        assert self.header is not None
        return self.header.properties

    @property
    def name(self) -> str:
        return str(self.method.name)

    def __str__(self) -> str:
        """For comparing with what is expected: the name, and what matters of it."""
        m = self.method
        match m:
            case Basic.Deliver():
                flag = "*" if m.redelivered else ""
                return f"deliver {m.consumer_tag} {m.delivery_tag} {self.body.decode()}{flag}"
            case Basic.GetOk():
                flag = "*" if m.redelivered else ""
                return f"got {m.delivery_tag} {self.body.decode()}{flag} left {m.message_count}"
            case Basic.Ack():
                return f"ack {m.delivery_tag}{' multiple' if m.multiple else ''}"
            case Basic.Return():
                return f"return {m.reply_code} {self.body.decode()}"
            case Basic.Cancel():
                return f"cancel {m.consumer_tag}"
            case Channel.Close():
                return f"channel.close {m.reply_text}"
            case Connection.Close():
                return f"connection.close {m.reply_text}"
            case Queue.DeclareOk():
                return f"declare-ok {m.queue} {m.message_count} {m.consumer_count}"
            case Queue.PurgeOk():
                return f"purge-ok {m.message_count}"
            case Queue.DeleteOk():
                return f"delete-ok {m.message_count}"
            case _:
                return str(m.name)


class Client:
    """The other end of a session. What comes in is in `take`; ending turns is automatic unless
    `hold_turns` is set."""

    def __init__(self, world: World, address: tuple[str, int]) -> None:
        self.world = world
        self.transport = MemoryTransport(address)
        self.session = Session(world.listener)
        self.session.connection_made(self.transport)
        self.unread = b""  # fed while the server does not read
        self.lost = False
        self.hold_turns = False
        self._in = b""
        self._got: list[Got] = []
        self._content: dict[int, tuple[Got, int]] = {}

    # -- bytes --------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Send bytes, as one read of the server; they wait while it does not read."""
        self.unread += data
        self._pump()
        if not self.hold_turns:
            self.world.end_turns()
            self._pump()

    def _pump(self) -> None:
        while self.unread and self.transport.reading and not self.lost:
            if self.transport.closing:
                self.drop()
                return
            data, self.unread = self.unread, b""
            self.session.data_received(data)
        if self.transport.closing:
            self.drop()

    def drop(self, error: Exception | None = None) -> None:
        """The socket is gone."""
        if not self.lost:
            self.lost = True
            self.transport.closing = True
            self.session.connection_lost(error)
            self.world.end_turns()

    def congest(self) -> None:
        """This client reads so slowly that the server's buffer is full."""
        self.session.pause_writing()

    def relieve(self) -> None:
        self.session.resume_writing()
        self.world.end_turns()

    # -- out ----------------------------------------------------------------------------------

    def send(self, *methods: base.Frame, channel: int = 1) -> None:
        """Send methods as one read."""
        self.feed(b"".join(frame.marshal(method, channel) for method in methods))

    def send_loose(self, method: base.Frame, *, channel: int = 1, **values: Any) -> None:
        """Send a method with values that pamqp would refuse."""
        for name, value in values.items():
            setattr(method, name, value)
        self.feed(encode_method(channel, method))

    def call(self, method: base.Frame, channel: int = 1) -> Any:
        """Send a method and return its answer; what else came stays for `take`."""
        self.send(method, channel=channel)
        got = self.take()
        for index, each in enumerate(got):
            if each.name == f"{method.name}Ok" and each.channel == channel:
                self._got = got[:index] + got[index + 1 :]
                return each.method
        raise AssertionError(f"{method.name}: {list(map(str, got))}")

    def login(
        self,
        *,
        user: str = "guest",
        password: str = "",
        vhost: str = "/",
        frame_max: int = 131_072,
        channel_max: int = 2047,
        heartbeat: int = 0,
        channels: int = 1,
        capabilities: dict[str, Any] | None = None,
        name: str = "",
    ) -> None:
        """The whole handshake, and that many channels."""
        offered = CAPABILITIES if capabilities is None else capabilities
        properties: dict[str, Any] = {"capabilities": offered}
        if name:
            properties["connection_name"] = name
        response = f"\0{user}\0{password or user}"
        self.feed(ProtocolHeader(0, 9, 1).marshal())
        self.feed(self.start_ok(response, properties))
        self.feed(frame.marshal(Connection.TuneOk(channel_max, frame_max, heartbeat), 0))
        self.feed(frame.marshal(Connection.Open(vhost), 0))
        names = [got.name for got in self.take()]
        assert names == ["Connection.Start", "Connection.Tune", "Connection.OpenOk"], names
        for number in range(1, channels + 1):
            self.call(Channel.Open(), number)

    @staticmethod
    def start_ok(
        response: str, properties: dict[str, Any] | None = None, mechanism: str = "PLAIN"
    ) -> bytes:
        return frame.marshal(Connection.StartOk(properties or {}, mechanism, response, "en_US"), 0)

    def publish(
        self,
        key: str = "q",
        body: str | bytes = b"",
        *,
        exchange: str = "",
        mandatory: bool = False,
        channel: int = 1,
        mode: int | None = None,
        **properties: Any,
    ) -> None:
        self.feed(
            published(
                key,
                body,
                exchange=exchange,
                mandatory=mandatory,
                channel=channel,
                mode=mode,
                **properties,
            )
        )

    def declare(self, queue: str = "q", *, channel: int = 1, **options: Any) -> Any:
        return self.call(Queue.Declare(queue=queue, **options), channel)

    def bind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        self.call(Queue.Bind(0, queue, exchange, key, arguments=arguments))

    def consume(
        self, queue: str = "q", tag: str = "c", *, channel: int = 1, **options: Any
    ) -> None:
        self.call(Basic.Consume(0, queue, tag, **options), channel)

    def prefetch(self, count: int, *, whole_channel: bool = False, channel: int = 1) -> None:
        self.call(Basic.Qos(0, count, whole_channel), channel)

    def ack(self, tag: int, *, multiple: bool = False, channel: int = 1) -> None:
        self.send(Basic.Ack(tag, multiple), channel=channel)

    def nack(
        self, tag: int, *, multiple: bool = False, requeue: bool = True, channel: int = 1
    ) -> None:
        self.send(Basic.Nack(tag, multiple, requeue), channel=channel)

    def get(self, queue: str = "q", *, no_ack: bool = False, channel: int = 1) -> Got | None:
        """basic.get: the message, or None when the queue is empty."""
        self.send(Basic.Get(0, queue, no_ack), channel=channel)
        got = self.take()[0]
        return None if isinstance(got.method, Basic.GetEmpty) else got

    # -- in -----------------------------------------------------------------------------------

    def take(self) -> list[Got]:
        """What has come in since the last call."""
        self._cut()
        got, self._got = self._got, []
        return got

    def said(self) -> list[str]:
        """The same in short: see `Got.__str__`."""
        return [str(got) for got in self.take()]

    def bodies(self) -> list[str]:
        """The bodies of the deliveries that have come in, redelivered ones marked with *."""
        return [
            got.body.decode() + "*" * got.method.redelivered
            for got in self.take()
            if isinstance(got.method, Basic.Deliver)
        ]

    def raw_output(self) -> bytes:
        """The bytes that have come in since the last call of anything that reads them."""
        data = bytes(self.transport.written)
        self.transport.written.clear()
        return data

    def _cut(self) -> None:
        self._in += self.raw_output()
        while self._in:
            if self._in.startswith(b"AMQP"):
                self._got.append(Got(0, ProtocolHeader(*self._in[5:8])))
                self._in = self._in[8:]
                continue
            size, number, piece = frame.unmarshal(self._in)
            assert piece is not None, f"half a frame was sent: {self._in!r}"
            self._in = self._in[size:]
            self._frame(size, number, piece)

    def _frame(self, size: int, number: int, piece: Any) -> None:
        match piece:
            case ContentHeader():
                got, _ = self._content[number]
                got.header = piece
                self._content[number] = (got, piece.body_size)
                self._finish(number)
            case ContentBody():
                got, left = self._content[number]
                value = piece.value or b""
                got.body += value
                got.frames.append(size)
                self._content[number] = (got, left - len(value))
                self._finish(number)
            case Heartbeat():
                self._got.append(Got(number, piece))
            case _:
                assert number not in self._content, f"{piece.name} inside a message"
                got = Got(number, piece)
                if isinstance(piece, Basic.Deliver | Basic.GetOk | Basic.Return):
                    self._content[number] = (got, -1)
                else:
                    self._got.append(got)

    def _finish(self, number: int) -> None:
        got, left = self._content[number]
        assert left >= 0, "body longer than announced"
        if left == 0:
            del self._content[number]
            self._got.append(got)


def published(
    key: str = "q",
    body: str | bytes = b"",
    *,
    exchange: str = "",
    mandatory: bool = False,
    channel: int = 1,
    mode: int | None = None,
    frame_max: int = 131_072,
    **properties: Any,
) -> bytes:
    """The frames of a basic.publish with its content."""
    raw = body.encode() if isinstance(body, str) else body
    method = Basic.Publish(0, exchange, key, mandatory)
    said = Properties(**properties)
    said.delivery_mode = mode  # any number: the constructor would refuse wrong ones
    header = ContentHeader(0, len(raw), said)
    parts = [frame.marshal(method, channel), frame.marshal(header, channel)]
    step = frame_max - 8
    parts += [
        frame.marshal(ContentBody(raw[at : at + step]), channel) for at in range(0, len(raw), step)
    ]
    return b"".join(parts)


def small_pages(**changes: Any) -> Settings:
    """Settings under which a backlog of a handful of messages is paged."""
    return replace(Settings(queue_memory_messages_max=2, queue_memory_bytes_max=1000), **changes)
