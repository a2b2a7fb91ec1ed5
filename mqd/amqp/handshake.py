"""What is agreed before a connection runs.

Decides which protocol headers are taken, what the server offers and which answers to it are
allowed (AMQP 0-9-1 §1.4.2; observed: 3.10.8). Never logs anyone in.
"""

from __future__ import annotations

from dataclasses import dataclass

from pamqp import commands

from mqd.amqp.codec import EIGHT, NINE, Catalogue, encode_method
from mqd.amqp.fields import Table
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.limits import FRAME_BYTES_MIN

OUR_HEADER = b"AMQP\x00\x00\x09\x01"
# Each with the version that it is answered with (observed: 3.10.8, over all headers near them).
HEADERS_ACCEPTED: dict[bytes, tuple[int, int, int]] = {
    b"AMQP\x00\x00\x09\x01": (0, 9, 1),
    b"AMQP\x01\x01\x00\x09": (0, 9, 1),
    b"AMQP\x01\x01\x09\x01": (0, 8, 0),
    b"AMQP\x01\x01\x08\x00": (0, 8, 0),
}


@dataclass(frozen=True, slots=True)
class Offer:
    """What the server offers in start and tune. 0 means unlimited.

    start: the connection.start frame of 0-9, the same for every connection (`start_frame`);
    start_of_eight: that of 0-8.
    """

    start: bytes
    start_of_eight: bytes
    channel_max: int
    frame_bytes_max: int
    heartbeat_s: int
    message_bytes_max: int


def catalogue_of(version: tuple[int, int, int]) -> Catalogue:
    """Which methods are spoken then."""
    return EIGHT if version[1] == 8 else NINE


def start_frame(server_properties: Table, mechanisms: str, major: int = 0, minor: int = 9) -> bytes:
    """connection.start; mechanisms are separated by spaces. 0-8 calls itself 8.0."""
    start = commands.Connection.Start(major, minor, None, mechanisms, "en_US")
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
