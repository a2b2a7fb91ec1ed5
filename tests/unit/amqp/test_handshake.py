"""`mqd.amqp.handshake`: what is offered and which answers are allowed (observed: 3.10.8)."""

from __future__ import annotations

import pytest
from pamqp import frame

from mqd.amqp.codec import EIGHT, NINE, Catalogue
from mqd.amqp.handshake import (
    HEADERS_ACCEPTED,
    OUR_HEADER,
    Offer,
    catalogue_of,
    check_tune,
    start_frame,
)
from mqd.amqp.replies import ConnectionError_, ReplyCode


def offer(channel_max: int = 2047, frame_max: int = 131_072) -> Offer:
    return Offer(b"", b"", channel_max, frame_max, 60, 0)


@pytest.mark.parametrize(("channel_max", "frame_max"), [(1, 4096), (2047, 131_072), (5, 8192)])
def test_answers_within_bounds(channel_max: int, frame_max: int) -> None:
    check_tune(offer(), channel_max, frame_max)


@pytest.mark.parametrize(
    ("channel_max", "frame_max", "text"),
    [
        (1, 4095, "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"),
        (
            1,
            131_073,
            "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (1, 0, "negotiated frame_max = 0 is higher than the maximum allowed value (131072)"),
        (
            2048,
            4096,
            "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
        (0, 4096, "negotiated channel_max = 0 is higher than the maximum allowed value (2047)"),
    ],
)
def test_answers_out_of_bounds(channel_max: int, frame_max: int, text: str) -> None:
    with pytest.raises(ConnectionError_) as caught:
        check_tune(offer(), channel_max, frame_max)
    assert caught.value.code is ReplyCode.NOT_ALLOWED
    assert caught.value.text == text


def test_a_server_without_limits() -> None:
    check_tune(offer(0, 0), 0, 0)
    check_tune(offer(0, 0), 65_535, 1 << 31)


def test_start() -> None:
    data = start_frame({"product": ("longstr", b"RabbitMQ")}, "AMQPLAIN PLAIN")
    size, channel, start = frame.unmarshal(data)
    assert (size, channel) == (len(data), 0)
    assert start.server_properties == {"product": "RabbitMQ"}  # type: ignore[union-attr]
    assert start.mechanisms == "AMQPLAIN PLAIN"  # type: ignore[union-attr]
    assert start.locales == "en_US"  # type: ignore[union-attr]


def test_headers() -> None:
    assert OUR_HEADER in HEADERS_ACCEPTED
    assert {len(header) for header in HEADERS_ACCEPTED} == {8}


def test_eight_calls_itself_by_its_number() -> None:
    _, _, start = frame.unmarshal(start_frame({}, "PLAIN", 8, 0))
    assert (start.version_major, start.version_minor) == (8, 0)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("header", "version", "catalogue"),
    [
        (b"\0\0\x09\x01", (0, 9, 1), NINE),
        (b"\1\1\0\x09", (0, 9, 1), NINE),
        (b"\1\1\x08\0", (0, 8, 0), EIGHT),
        (b"\1\1\x09\x01", (0, 8, 0), EIGHT),
    ],
)
def test_which_version_a_header_asks_for(
    header: bytes, version: tuple[int, int, int], catalogue: Catalogue
) -> None:
    assert HEADERS_ACCEPTED[b"AMQP" + header] == version
    assert catalogue_of(version) is catalogue
