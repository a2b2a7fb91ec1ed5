"""The AMQP listeners of a node, and the clients that came through them.

Decides what is offered to a client, how many may come, when timeouts are looked at, and how all
are sent away. Never reads a frame: `mqd.transport.session` does.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import platform
import socket
from collections.abc import Sequence

from mqd.amqp.fields import Table
from mqd.amqp.handshake import Offer, start_frame
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.broker.broker import Broker
from mqd.broker.settings import Settings
from mqd.clock import Clock
from mqd.transport.buffers import Buffers
from mqd.transport.door import Door
from mqd.transport.overdue import Overdue
from mqd.transport.session import Session

log = logging.getLogger("mqd.listener")

_TICK_S = 0.5
_BACKLOG = 1024
# asyncio sets it only where socket.proto says TCP, which create_server leaves at 0
_NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
_NOT_INHERITED = ((socket.SOL_SOCKET, socket.SO_PRIORITY), (socket.IPPROTO_IP, socket.IP_TOS))
_CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


def server_properties(settings: Settings, node: str) -> Table:
    """What connection.start says of the server (observed: 3.10.8)."""

    def text(value: str) -> tuple[str, bytes]:
        return "longstr", value.encode()

    capabilities: Table = dict.fromkeys(_CAPABILITIES, ("bool", True))
    return {
        "capabilities": ("table", capabilities),
        "cluster_name": text(settings.cluster_name or node),
        "copyright": text("Copyright (c) the mqd authors"),
        "information": text("Licensed under the Apache License 2.0."),
        "platform": text(f"Python {platform.python_version()}"),
        "product": text(settings.product),
        "version": text(settings.product_version),
    }


class Listener:
    """All plain AMQP listeners. `sessions` are the clients, those in the handshake too.

    sockets_max: with so many clients others wait at the door until one goes.
    """

    def __init__(self, broker: Broker, settings: Settings, clock: Clock) -> None:
        self.broker = broker
        self.clock = clock
        self.sessions: set[Session] = set()
        self.sockets_max = 1 << 30
        self._doors: list[Door] = []
        self._full = False
        self._ticking: asyncio.TimerHandle | None = None
        self._waking: asyncio.TimerHandle | None = None
        self._wake_ms = 0
        self._seen: dict[Session, tuple[int, int]] = {}
        self._not_inherited: Sequence[tuple[int, int, int | bytes]] = ()
        self._empty = asyncio.Event()
        self._empty.set()
        self.buffers = Buffers(broker.room)
        self.use_settings(settings)

    def use_settings(self, settings: Settings) -> None:
        """For connections that come from now on; the timeout of consumers for all."""
        self._overdue = Overdue(settings.consumer_timeout_ms)
        properties = server_properties(settings, self.broker.node)
        mechanisms = " ".join(sorted(settings.auth_mechanisms))
        of_eight: Table = {**properties, "capabilities": ("table", {})}
        self.offer = Offer(
            start=start_frame(properties, mechanisms),
            start_of_eight=start_frame(of_eight, mechanisms, 8, 0),
            channel_max=settings.channel_max,
            frame_bytes_max=settings.frame_bytes_max,
            heartbeat_s=settings.heartbeat_s,
            message_bytes_max=settings.message_bytes_max,
        )

    async def start(
        self,
        host: str | None,
        port: int,
        backlog: int = _BACKLOG,
        options: Sequence[tuple[int, int, int | bytes]] = (),
    ) -> None:
        """Listen; host None is every address of the machine, by one socket for IPv6 and IPv4 as
        RabbitMQ has it, where the machine can. Raises OSError.

        options: (level, name, value) for setsockopt; accepted sockets inherit them, or are given
        those that the kernel does not hand on.
        """
        loop = asyncio.get_running_loop()
        turn = self.broker.turn
        turn.wake = lambda: loop.call_soon(turn.run)
        self.broker.wake_at = self._wake_at
        # asyncio keeps the events that are ready in a queue of its own; another loop may not.
        ready = getattr(loop, "_ready", None)
        if ready is not None:
            turn.is_last = lambda: not ready
        listening = _listening(host, port, backlog)
        for option in (_NODELAY, *options):
            listening.setsockopt(*option)
        self._not_inherited = [each for each in options if each[:2] in _NOT_INHERITED]
        door = Door(listening, self._session)
        self._doors.append(door)
        door.open()
        if self._ticking is None:
            self._ticking = loop.call_later(_TICK_S, self._tick)

    def tune(self, transport: asyncio.Transport) -> None:
        """Set on an accepted socket what it did not inherit."""
        for option in self._not_inherited:
            transport.get_extra_info("socket").setsockopt(*option)

    def _session(self) -> asyncio.Protocol:
        self._empty.clear()
        return Session(self)

    def came(self, session: Session) -> None:
        """The session has its socket."""
        self.sessions.add(session)
        if len(self.sessions) >= self.sockets_max and not self._full:
            self._full = True
            log.warning(
                "file descriptor limit alarm set: %d clients are connected, others have to wait. "
                "Raise the limit of open files (LimitNOFILE of the service)",
                len(self.sessions),
            )
            for door in self._doors:
                door.shut()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens now."""
        return [door.socket.getsockname()[:2] for door in self._doors if door.socket.fileno() >= 0]

    def gone(self, session: Session) -> None:
        """The session's socket is closed."""
        self.sessions.discard(session)
        self._seen.pop(session, None)
        if not self.sessions:
            self._empty.set()
        if self._full and len(self.sessions) < self.sockets_max:
            self._full = False
            log.warning("file descriptor limit alarm cleared")
            for door in self._doors:
                door.open()

    def _tick(self) -> None:
        now_ms = self.clock.monotonic_ms()
        seen = self._seen
        for session in list(self.sessions):
            seen[session] = session.tick(now_ms, seen.get(session, (0, 0)))
        for entry, channel, tag in self._overdue.find(self.broker.connections.values(), now_ms):
            entry.peer.time_out(channel.number, tag)
        self.broker.tick(now_ms)
        self.buffers.look()
        self.broker.turn.end()
        self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _wake_at(self, due_ms: int) -> None:
        """The broker has something to do at that time and not before."""
        if self._waking is not None:
            if self._wake_ms <= due_ms:
                return
            self._waking.cancel()
        self._wake_ms = due_ms
        delay_s = max(due_ms - self.clock.monotonic_ms(), 0) / 1000
        self._waking = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._waking = None
        self.broker.fire(self.clock.monotonic_ms())
        self.broker.turn.end()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more clients, send the others away and wait for them, a bounded time."""
        self.suspend()
        self.broker.ending = True
        error = ConnectionError_(
            ReplyCode.CONNECTION_FORCED,
            "broker forced connection closure with reason 'shutdown'",
            (0, 0),
        )
        for session in list(self.sessions):
            session.close(error)
        if self.sessions:
            try:
                await asyncio.wait_for(self._empty.wait(), grace_s)
            except TimeoutError:
                log.warning("%d clients did not answer connection.close", len(self.sessions))
        for session in list(self.sessions):
            session.abort()
        for timer in (self._ticking, self._waking):
            if timer is not None:
                timer.cancel()
        self._ticking = self._waking = None
        self.broker.wake_at = lambda due_ms: None
        self._doors.clear()

    def suspend(self) -> None:
        """Take no new clients."""
        for door in self._doors:
            door.close()


def _listening(host: str | None, port: int, backlog: int) -> socket.socket:
    if host is None and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # IPv6 that is there but switched off
                raise
    family = socket.AF_INET
    if host is not None:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        host = str(address[0])
    return socket.create_server((host or "", port), family=family, backlog=backlog)
