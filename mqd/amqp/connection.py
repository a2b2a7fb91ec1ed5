"""One AMQP 0-9-1 connection as the server sees it, without a socket.

Decides framing, the handshake, which frame is legal when, how a message is put together from its
frames, and how a fault is answered. Never decides what a method means: that is the handler's, as
is every broker rule. Bytes come in by `receive_data`; what leaves goes to the outlet; faults of
the peer become close methods here and never reach the caller (AMQP 0-9-1 §2.2.4, §2.3, §4.2).

Calls to the handler and to channel ports happen inside `receive_data`, in the order of the frames.
A handler that must wait (for a commit, say) calls `waiting.hold`: what is behind it on its channel
is kept until `waiting.release`. `pause` keeps what is behind it on any, until `resume`.
"""

from __future__ import annotations

import struct
from typing import Any

from pamqp import commands

from mqd.amqp import fastpath, faults
from mqd.amqp.codec import EIGHT, NINE, Method, decode_method, encode_method
from mqd.amqp.content import PUBLISH, Content
from mqd.amqp.fields import FieldError
from mqd.amqp.handshake import HEADERS_ACCEPTED, OUR_HEADER, Offer, catalogue_of, check_tune
from mqd.amqp.outlet import Outlet
from mqd.amqp.ports import ChannelPort, Handler, PublishTarget
from mqd.amqp.properties import check
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.amqp.states import ANSWERS_TO_CLIENT, HANDSHAKE, Phase
from mqd.amqp.waiting import Waiting
from mqd.limits import FRAME_BYTES_MIN, FRAME_SLACK_BYTES, ROUTE_CACHE_ENTRIES_MAX

_ENVELOPE = struct.Struct(">BHI")
_OPEN_OK = struct.Struct(">BHIIIB")  # pamqp insists on a channel id of "0", 3.10.8 sends none
_IDS = struct.Struct(">HH")  # of class and method
CLOSE_OK_FRAME = b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xce"
_REMEMBERED_BYTES_MAX, _REMEMBERED_MAX = 128, 512  # of checked property lists
_CHUNKED_BYTES_MIN = 8192  # below it, joining the rest with the next read is cheaper
HEARTBEAT_FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"


