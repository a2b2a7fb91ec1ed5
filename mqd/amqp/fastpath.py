"""The few hot frames, read by hand: basic.publish with its content, basic.ack.

Decides how those are cut out of a read without making an object for any of them. Never decides
anything about them: whatever is not the plain case (first sight of a route, a body in several
frames, a frame that is not all there yet, any other method) goes to `Connection.frame`, the
general path, which is also this one's oracle in the tests.

How a publish is recognised: a publisher sends the same basic.publish frame over and over, so the
whole frame is the key of a dictionary whose value is the resolved target (DESIGN §2). One slice
and one look-up replace decoding, permission check and routing. Measured on CPython 3.11: 0.9 µs
for method, header and body together, where decoding by pamqp takes 25.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mqd.amqp.replies import AmqpError

if TYPE_CHECKING:
    from mqd.amqp.connection import Connection

_SIZE = struct.Struct(">I").unpack_from
_CONTENT = struct.Struct(">BHIIQH").unpack_from  # header frame up to the property flags
_BODY = struct.Struct(">BHI").unpack_from
_ACK = struct.Struct(">BHIIQBB").unpack_from
_BASIC = 60 << 16  # class id and weight, as they stand in a content header
_ACK_INDEX = 0x003C0050
_CONTENT_BYTES_MIN = 7 + 14 + 1
_PUBLISH_BYTES_MAX = 8 + 4 + 2 + 256 + 256 + 1  # a longer frame is no key: do not hash a body


def receive(connection: Connection, data: bytes, pos: int = 0) -> int:
    """Handle every complete frame in `data` from `pos` on; returns where the rest begins.

    Stops early when the connection pauses or closes. Faults become close methods here and
    never leave.
    """
    end = len(data)
    publishes = connection.publishes
    checked = connection.checked_properties
    body_max = connection.plain_bytes_max
    while end - pos >= 8:
        frame_end = pos + 8 + _SIZE(data, pos + 3)[0]
        if frame_end > end:
            connection.check_size(data, pos)
            break
        frame = data[pos:frame_end]
        target = publishes.get(frame) if frame_end - pos <= _PUBLISH_BYTES_MAX else None
        pos = frame_end
        if target is not None:
            if end - pos >= _CONTENT_BYTES_MIN and not connection.assembling:
                kind, channel_id, size, basic, body_size, flags = _CONTENT(data, pos)
                body_at = pos + 8 + size
                content_end = body_at + 8 + body_size
                if (
                    body_size
                    and content_end <= end
                    and kind == 2
                    and channel_id == target.channel_id
                    and basic == _BASIC
                    and body_size <= body_max
                    and (14 < size <= body_max if flags else size == 14)
                    and data[body_at - 1] == 0xCE
                    and data[content_end - 1] == 0xCE
                    and _BODY(data, body_at) == (3, channel_id, body_size)
                ):
                    content = data[pos:content_end]
                    pos = content_end
                    try:
                        if flags and content[19 : size + 7] not in checked:
                            connection.check_properties(content[19 : size + 7])
                        target.publish(content, flags)
                    except AmqpError as error:
                        connection.fail(channel_id, error, (60, 40))
                        if connection.stopped:
                            break
                    continue
        elif len(frame) == 21 and frame[20] == 0xCE:
            kind, channel_id, size, index, tag, multiple, _ = _ACK(frame)
            if index == _ACK_INDEX and kind == 1:
                channel = connection.running.get(channel_id)
                if channel is not None and channel_id not in connection.assembling:
                    try:
                        channel.ack(tag, multiple & 1)
                    except AmqpError as error:
                        connection.fail(channel_id, error, (60, 80))
                        if connection.stopped:
                            break
                    continue
        connection.frame(frame)
        if connection.stopped:
            break
        body_max = connection.plain_bytes_max
    return pos
