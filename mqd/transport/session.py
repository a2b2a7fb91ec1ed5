"""One client's socket: the asyncio shell around `amqp.Connection`.

Decides when bytes are read and written, who may log in from where, timeouts and heartbeats. Holds
no rule of the protocol or of the broker: it feeds the one, and joins it to the other. One of the
three places with a catch-all `except`: a fault of ours becomes 541 for this client and a log
entry, and the broker goes on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pamqp import commands

from mqd import limits
from mqd.amqp.codec import Method
from mqd.amqp.connection import HEARTBEAT_FRAME, Connection
from mqd.amqp.fields import Table
from mqd.amqp.outlet import Outlet
from mqd.amqp.ports import ChannelPort
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.amqp.states import Phase
from mqd.auth import sasl
from mqd.auth.access import LoginRefused
from mqd.auth.users import User
from mqd.broker.channel import Channel
from mqd.broker.entries import ConnectionEntry
from mqd.transport.dispatch import dispatch
from mqd.transport.gate import ALARM, ANSWER, PEER, Gate
from mqd.transport.intake import Intake

if TYPE_CHECKING:
    from mqd.transport.listener import Listener

log = logging.getLogger("mqd.connection")

_REFUSED_SILENCE_S = 3  # RabbitMQ: ?SILENT_CLOSE_DELAY, so that guessing passwords is slow
_CLOSE_OK_TIMEOUT_S = 10
_LINGER_S = 30  # RabbitMQ: ?CLOSING_TIMEOUT, for the peer to close its socket
Start = Callable[[Callable[[Any], None]], None]
Reply = Callable[[Any], Method | None]
Ids = tuple[int, int]  # class and method
_LARGE_PARTS = 32  # deliveries in a turn; with more of them bodies are small


class Session(asyncio.Protocol):
    """A client connection from accept to the end."""

    __slots__ = (
        "_answer_bytes",
        "_asked",
        "_blocked_told",
        "_deadline_ms",
        "_gate",
        "_intake",
        "_last_recv_ms",
        "_last_send_ms",
        "_lingers",
        "_listener",
        "_mechanism",
        "_properties",
        "_reads_large",
        "_recv_cnt",
        "_recv_oct",
        "_send_cnt",
        "_send_oct",
        "_transport",
        "_user",
        "connection",
        "entry",
        "name",
        "outlet",
        "pid",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.outlet = Outlet(listener.broker.turn, self._flush)
        self.connection = Connection(listener.offer, self.outlet, self)
        self.entry: ConnectionEntry | None = None
        self.pid = listener.broker.pids.new()
        self.name = ""
        self._mechanism = ""
        self._properties: Table = {}
        self._intake: Intake | None = None  # once it is open
        self._user: User | None = None
        self._recv_oct = self._recv_cnt = self._send_oct = self._send_cnt = 0
        self._answer_bytes = 0  # of large ones, in this turn
        self._asked: Ids = (0, 0)  # that are being carried out
        self._blocked_told = False
        self._reads_large = False
        self._lingers = False
        now_ms = listener.clock.monotonic_ms()
        self._last_recv_ms = self._last_send_ms = now_ms
        self._deadline_ms = now_ms + listener.broker.settings.handshake_timeout_ms

    # -- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # or another loop's equal of it
        transport = self._transport
        self._gate = Gate(self.connection, transport)
        self._listener.buffers.add(transport)
        self._listener.tune(transport)
        if hasattr(transport, "max_size"):
            transport.max_size = self._listener.broker.settings.read_bytes_max
        peer, ours = self._peer(), self._ours()
        self.name = f"{_shown(peer)} -> {_shown(ours)}"
        self._listener.came(self)
        log.info("accepting AMQP connection %s (%s)", self.pid, self.name)

    def _peer(self) -> tuple[str, int]:
        return _address(self._transport.get_extra_info("peername"))

    def _ours(self) -> tuple[str, int]:
        return _address(self._transport.get_extra_info("sockname"))

    def data_received(self, data: bytes) -> None:
        self._recv_oct += len(data)
        self._recv_cnt += 1
        intake = self._intake
        counted = intake.count() if intake is not None else (0, 0, 0)
        try:
            self.connection.receive_data(data)
        except Exception:  # noqa: BLE001 - see the file's charter
            self._fault()
        if intake is not None and intake.count() != counted:
            intake.added(len(data), counted)
        if self._reads_large != bool(self.connection.missing):
            self._resize_reads()
        if self.connection.paused:
            self._gate.received()
        self.outlet.turn.end_soon()

    def _resize_reads(self) -> None:
        """Read more at once while a large body comes in: one read is one turn."""
        self._reads_large = not self._reads_large
        if hasattr(self._transport, "max_size"):
            self._transport.max_size = (
                limits.READ_LARGE_BYTES_MAX
                if self._reads_large
                else self._listener.broker.settings.read_bytes_max
            )

    def _fault(self) -> None:
        """A fault of ours: this client is told, the log has the details."""
        log.exception("connection %s (%s): internal error", self.pid, self.name)
        error = ConnectionError_(ReplyCode.INTERNAL_ERROR, "", (0, 0))
        self.connection.fail(0, error, (0, 0))

    def pause_writing(self) -> None:
        self.outlet.congested = True

    def resume_writing(self) -> None:
        self.outlet.relieve()
        self._peer_reads()
        self.outlet.turn.end()

    def eof_received(self) -> bool:
        return self._gate.end()

    def connection_lost(self, exc: Exception | None) -> None:
        phase = self.connection.phase
        self.outlet.closed = True
        self._listener.buffers.discard(self._transport)
        self.connection.lost()
        if self.entry is not None:
            self._listener.broker.remove_connection(self.entry)
        elif self._mechanism and (events := self._listener.broker.events).listeners:
            events.connection_closed(self.pid, self.name, self._properties)
        self._listener.gone(self)
        self.outlet.turn.end()
        self._log_end(phase, exc)

    def _log_end(self, phase: Phase, exc: Exception | None) -> None:
        where = f"{self.pid} ({self.name}{self._who()})"
        if phase in (Phase.CLOSED, Phase.CLOSING):
            log.info("closing AMQP connection %s", where)
        elif phase is Phase.RUNNING:
            log.warning(
                "closing AMQP connection %s:\nclient unexpectedly closed TCP connection%s",
                where,
                f": {exc}" if exc else "",
            )
        elif phase is not Phase.REFUSED:
            log.warning("closing AMQP connection %s:\nconnection_closed_abruptly", where)

    def _who(self) -> str:
        if self.entry is None:
            return ""
        given = self.entry.user_provided_name
        name = f" - {given}" if given else ""
        return f"{name}, vhost: '{self.entry.vhost.name}', user: '{self.entry.user.name}'"

    # -- bytes out ----------------------------------------------------------------------------

    def _flush(self) -> None:
        outlet = self.outlet
        frames = outlet.frames
        if outlet.closed:
            frames.clear()
            return
        write = self._transport.write
        if len(frames) <= 4 * _LARGE_PARTS and max(map(len, frames)) > limits.READ_BYTES_MAX:
            for part in frames:  # large bodies go out as they are: joining would copy them
                write(part)
                self._send_oct += len(part)
        else:
            data = b"".join(frames)
            self._send_oct += len(data)
            write(data)
        frames.clear()
        self._send_cnt += 1
        if outlet.congested or self._answer_bytes:
            self._check_peer()
        if self.connection.phase is Phase.CLOSED and not self._lingers:
            self._transport.close()

    def send(self, channel_id: int, method: Method) -> None:
        self.connection.send(channel_id, method)

    def sent_content(self, size: int) -> None:
        """See `dispatch.Line`."""
        self._answer_bytes += size
        if self._answer_bytes > limits.ANSWER_BYTES_MAX:
            self._gate.shut(PEER)

    def _check_peer(self) -> None:
        """Let a peer that reads nothing ask for nothing more; deliveries have ended earlier."""
        self._answer_bytes = 0
        if not self.outlet.congested:
            if self._gate.is_shut(PEER):
                self.outlet.turn.later.append(self._peer_reads)
        elif self._transport.get_write_buffer_size() > limits.WRITE_STOP_BYTES:
            self._gate.shut(PEER)

    def _peer_reads(self) -> None:
        if self._gate.is_shut(PEER) and not self.outlet.congested:
            self._read_on(PEER)

    def _read_on(self, reason: int) -> None:
        if self.outlet.closed:
            return
        try:
            self._gate.open(reason)
        except Exception:  # noqa: BLE001 - see the file's charter
            self._fault()
        if not self.connection.paused:
            self._last_recv_ms = self._now_ms()

    def await_answer(self, channel: Channel, start: Start, answer: Reply) -> None:
        """See `dispatch.Line`."""
        waiting, asked = False, self._asked
        result: list[Any] = []

        def done(value: Any) -> None:
            result.append(value)
            if waiting:
                self._answered(channel, value, answer, asked)

        with channel.vhost.events.by(channel.user.name):
            start(done)
        if result:
            self._reply(channel, result[0], answer)
        else:
            waiting = True
            self._gate.shut(ANSWER)

    def _reply(self, channel: Channel, value: Any, answer: Reply) -> None:
        if isinstance(value, AmqpError):
            raise value
        method = answer(value)
        if method is not None:
            self.connection.send(channel.number, method)

    def _answered(self, channel: Channel, value: Any, answer: Reply, asked: Ids) -> None:
        """An answer that had to wait is there: send it and read on."""
        if self.outlet.closed or self.connection.phase is not Phase.RUNNING:
            return
        try:
            if channel.number in self.connection.running:
                self._reply(channel, value, answer)
        except AmqpError as error:
            self.connection.fail(channel.number, error, asked)
        self._read_on(ANSWER)
        self.outlet.turn.end()

    # -- amqp.Handler -------------------------------------------------------------------------

    def start_ok(self, mechanism: str, response: bytes, properties: Table) -> None:
        broker = self._listener.broker
        self._mechanism = mechanism
        self._properties = properties
        if mechanism not in broker.settings.auth_mechanisms:
            raise ConnectionError_(
                ReplyCode.COMMAND_INVALID, f"unknown authentication mechanism '{mechanism}'"
            )
        who = (mechanism, self.connection.version, self.name, self._peer())
        try:
            credentials = sasl.parse(mechanism, response)
            address = self._peer()[0]
            self._user = broker.auth.authenticate(credentials, _is_loopback(address), address)
            broker.events.authentication(self._user.name, None, *who)
        except LoginRefused as refused:
            broker.events.authentication(refused.username, refused.detail, *who)
            log.error(
                "Error on AMQP connection %s (%s, state: starting):\n%s login refused: %s",
                self.pid,
                self.name,
                mechanism,
                refused.detail,
            )
            text = (
                f"Login was refused using authentication mechanism {mechanism}. "
                "For details see the broker logfile."
            )
            # Only a client that says it can is told why (RabbitMQ: authentication_failure_close).
            capable = _can(properties, "authentication_failure_close")
            code = ReplyCode.ACCESS_REFUSED if capable else ReplyCode.NOT_ALLOWED
            raise ConnectionError_(code, text, (0, 0)) from refused

    def open(self, vhost: str) -> None:
        assert self._user is not None
        broker = self._listener.broker
        found = broker.open_vhost(vhost, self._user)
        (peer_host, peer_port), (host, port) = self._peer(), self._ours()
        connection = self.connection
        self.entry = ConnectionEntry(
            pid=self.pid,
            name=self.name,
            outlet=self.outlet,
            peer=self,
            user=self._user,
            vhost=found,
            host=host,
            port=port,
            peer_host=peer_host,
            peer_port=peer_port,
            protocol=connection.version,
            auth_mechanism=self._mechanism,
            frame_max=connection.frame_bytes_max,
            channel_max=connection.channel_max,
            timeout=connection.heartbeat_s,
            client_properties=self._properties,
            connected_at=self._listener.clock.wall_ms(),
        )
        broker.add_connection(self.entry)
        self._intake = Intake(self.entry, self._gate, broker.turn, self._read_on)
        given = self.entry.user_provided_name
        log.info(
            "connection %s (%s%s): user '%s' authenticated and granted access to vhost '%s'",
            self.pid,
            self.name,
            f" - {given}" if given else "",
            self._user.name,
            vhost,
        )

    def open_channel(self, channel_id: int) -> ChannelPort:
        assert self.entry is not None
        return self._listener.broker.open_channel(self.entry, channel_id)

    def method(self, channel: ChannelPort, method: Method) -> None:
        assert isinstance(channel, Channel)
        self._asked = (method.index >> 16, method.index & 0xFFFF)
        dispatch(self, channel, method)

    def update_secret(self, secret: bytes) -> None:
        """Renew the credentials of the session: the internal backend takes any (3.10.8)."""
        del secret
        log.info("connection %s (%s): user's secret was updated", self.pid, self.name)

    def close_channel(self, channel: ChannelPort) -> None:
        assert isinstance(channel, Channel)
        channel.close()

    def failed(self, error: AmqpError, channel_id: int) -> None:
        class_id, method_id = error.method or (0, 0)
        method: Any = commands.INDEX_MAPPING.get(class_id << 16 | method_id)
        operation = method.name.lower() if method is not None else "none"
        where = f"{self.pid} ({self.name}{self._who()}"
        if self.connection.phase in (Phase.REFUSED, Phase.CLOSING):  # in the handshake
            self._deadline_ms = self._now_ms() + _REFUSED_SILENCE_S * 1000
            if error.code is not ReplyCode.ACCESS_REFUSED:
                log.error("closing AMQP connection %s):\n%s", where, error.text)
            return
        if isinstance(error, ChannelError):
            log.error(
                "Channel error on connection %s), channel %d:\n"
                " operation %s caused a channel exception %s: %s",
                where,
                channel_id,
                operation,
                error.code.name.lower(),
                error.text,
            )
            return
        self._deadline_ms = self._now_ms() + _CLOSE_OK_TIMEOUT_S * 1000
        if self.entry is not None:
            self.entry.told_to_close = True
        log.error(
            "Error on AMQP connection %s, state: running), channel %d:\n"
            " operation %s caused a connection exception %s: %s",
            where,
            channel_id,
            operation,
            error.code.name.lower(),
            error.text,
        )

    def closed(self, *, by_peer: bool) -> None:
        """Close the socket, unless the peer is to: what it still had under way would come back to
        it as a reset, which may overtake close-ok (observed: 3.10.8 waits, amqp091-go notices)."""
        heartbeat_s = self.connection.heartbeat_s
        wait_s = min(heartbeat_s, _LINGER_S) if by_peer and heartbeat_s else _LINGER_S
        self._deadline_ms = self._now_ms() + wait_s * 1000
        self._lingers = by_peer
        if by_peer:
            assert self.entry is not None
            self._listener.broker.remove_connection(self.entry)  # exclusive queues: before close-ok
        elif not self.outlet.frames:
            self._transport.close()

    # -- broker.entries.Peer ------------------------------------------------------------------

    def close(self, error: AmqpError) -> None:
        """Close from our side: for an operator, or because the node stops."""
        if self.connection.phase is Phase.RUNNING:
            self._deadline_ms = self._now_ms() + _CLOSE_OK_TIMEOUT_S * 1000
            self.connection.close(error)
            self._gate.give_up()
        elif self.connection.phase is not Phase.CLOSING:
            self._transport.close()
        self.outlet.turn.end()

    def time_out(self, channel_id: int, delivery_tag: int) -> None:
        """Texts observed: 3.10.8."""
        used = self._listener.broker.settings.consumer_timeout_ms
        hint = "This timeout value can be configured, see consumers doc guide to learn more"
        log.warning(
            "Consumer %d on channel %d has timed out waiting for delivery acknowledgement. "
            "Timeout used: %d ms. %s",
            delivery_tag,
            channel_id,
            used,
            hint,
        )
        text = (
            f"delivery acknowledgement on channel {channel_id} timed out. "
            f"Timeout value used: {used} ms. {hint}"
        )
        error = ChannelError(ReplyCode.PRECONDITION_FAILED, text, (0, 0))
        self.connection.fail(channel_id, error, (0, 0))

    def abort(self) -> None:
        """Drop the socket without a word."""
        self._transport.abort()

    def charge(self, copies: int) -> None:
        assert self._intake is not None
        if self._intake.charge(copies):
            self.connection.publishes.clear()  # the hot loop looks up when a frame is not known

    def alarmed(self) -> None:
        self.connection.publishes.clear()

    def hold(self, reason: str) -> None:
        self._gate.shut(ALARM)
        if self.entry is not None and self.entry.can("connection.blocked"):
            self._blocked_told = True
            self.connection.send(0, commands.Connection.Blocked(reason))

    def release(self) -> None:
        if self._blocked_told:
            self._blocked_told = False
            self.connection.send(0, commands.Connection.Unblocked())
        self._read_on(ALARM)

    def counts(self) -> tuple[int, int, int, int, int]:
        pending = self._transport.get_write_buffer_size()
        return self._recv_oct, self._recv_cnt, self._send_oct, self._send_cnt, pending

    # -- time ---------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._listener.clock.monotonic_ms()

    def tick(self, now_ms: int, seen: tuple[int, int]) -> tuple[int, int]:
        """Called about twice a second: deadlines and heartbeats.

        `seen` is what the last call returned: the read and write counts by then, so that the hot
        path needs no clock.
        """
        counts = (self._recv_cnt, self._send_cnt)
        if counts[0] != seen[0]:
            self._last_recv_ms = now_ms
        if counts[1] != seen[1]:
            self._last_send_ms = now_ms
        connection = self.connection
        if connection.phase is Phase.RUNNING:
            assert self._intake is not None
            self._intake.tick(now_ms)
            interval_ms = connection.heartbeat_s * 1000
            if interval_ms:
                self._heartbeat(now_ms, interval_ms)
        elif now_ms >= self._deadline_ms:
            if connection.phase not in (Phase.REFUSED, Phase.CLOSING, Phase.CLOSED):
                log.error(
                    "closing AMQP connection %s (%s):\n{handshake_timeout,%s}",
                    self.pid,
                    self.name,
                    connection.phase.name.lower(),
                )
            self._transport.abort()
        return counts

    def _heartbeat(self, now_ms: int, interval_ms: int) -> None:
        held = self.entry is not None and self.entry.held
        if now_ms - self._last_send_ms >= interval_ms // 2:
            self._last_send_ms = now_ms
            self.outlet.write(HEARTBEAT_FRAME)
        if (
            now_ms - self._last_recv_ms > 2 * interval_ms
            and not held
            and not self.connection.paused
        ):
            log.error(
                "closing AMQP connection %s (%s%s):\nmissed heartbeats from client, timeout: %ds",
                self.pid,
                self.name,
                self._who(),
                interval_ms // 1000,
            )
            self._transport.abort()


def _address(raw: Any) -> tuple[str, int]:
    if not raw:
        return "unknown", 0
    host: str = raw[0]
    if host.startswith("::ffff:"):
        host = host[7:]  # an IPv4 peer on a dual-stack listener
    return host, raw[1]


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _can(properties: Table, capability: str) -> bool:
    declared = properties.get("capabilities")
    return (
        declared is not None
        and declared[0] == "table"
        and declared[1].get(capability) == ("bool", True)
    )
