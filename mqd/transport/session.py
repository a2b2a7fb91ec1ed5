"""One client's socket: the asyncio shell around `amqp.Connection`.

Decides when bytes are read and written, what becomes of an answer that was waited for, timeouts and
heartbeats. Holds no rule of the protocol or of the broker: it feeds the one, and joins it to the
other; who may log in is `mqd.transport.login`'s. One of the three places with a catch-all `except`:
a fault of ours becomes 541 for this client and a log entry, and the broker goes on.
"""

from __future__ import annotations

import asyncio
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
from mqd.broker.channel import Channel
from mqd.broker.entries import ConnectionEntry
from mqd.transport.dispatch import dispatch
from mqd.transport.gate import ALARM, PEER, Gate
from mqd.transport.intake import Intake
from mqd.transport.login import Login

if TYPE_CHECKING:
    from mqd.transport.listener import Listener

_REFUSED_SILENCE_S = 3  # RabbitMQ: ?SILENT_CLOSE_DELAY, so that guessing passwords is slow
_CLOSING_S = 30  # RabbitMQ: ?CLOSING_TIMEOUT
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
        "_login",
        "_reads_large",
        "_recv_cnt",
        "_recv_oct",
        "_send_cnt",
        "_send_oct",
        "_transport",
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
        self._intake: Intake | None = None  # once it is open
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
        self._login = Login(self._listener.broker, self.pid, transport)
        self.name = self._login.name
        self._listener.came(self)
        self._login.journal.accepted()

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
        if self.connection.stopped:
            self._gate.look()
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
        self._login.journal.fault_of_ours()
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
        elif self._login.mechanism and (events := self._listener.broker.events).listeners:
            events.connection_closed(self.pid, self.name, self._login.properties)
        self._listener.gone(self)
        self.outlet.turn.end()
        self._login.journal.ended(phase, exc)

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
        self._go_on(lambda: self._gate.open(reason))
        self._hear()

    def _go_on(self, step: Callable[[], None]) -> None:
        """Handle what was read earlier. What was kept for channels counts as read by now."""
        intake = self._intake
        waiting = self.connection.waiting
        kept_bytes = waiting.kept_bytes
        counted = intake.count() if intake is not None else (0, 0, 0)
        try:
            step()
        except Exception:  # noqa: BLE001 - see the file's charter
            self._fault()
        size = kept_bytes - waiting.kept_bytes
        if intake is not None and size > 0 and intake.count() != counted:
            intake.added(size, counted)

    def _hear(self) -> None:
        """Silence counts from now on, if it was not listened to."""
        if not self._gate.is_shut():
            self._last_recv_ms = self._now_ms()

    # -- answers ------------------------------------------------------------------------------

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
            self.connection.waiting.hold(channel.number)

    def _reply(self, channel: Channel, value: Any, answer: Reply) -> None:
        if isinstance(value, AmqpError):
            raise value
        method = answer(value)
        if method is not None:
            self.connection.send(channel.number, method)

    def _answered(self, channel: Channel, value: Any, answer: Reply, asked: Ids) -> None:
        """An answer that had to wait is there: send it, and go on with what is behind it. Nobody
        wants it any more when the channel was closed meanwhile, even if there is another one of
        that number."""
        connection = self.connection
        if self.outlet.closed or connection.running.get(channel.number) is not channel:
            return

        def step() -> None:
            try:
                self._reply(channel, value, answer)
                connection.waiting.release(channel.number)
            except AmqpError as error:
                connection.fail(channel.number, error, asked)

        self._go_on(step)
        self._gate.look()
        self._hear()
        self.outlet.turn.end()

    # -- amqp.Handler -------------------------------------------------------------------------

    def start_ok(self, mechanism: str, response: bytes, properties: Table) -> None:
        self._login.start(self.connection.version, mechanism, response, properties)

    def open(self, vhost: str) -> None:
        now_ms = self._listener.clock.wall_ms()
        self.entry = entry = self._login.open(vhost, self.pid, self.connection, self, now_ms)
        turn = self._listener.broker.turn
        self._intake = Intake(entry, self._gate, turn, self._read_on)

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
        self._login.journal.renewed()

    def close_channel(self, channel: ChannelPort) -> None:
        assert isinstance(channel, Channel)
        channel.close()

    def failed(self, error: AmqpError, channel_id: int) -> None:
        phase = self.connection.phase
        self._login.journal.failed(error, channel_id, phase)
        if phase in (Phase.REFUSED, Phase.CLOSING):  # in the handshake
            self._deadline_ms = self._now_ms() + _REFUSED_SILENCE_S * 1000
        elif not isinstance(error, ChannelError):
            self._hang_up_later()
            if self.entry is not None:
                self.entry.told_to_close = True

    def _hang_up_later(self) -> None:
        """Give the peer its time to close, or to answer our close (RabbitMQ: close_connection)."""
        heartbeat_s = self.connection.heartbeat_s
        wait_s = min(heartbeat_s, _CLOSING_S) if heartbeat_s else _CLOSING_S
        self._deadline_ms = self._now_ms() + wait_s * 1000

    def leaving(self) -> None:
        self._hang_up_later()

    def closed(self, *, by_peer: bool) -> None:
        """Close the socket, unless the peer is to: what it still had under way would come back to
        it as a reset, which may overtake close-ok (observed: 3.10.8 waits, amqp091-go notices)."""
        self._hang_up_later()
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
            self._hang_up_later()
            self.connection.close(error)
            self._gate.give_up()
        elif self.connection.phase is not Phase.CLOSING:
            self._transport.close()
        self.outlet.turn.end()

    def time_out(self, channel_id: int, delivery_tag: int) -> None:
        timeout_ms = self._listener.broker.settings.consumer_timeout_ms
        text = self._login.journal.overdue(channel_id, delivery_tag, timeout_ms)
        error = ChannelError(ReplyCode.PRECONDITION_FAILED, text, (0, 0))
        self._go_on(lambda: self.connection.fail(channel_id, error, (0, 0)))
        self._gate.look()

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
            if connection.waiting.leaving and now_ms >= self._deadline_ms:
                connection.finish()  # whatever its channels wait for
        elif now_ms >= self._deadline_ms:
            if connection.phase not in (Phase.REFUSED, Phase.CLOSING, Phase.CLOSED):
                self._login.journal.unfinished(connection.phase)
            self._transport.abort()
        return counts

    def _heartbeat(self, now_ms: int, interval_ms: int) -> None:
        held = self.entry is not None and self.entry.held
        if now_ms - self._last_send_ms >= interval_ms // 2:
            self._last_send_ms = now_ms
            self.outlet.write(HEARTBEAT_FRAME)
        if now_ms - self._last_recv_ms > 2 * interval_ms and not held and not self._gate.is_shut():
            self._login.journal.silent(interval_ms // 1000)
            self._transport.abort()
