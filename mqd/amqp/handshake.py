"""What is agreed before a connection runs.

Decides which protocol headers are taken, what the server offers and which answers to it are
allowed (AMQP 0-9-1 §1.4.2; observed: 3.10.8). Never logs anyone in.
"""

from __future__ import annotations

from dataclasses import dataclass

from pamqp import commands

from mqd.amqp.codec import encode_method
from mqd.amqp.fields import Table
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.limits import FRAME_BYTES_MIN

OUR_HEADER = b"AMQP\x00\x00\x09\x01"
HEADERS_ACCEPTED = frozenset(
    {
        b"AMQP\x00\x00\x09\x01",
        b"AMQP\x01\x01\x00\x09",
        b"AMQP\x01\x01\x09\x01",
        b"AMQP\x01\x01\x08\x00",
    }
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the server offers in start and tune. 0 means unlimited.

    start: the connection.start frame, the same for every connection (`start_frame`).
    """

    start: bytes
    channel_max: int
    frame_bytes_max: int
    heartbeat_s: int
    message_bytes_max: int


def start_frame(server_properties: Table, mechanisms: str) -> bytes:
    """connection.start; mechanisms are separated by spaces."""
    start = commands.Connection.Start(0, 9, None, mechanisms, "en_US")
    start.server_properties = server_properties  # type: ignore[assignment]
    return encode_method(0, start)


def check_tune(offer: Offer, channel_max: int, frame_max: int) -> None:
    """Refuse a tune-ok that is out of bounds. Raises ConnectionError_.

    0 means unlimited, which is more than any limit of ours (observed: 3.10.8).
    """
    for name, value, ours, least in (
        ("frame_max", frame_max, offer.frame_bytes_max, FRAME_BYTES_MIN),
        ("channel_max", channel_max, offer.channel_max, 1),
    ):
        if value and value < least:
            raise ConnectionError_(
                ReplyCode.NOT_ALLOWED,
                f"negotiated {name} = {value} is lower than the minimum allowed value ({least})",
            )
        if ours and (value == 0 or value > ours):
            raise ConnectionError_(
                ReplyCode.NOT_ALLOWED,
                f"negotiated {name} = {value} is higher than the maximum allowed value ({ours})",
            )