class Connection:
    """The protocol machine. Attributes not starting with an underscore are read by fastpath."""

    __slots__ = (
        "_catalogue",
        "_chunks",
        "_handler",
        "_lost_frames",
        "_offer",
        "_rest",
        "assembling",
        "channel_max",
        "checked_properties",
        "closing_channels",
        "frame_bytes_max",
        "heartbeat_s",
        "missing",
        "outlet",
        "payload_bytes_max",
        "paused",
        "phase",
        "plain_bytes_max",
        "publishes",
        "running",
        "stopped",
        "version",
        "waiting",
    )

    def __init__(self, offer: Offer, outlet: Outlet, handler: Handler) -> None:
        self._offer = offer
        self._handler = handler
        self.version = (0, 9, 1)
        self._catalogue = NINE
        self._rest = b""
        self._chunks: list[bytes] = []  # of a large frame that is not all there yet
        self.missing = 0  # how many bytes it lacks
        self._lost_frames = False  # a size that cannot be: where frames begin is not known
        self.outlet = outlet
        self.phase = Phase.HEADER
        self.paused = False
        self.stopped = False  # paused, or a channel waits, or nothing more will be read
        self.waiting = Waiting(self)
        self.publishes: dict[bytes, PublishTarget] = {}
        self.running: dict[int, ChannelPort] = {}
        self.closing_channels: set[int] = set()
        self.checked_properties: set[bytes] = set()  # flags and lists that were found good
        self.assembling: dict[int, Content] = {}
        self.channel_max = 0
        self.heartbeat_s = 0
        self.frame_bytes_max = FRAME_BYTES_MIN
        self._limit_payload(FRAME_BYTES_MIN)

    def _limit_payload(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.outlet.frame_bytes_max = frame_bytes_max
        self.payload_bytes_max = (frame_bytes_max or 1 << 31) - 8
        self.plain_bytes_max = min(self.payload_bytes_max, self._offer.message_bytes_max)

    # -- bytes in -----------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take what was read. Never raises for anything the peer did."""
        start = 0
        if self.missing:
            if len(data) < self.missing:
                self._chunks.append(data)
                self.missing -= len(data)
                return
            data, start = self._complete(data)
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        if self.phase is Phase.HEADER:
            if len(data) < 8 and OUR_HEADER.startswith(data[:4]):
                self._rest = data
                return
            data = self._protocol_header(data)
        elif self._lost_frames:
            if encode_method(0, commands.Connection.CloseOk(), self._catalogue) in data:
                self._end()
            return
        taken = start if self.stopped else fastpath.receive(self, data, start)
        if taken < len(data):
            if self.waiting.kept:
                taken = self.waiting.receive(data, taken)
            if taken < len(data):
                self._set_aside(data[taken:] if taken else data)

    def _complete(self, data: bytes) -> tuple[bytes, int]:
        """The rest of a large frame, whose parts are joined once; what is to be handled from
        where on."""
        missing = self.missing
        self._chunks.append(data[:missing])
        frame = b"".join(self._chunks)
        self._chunks = []
        self.missing = 0
        if self.stopped:
            return frame + data[missing:], 0
        self.frame(frame)
        return data, missing

    def _set_aside(self, rest: bytes) -> None:
        """Keep what cannot be read yet; after the end there is nothing to keep it for."""
        if self.phase in (Phase.CLOSED, Phase.REFUSED) or self._lost_frames:
            return
        if not self.paused and len(rest) == 7:  # a size, and nothing behind it
            self.check_size(rest, 0)
        elif not self.paused and len(rest) >= 8:
            missing = _ENVELOPE.unpack_from(rest)[2] + 8 - len(rest)
            if missing > _CHUNKED_BYTES_MIN:
                self._chunks = [rest]
                self.missing = missing
                return
        self._rest = rest

    @property
    def has_more(self) -> bool:
        """Whether frames were read that will be handled, but cannot be now."""
        return self.waiting.has_more or (self.paused and bool(self._rest))

    @property
    def has_ended(self) -> bool:
        """Nothing more will be read."""
        return self.phase in (Phase.CLOSED, Phase.REFUSED)

    def pause(self) -> None:
        """Handle no further frame until `resume`."""
        self.paused = True
        self.stopped = True

    def resume(self) -> None:
        """Go on with what was read meanwhile."""
        self.paused = False
        self.waiting.go_on()
        if not self.has_ended:
            self.receive_data(b"")

    def look(self) -> None:
        """See whether there is more to do than the hot path does."""
        self.stopped = self.paused or bool(self.waiting.kept) or self.has_ended

    def check_size(self, data: bytes, pos: int) -> None:
        """Refuse a frame that is announced too large, before its bytes gather."""
        kind, channel_id, size = _ENVELOPE.unpack_from(data, pos)
        if size > self.payload_bytes_max + FRAME_SLACK_BYTES:
            self._lost_frames = True
            self.fail(channel_id, faults.too_large(kind, size, self.payload_bytes_max), (0, 0))

    def _protocol_header(self, data: bytes) -> bytes:
        version = HEADERS_ACCEPTED.get(data[:8])
        if version is None:
            self.outlet.write(OUR_HEADER)
            self._end()
            return b""
        self.version = version
        self._catalogue = catalogue_of(version)
        self.phase = Phase.START
        is_eight = self._catalogue is EIGHT
        self.outlet.write(self._offer.start_of_eight if is_eight else self._offer.start)
        return data[8:]

    # -- frames -------------------------------------------------------------------------------

    def frame(self, frame: bytes) -> None:
        """The general path: any complete frame, envelope included."""
        kind, channel_id, size = _ENVELOPE.unpack_from(frame)
        try:
            if size > self.payload_bytes_max + FRAME_SLACK_BYTES:
                raise faults.too_large(kind, size, self.payload_bytes_max)
            if frame[-1] != 0xCE:
                # The octet that stood in its place is shown as RabbitMQ shows it.
                raise faults.bad_frame(frame, f"{{invalid_frame_end_marker,{frame[-1]}}}")
            if self.phase is Phase.CLOSING:
                self._frame_while_closing(kind, channel_id, frame)
            elif (kind == 1 and size < 4) or (kind == 2 and size < 14) or (kind == 8 and size):
                raise faults.bad_frame(frame, "unknown_frame")
            elif kind == 1:
                self._method_frame(channel_id, frame)
            elif kind == 8:
                if channel_id != 0:
                    raise faults.unexpected(frame)
            elif kind in (2, 3):
                self._content_frame(kind, channel_id, frame)
            else:
                raise faults.bad_frame(frame, "unknown_frame")
        except AmqpError as error:
            self.fail(channel_id, error, (0, 0))

    def _frame_while_closing(self, kind: int, channel_id: int, frame: bytes) -> None:
        if kind != 1 or channel_id != 0:
            return
        kinds = self._catalogue.read.get(int.from_bytes(frame[7:11], "big"))
        if kinds is None:
            return
        if kinds[0] is commands.Connection.CloseOk:
            self._end()
        elif kinds[0] is commands.Connection.Close:  # both closed at once
            self.send(0, commands.Connection.CloseOk())
            self._end()

    def _method_frame(self, channel_id: int, frame: bytes) -> None:
        content = self.assembling.get(channel_id)
        if content is not None:
            raise content.got_no_content()
        method = decode_method(frame[7:-1], self._catalogue)
        try:
            if channel_id == 0:
                self._connection_method(method)
            else:
                self._channel_method(channel_id, method, frame)
        except AmqpError as error:
            if error.method is None:
                error.method = _IDS.unpack_from(frame, 7)
            raise

    # -- channel 0 ----------------------------------------------------------------------------

    def _connection_method(self, method: Method) -> None:
        wanted = HANDSHAKE.get(self.phase)
        if wanted is not None:
            if not isinstance(method, wanted):
                raise faults.out_of_turn(self.phase)
            self._handshake(method)
        elif isinstance(method, commands.Connection.Close):
            if self.waiting.kept:
                self.waiting.leave(self._handler)
            else:
                self.finish()
        elif isinstance(method, commands.Connection.UpdateSecret):
            secret: Any = method.new_secret  # a longstr: bytes from our codec
            self._handler.update_secret(secret)
            self.send(0, commands.Connection.UpdateSecretOk())
        else:
            raise faults.out_of_turn(self.phase)

    def _handshake(self, method: Method) -> None:
        offer = self._offer
        if isinstance(method, commands.Connection.StartOk):
            login: Any = method  # our codec reads longstr as bytes and tables with their types
            self._handler.start_ok(login.mechanism, login.response, login.client_properties)
            self.phase = Phase.TUNE
            self.send(
                0,
                commands.Connection.Tune(
                    offer.channel_max, offer.frame_bytes_max, offer.heartbeat_s
                ),
            )
        elif isinstance(method, commands.Connection.TuneOk):
            check_tune(offer, method.channel_max, method.frame_max)
            self.channel_max = method.channel_max
            self.heartbeat_s = method.heartbeat
            self._limit_payload(method.frame_max)
            self.phase = Phase.OPEN
        elif isinstance(method, commands.Connection.Open):
            self._handler.open(method.virtual_host)
            self.phase = Phase.RUNNING
            self.send(0, commands.Connection.OpenOk())

    # -- channels -----------------------------------------------------------------------------

    def _channel_method(self, channel_id: int, method: Method, frame: bytes) -> None:
        if self.phase is not Phase.RUNNING:
            raise faults.unexpected(frame)
        channel = self.running.get(channel_id)
        if channel is None:
            if channel_id in self.closing_channels:
                self._method_on_closing(channel_id, method)
            elif isinstance(method, commands.Channel.Open):
                self._open_channel(channel_id)
            else:
                raise ConnectionError_(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")
        elif isinstance(method, commands.Basic.Publish):
            target = channel.target(method)
            if len(self.publishes) >= ROUTE_CACHE_ENTRIES_MAX:
                self.publishes.clear()
            self.publishes[frame] = target
            self.assembling[channel_id] = Content(target)
        elif isinstance(method, commands.Channel.Close):
            self._drop_channel(channel_id)
            self.send(channel_id, commands.Channel.CloseOk())
        elif isinstance(method, commands.Channel.Open):
            raise ConnectionError_(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
        elif method.index in ANSWERS_TO_CLIENT or method.index >> 16 == 10:
            raise ConnectionError_(ReplyCode.COMMAND_INVALID, "unimplemented method")
        else:
            self._handler.method(channel, method)

    def _method_on_closing(self, channel_id: int, method: Method) -> None:
        if isinstance(method, commands.Channel.CloseOk):
            self.closing_channels.discard(channel_id)
        elif isinstance(method, commands.Channel.Close):
            self.send(channel_id, commands.Channel.CloseOk())
        elif isinstance(method, commands.Channel.Open):
            raise ConnectionError_(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")

    def _open_channel(self, channel_id: int) -> None:
        if self.channel_max and len(self.running) >= self.channel_max:
            raise ConnectionError_(
                ReplyCode.NOT_ALLOWED,
                f"number of channels opened ({len(self.running)}) has reached the "
                f"negotiated channel_max ({self.channel_max})",
                (0, 0),
            )
        self.running[channel_id] = self._handler.open_channel(channel_id)
        if self._catalogue is EIGHT:
            self.send(channel_id, commands.Channel.OpenOk())
        else:
            self.outlet.write(_OPEN_OK.pack(1, channel_id, 8, 0x0014000B, 0, 0xCE))

    def _drop_channel(self, channel_id: int) -> None:
        channel = self.running.pop(channel_id)
        self.assembling.pop(channel_id, None)
        self.publishes.clear()
        self._handler.close_channel(channel)

    # -- content ------------------------------------------------------------------------------

    def _content_frame(self, kind: int, channel_id: int, frame: bytes) -> None:
        content = self.assembling.get(channel_id)
        if content is None:
            if channel_id in self.closing_channels:
                return
            if channel_id == 0 or self.phase is not Phase.RUNNING:
                raise faults.unexpected(frame)
            raise faults.no_method()
        if not content.take(kind, frame, self._offer.message_bytes_max):
            return
        listing = content.properties
        if listing not in self.checked_properties:
            self.check_properties(listing)
        del self.assembling[channel_id]
        try:
            content.target.publish(content.joined(), content.flags)
        except AmqpError as error:
            if error.method is None:
                error.method = PUBLISH
            raise

    def check_properties(self, listing: bytes) -> None:
        """Refuse properties that cannot be read: consumers would have to. Raises AmqpError.

        listing: the content-header payload from its flags on. Publishers repeat themselves, so
        what was good is remembered.
        """
        try:
            check(listing)
        except FieldError as error:
            raise ConnectionError_(
                ReplyCode.FRAME_ERROR, f"cannot decode content header: {error}", PUBLISH
            ) from error
        if len(listing) <= _REMEMBERED_BYTES_MAX:
            if len(self.checked_properties) >= _REMEMBERED_MAX:
                self.checked_properties.clear()
            self.checked_properties.add(listing)

    # -- faults and the end -------------------------------------------------------------------

    def fail(self, channel_id: int, error: AmqpError, method: tuple[int, int]) -> None:
        """Answer a fault by closing the channel or the connection; in the handshake, refuse."""
        class_id, method_id = error.method = error.method or method
        if isinstance(error, ChannelError) and channel_id in self.running:
            self._drop_channel(channel_id)
            self.closing_channels.add(channel_id)
            self.send(
                channel_id,
                commands.Channel.Close(error.code, error.reply_text, class_id, method_id),
            )
            self._handler.failed(error, channel_id)
            self.waiting.release(channel_id)  # what it may have been asked is asked no more
        elif self.phase in (Phase.RUNNING, Phase.OPEN):
            self._handler.failed(error, channel_id)
            self.close(error, class_id, method_id)
        elif self.phase is Phase.CLOSING:
            self._end()
        elif self.phase is not Phase.CLOSED:
            self._refuse(error)

    def _refuse(self, error: AmqpError) -> None:
        """A fault in the handshake: no close method (observed: 3.10.8), unless at login."""
        self.phase = Phase.REFUSED
        self.stopped = True
        if error.code is ReplyCode.ACCESS_REFUSED:
            self.phase = Phase.CLOSING
            self.stopped = False
            self.send(0, commands.Connection.Close(error.code, error.reply_text, 0, 0))
        self._handler.failed(error, 0)

    def close(self, error: AmqpError, class_id: int = 0, method_id: int = 0) -> None:
        """Close from our side: send close and wait for close-ok."""
        self._close_channels()
        self.phase = Phase.CLOSING
        self.paused = self.stopped = False
        self.send(0, commands.Connection.Close(error.code, error.reply_text, class_id, method_id))

    def lost(self) -> None:
        """The socket is gone."""
        self._close_channels()
        self.phase = Phase.CLOSED
        self.stopped = True

    def finish(self) -> None:
        """Answer the client's close."""
        self._close_channels()
        self.send(0, commands.Connection.CloseOk())
        self._end(by_peer=True)

    def _close_channels(self) -> None:
        self.waiting.clear()
        self.publishes.clear()
        self.assembling.clear()
        running, self.running = self.running, {}
        for channel in running.values():
            channel.stop_consuming()  # before any of them hands messages back
        for channel in running.values():
            self._handler.close_channel(channel)

    def _end(self, *, by_peer: bool = False) -> None:
        self._close_channels()
        self.phase = Phase.CLOSED
        self.stopped = True
        self._handler.closed(by_peer=by_peer)

    # -- bytes out ----------------------------------------------------------------------------

    def send(self, channel_id: int, method: Method) -> None:
        """Queue a method for the end of the turn."""
        self.outlet.write(encode_method(channel_id, method, self._catalogue))
