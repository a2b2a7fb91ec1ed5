"""One message on its way in: a content header and the bodies behind it.

Decides in which order those frames may come and when the message is whole (AMQP 0-9-1 §2.3.5.2),
and refuses one that is too large before its bytes gather. Never cuts frames, never looks at a
property.
"""

from __future__ import annotations

import struct

from mqd.amqp.ports import PublishTarget
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.limits import MESSAGE_BYTES_HARD_MAX

PUBLISH = (60, 40)  # class and method id of basic.publish, to which all of this belongs
_HEADER = struct.Struct(">HHQH")
_CRUMB_BYTES_MAX = 1024
_CRUMBS_MAX = 64  # together they are less than a frame


class Content:
    """A message that is being put together. flags: the first property flag word."""

    __slots__ = ("_crumbs", "_parts", "_remaining", "flags", "target")

    def __init__(self, target: PublishTarget) -> None:
        self.target = target
        self.flags = 0
        self._parts: list[bytes] = []
        self._remaining = 0
        self._crumbs = 0  # how many of the last parts are small

    def take(self, kind: int, frame: bytes, message_bytes_max: int) -> bool:
        """The next content frame (2 header, 3 body); returns whether the message is whole.

        message_bytes_max: what is configured, 0 for none. Raises AmqpError.
        """
        if not self._parts:
            self._take_header(kind, frame, message_bytes_max)
        elif kind != 3:
            raise self.got_no_content("content body frame")
        else:
            size = len(frame) - 8
            self._remaining -= size
            if self._remaining < 0:
                # 3.10.8 waits for ever here; a close that says why is kinder.
                raise ConnectionError_(
                    ReplyCode.FRAME_ERROR,
                    "content body is longer than its header announced",
                    PUBLISH,
                )
            if size:
                self._parts.append(frame)
                self._crumbs = self._crumbs + 1 if size < _CRUMB_BYTES_MAX else 0
                if self._crumbs == _CRUMBS_MAX:
                    self._sweep()
        return self._remaining == 0

    def _sweep(self) -> None:
        """Make one frame of many small ones: a body that comes byte by byte would otherwise take
        fifty times its size. Whoever is sent more than his frame-max gets it cut again."""
        crumbs = self._parts[-_CRUMBS_MAX:]
        piece = b"".join([crumb[7:-1] for crumb in crumbs])
        head = crumbs[0][:3] + len(piece).to_bytes(4, "big")
        self._parts[-_CRUMBS_MAX:] = [head + piece + b"\xce"]
        self._crumbs = 0

    @property
    def properties(self) -> bytes:
        """The header's payload from the property flags on."""
        return self._parts[0][19:-1]

    def joined(self) -> bytes:
        """All frames in one piece: `broker.message.Message.content`."""
        return b"".join(self._parts)

    def got_no_content(self, instead: str | None = None) -> AmqpError:
        """The fault of a frame that is not the one due. instead: how it is called."""
        wanted = "content body" if self._parts else "content header for class 60"
        if instead is None:
            instead = "content body frame" if self._parts else "content header frame"
        return ConnectionError_(
            ReplyCode.UNEXPECTED_FRAME, f"expected {wanted}, got non {instead} instead", PUBLISH
        )

    def _take_header(self, kind: int, frame: bytes, message_bytes_max: int) -> None:
        if kind != 2:
            raise self.got_no_content()
        class_id, weight, body_bytes, flags = _HEADER.unpack_from(frame, 7)
        if weight:
            raise self.got_no_content()
        if class_id != 60:
            raise ConnectionError_(
                ReplyCode.UNEXPECTED_FRAME,
                f"expected content header for class 60, got one for class {class_id} instead",
                PUBLISH,
            )
        largest = min(message_bytes_max or MESSAGE_BYTES_HARD_MAX, MESSAGE_BYTES_HARD_MAX)
        if body_bytes > largest:
            configured = "configured " if largest < MESSAGE_BYTES_HARD_MAX else ""
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED,
                f"message size {body_bytes} is larger than {configured}max size {largest}",
                PUBLISH,
            )
        self._parts.append(frame)
        self._remaining = body_bytes
        self.flags = flags
