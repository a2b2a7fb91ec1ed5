"""A handler for `amqp.Connection` that writes down what it is asked, and raw frames to feed it.

Decides nothing: channels and targets accept all but what carries a word for a fault ("missing",
"refuse me", "close me", tag 99), so that tests choose faults by what they send.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from pamqp import commands, frame

from mqd.amqp.codec import Method
from mqd.amqp.connection import Connection
from mqd.amqp.fields import Table
from mqd.amqp.handshake import Offer, start_frame
from mqd.amqp.outlet import Outlet, Turn
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.amqp.states import Phase


@dataclass
class Recorder:
    """A handler, and all channels, that write down what they are asked."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    connection: Connection = field(init=False)

    def start_ok(self, mechanism: str, response: bytes, properties: Table) -> None: ...

    def open(self, vhost: str) -> None: ...

    def open_channel(self, channel_id: int) -> FakeChannel:
        self.calls.append(("open", channel_id))
        return FakeChannel(channel_id, self)

    def method(self, channel: Any, method: Method) -> None:
        if isinstance(method, commands.Basic.Ack):
            assert method.delivery_tag is not None
            channel.ack(method.delivery_tag, method.multiple)
            return
        self.calls.append(("method", channel.number, method.name))
        if isinstance(method, commands.Queue.Declare):
            self.connection.waiting.hold(channel.number)
        if isinstance(method, commands.Basic.Recover):
            raise ConnectionError_(ReplyCode.NOT_IMPLEMENTED, "requeue=false")

    def update_secret(self, secret: bytes) -> None:
        """The answers that are waited for are there."""
        for channel_id in list(self.connection.waiting.kept):
            self.calls.append(("answered", channel_id))
            self.connection.waiting.release(channel_id)

    def close_channel(self, channel: Any) -> None:
        self.calls.append(("close", channel.number))

    def failed(self, error: AmqpError, channel_id: int) -> None:
        self.calls.append(("failed", channel_id, str(error), error.method))

    def leaving(self) -> None:
        self.calls.append(("leaving",))

    def closed(self, *, by_peer: bool) -> None:
        self.calls.append(("closed by peer" if by_peer else "closed",))


@dataclass
class FakeChannel:
    number: int
    recorder: Recorder

    def target(self, method: commands.Basic.Publish) -> FakeTarget:
        if method.exchange == "missing":
            raise ChannelError(ReplyCode.NOT_FOUND, "no exchange 'missing' in vhost '/'")
        if method.immediate:
            raise ConnectionError_(ReplyCode.NOT_IMPLEMENTED, "immediate=true")
        return FakeTarget(self.number, f"{method.exchange}/{method.routing_key}", self.recorder)

    def ack(self, delivery_tag: int, multiple: int) -> None:
        self.recorder.calls.append(("ack", self.number, delivery_tag, bool(multiple)))
        if delivery_tag == 99:
            raise ChannelError(ReplyCode.PRECONDITION_FAILED, "unknown delivery tag 99")

    def stop_consuming(self) -> None:
        self.recorder.calls.append(("stop", self.number))


@dataclass
class FakeTarget:
    channel_id: int
    name: str
    recorder: Recorder

    def publish(self, content: bytes, flags: int) -> None:
        self.recorder.calls.append(("publish", self.channel_id, self.name, content, flags))
        if b"refuse me" in content:
            raise ChannelError(ReplyCode.PRECONDITION_FAILED, "refused")
        if b"close me" in content:
            raise ConnectionError_(ReplyCode.FRAME_ERROR, "cannot decode content header")


def new_connection(
    *, frame_max: int = 4096, message_max: int = 4000, channel_max: int = 2047
) -> tuple[Connection, Recorder]:
    """A connection that waits for the protocol header."""
    recorder = Recorder()
    outlet = Outlet(Turn(), lambda: None)
    offer = Offer(start_frame({}, "PLAIN"), b"", channel_max, frame_max, 60, message_max)
    recorder.connection = Connection(offer, outlet, recorder)
    return recorder.connection, recorder


def running(
    channels: tuple[int, ...] = (1, 2),
    *,
    frame_max: int = 4096,
    message_max: int = 4000,
    channel_max: int = 2047,
) -> tuple[Connection, Recorder]:
    """A connection after the handshake with those channels open, its calls and output empty."""
    connection, recorder = new_connection(
        frame_max=frame_max, message_max=message_max, channel_max=channel_max
    )
    start = commands.Connection.StartOk({}, "PLAIN", "", "en_US")
    connection.receive_data(b"AMQP\0\0\x09\x01" + frame.marshal(start, 0))
    tune = commands.Connection.TuneOk(channel_max, frame_max, 0)
    connection.receive_data(frame.marshal(tune, 0))
    connection.receive_data(frame.marshal(commands.Connection.Open("/"), 0))
    for number in channels:
        connection.receive_data(frame.marshal(commands.Channel.Open(), number))
    assert connection.phase is Phase.RUNNING
    connection.outlet.frames.clear()
    recorder.calls.clear()
    return connection, recorder


def output(connection: Connection) -> bytes:
    """What the connection has written since the last call."""
    data = b"".join(connection.outlet.frames)
    connection.outlet.frames.clear()
    return data


def methods(connection: Connection) -> list[tuple[int, Any]]:
    """The same as (channel, method)."""
    data = output(connection)
    found = []
    while data:
        size, channel, method = frame.unmarshal(data)
        found.append((channel, method))
        data = data[size:]
    return found


def raw_frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes((end,))


def publish_method(channel: int, exchange: str, key: str, bits: int = 0) -> bytes:
    names = b"".join(bytes((len(each),)) + each.encode() for each in (exchange, key))
    return raw_frame(1, channel, b"\0\x3c\0\x28\0\0" + names + bytes((bits,)))


def header_frame(
    channel: int, size: int, flags: int = 0, properties: bytes = b"", start: int = 60 << 16
) -> bytes:
    return raw_frame(2, channel, struct.pack(">IQH", start, size, flags) + properties)


def ack_frame(channel: int, tag: int, multiple: bool, end: int = 0xCE) -> bytes:
    return raw_frame(1, channel, b"\0\x3c\0\x50" + struct.pack(">QB", tag, multiple), end)
