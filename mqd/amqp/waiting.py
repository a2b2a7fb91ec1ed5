"""The channels of one connection that wait for an answer, and what comes for them meanwhile.

Theory. A method may have to wait: for the disc, for another node. Its channel handles nothing
behind it until it is answered, since the answers of a channel come in the order of its questions;
the other channels go on (observed: 3.10.8, where each is a process). So while one waits, what is
read is sorted: runs of frames of channels that wait are kept, runs of all others go the usual way,
the hot path first. A channel that is answered is ready: what was kept for it is handled then, or,
when that comes up while a frame is being handled or the connection is paused, right behind that.

connection.close waits for all of them, and what is behind it is dropped: what a client sent before
it is carried out (observed: 3.10.8). A frame that no channel could take (a heartbeat with a
channel, a wrong end octet) is not kept: it is the connection's fault, now.

Decides which frame is handled when. Never handles one: `fastpath` and `Connection.frame` do. How
much may be kept is the session's to decide, which reads no more when it is too much.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mqd.amqp import fastpath
from mqd.amqp.states import Phase
from mqd.limits import FRAME_SLACK_BYTES

if TYPE_CHECKING:
    from mqd.amqp.connection import Connection
    from mqd.amqp.ports import Handler

_ENVELOPE = struct.Struct(">BHI").unpack_from


class Waiting:
    """See the file's charter.

    kept: the channels that wait or are ready, and their frames, whole ones; while it is empty
    nothing of this class is needed. kept_bytes: of all together. leaving: the client has sent
    connection.close.
    """

    __slots__ = ("_busy", "_connection", "_ready", "kept", "kept_bytes", "leaving")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ready: dict[int, None] = {}  # the first one first
        self._busy = False  # somebody goes through frames, and through those that are ready next
        self.kept: dict[int, bytearray] = {}
        self.kept_bytes = 0
        self.leaving = False

    @property
    def has_more(self) -> bool:
        """Whether something was kept that will be handled."""
        return self.kept_bytes > 0 or self.leaving

    def hold(self, channel_id: int) -> None:
        """Handle nothing behind the method of this channel that is being handled."""
        self.kept[channel_id] = bytearray()
        self._connection.stopped = True  # the hot path ends here

    def release(self, channel_id: int) -> None:
        """It is answered, or the channel is no more. May handle what was kept for it."""
        if channel_id in self.kept:
            self._ready[channel_id] = None
            self._connection.stopped = True  # if frames are being handled: behind this one
            self.go_on()

    def leave(self, handler: Handler) -> None:
        """The client closes the connection: when none waits any more."""
        self.leaving = True
        self._connection.stopped = True
        handler.leaving()

    def clear(self) -> None:
        """The connection ends: nobody waits for anything."""
        self.kept.clear()
        self._ready.clear()
        self.kept_bytes = 0
        self.leaving = False

    def go_on(self) -> None:
        """Handle what was kept for those that are ready, if it can be done now."""
        if self._busy:
            return
        self._busy = True
        try:
            self._serve()
        finally:
            self._busy = False
            self._connection.look()

    def receive(self, data: bytes, pos: int) -> int:
        """`fastpath.receive` while channels wait. What is left behind the position it returns is
        half a frame, or waits for the connection to go on."""
        connection = self._connection
        self._busy = True
        try:
            while pos < len(data):
                self._serve()
                if connection.paused:
                    break
                if self.leaving or connection.has_ended:
                    return len(data)
                if not self.kept:
                    pos = self._handle(data, pos)
                    if not self.kept:
                        break  # it was all there is, or the end, or a pause
                    continue
                end, channel_id = self._run(data, pos)
                if end == pos:
                    break
                if channel_id is None:
                    pos += self._handle(data[pos:end])
                else:
                    self.kept[channel_id] += data[pos:end]
                    self.kept_bytes += end - pos
                    pos = end
            self._serve()
        finally:
            self._busy = False
            connection.look()
        return pos

    def _handle(self, data: bytes, pos: int = 0) -> int:
        self._connection.stopped = False
        return fastpath.receive(self._connection, data, pos)

    def _run(self, data: bytes, pos: int) -> tuple[int, int | None]:
        """The whole frames from here on of one channel that waits, or (None) of what does not:
        where they end."""
        kept = self.kept
        end = len(data)
        start = pos
        owner = None
        size_max = self._connection.payload_bytes_max + FRAME_SLACK_BYTES
        while end - pos >= 8:
            kind, channel_id, size = _ENVELOPE(data, pos)
            frame_end = pos + 8 + size
            if frame_end > end:
                if pos == start:
                    self._connection.check_size(data, pos)
                break
            is_kept = (
                channel_id in kept
                and kind in (1, 2, 3)
                and size <= size_max
                and data[frame_end - 1] == 0xCE
            )
            if pos == start:
                owner = channel_id if is_kept else None
            elif owner != (channel_id if is_kept else None):
                break
            pos = frame_end
        return pos, owner

    def _serve(self) -> None:
        """Those that are ready, one behind the other; then the end, if the client wants it."""
        connection = self._connection
        ready = self._ready
        while ready and not connection.paused:
            channel_id = next(iter(ready))
            del ready[channel_id]
            frames = bytes(self.kept.pop(channel_id))
            self.kept_bytes -= len(frames)
            taken = self._handle(frames) if frames else 0
            if taken < len(frames) and connection.phase is Phase.RUNNING:
                if channel_id not in self.kept:  # else it waits again
                    self._ready = ready = {channel_id: None, **self._ready}
                self.kept[channel_id] = bytearray(frames[taken:])
                self.kept_bytes += len(frames) - taken
        if self.leaving and not self.kept:
            connection.finish()
