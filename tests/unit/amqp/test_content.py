"""`mqd.amqp.content`: how a message is put together. Faults in a conversation: test_connection."""

from __future__ import annotations

import pytest

from mqd.amqp import content as content_module
from mqd.amqp.content import Content
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_
from mqd.broker.message import Message
from tests.recorder import FakeTarget, Recorder, header_frame, raw_frame


@pytest.fixture
def content() -> Content:
    return Content(FakeTarget(1, "", Recorder()))


def refused(content: Content, kind: int, frame: bytes, message_max: int = 0) -> AmqpError:
    with pytest.raises(AmqpError) as caught:
        content.take(kind, frame, message_max)
    assert caught.value.method == (60, 40)
    return caught.value


def test_header_and_bodies(content: Content) -> None:
    frames = [header_frame(1, 5, 0x1000, b"\x02"), raw_frame(3, 1, b"abc"), raw_frame(3, 1, b"de")]
    assert not content.take(2, frames[0], 0)
    assert content.flags == 0x1000
    assert content.properties == b"\x10\0\x02"
    assert not content.take(3, frames[1], 0)
    assert content.take(3, frames[2], 0)
    assert content.joined() == b"".join(frames)


def test_no_body(content: Content) -> None:
    assert content.take(2, header_frame(1, 0), 0)


@pytest.mark.parametrize(("message_max", "largest"), [(0, 1 << 29), (100, 100), (1 << 40, 1 << 29)])
def test_the_largest_message(message_max: int, largest: int, content: Content) -> None:
    error = refused(content, 2, header_frame(1, largest + 1), message_max)
    assert isinstance(error, ChannelError)
    configured = "configured " if message_max == 100 else ""
    assert error.text == f"message size {largest + 1} is larger than {configured}max size {largest}"
    assert not content.take(2, header_frame(1, largest), message_max)


def test_out_of_order(content: Content) -> None:
    assert "non content header frame" in refused(content, 3, raw_frame(3, 1, b"x")).text
    content.take(2, header_frame(1, 2), 0)
    assert "non content body frame" in refused(content, 2, header_frame(1, 2)).text
    assert "expected content body, got non content body frame" in content.got_no_content().text
    error = refused(content, 3, raw_frame(3, 1, b"abc"))
    assert isinstance(error, ConnectionError_)
    assert "longer than its header announced" in error.text


@pytest.mark.parametrize("size", [1, 3, 100])
def test_crumbs_are_swept_up(size: int, content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body in tiny frames does not keep an object for each."""
    monkeypatch.setattr(content_module, "_CRUMBS_MAX", 10)
    body = bytes(range(256)) * 4
    whole = content.take(2, header_frame(1, len(body)), 0)
    for at in range(0, len(body), size):
        whole = content.take(3, raw_frame(3, 1, body[at : at + size]), 0)
    assert whole
    message = Message(b"", content.joined())
    assert message.body == body
    assert len(content.joined()) <= len(body) * 2 + 100
