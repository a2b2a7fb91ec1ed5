"""`mqd.amqp.fastpath`: what is taken by hand and what is left to the general path.

That both do the same is tests/property/test_fastpath.py's.
"""

from __future__ import annotations

import pytest
from pamqp import commands, frame

from mqd.amqp.connection import Connection
from mqd.amqp.states import Phase
from tests.recorder import (
    ack_frame,
    header_frame,
    methods,
    publish_method,
    raw_frame,
    running,
)

METHOD = publish_method(1, "", "q")
CONTENT = header_frame(1, 1) + raw_frame(3, 1, b"m")
PLAIN = METHOD + CONTENT


def count_general(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The frames that go the general way from now on."""
    seen: list[bytes] = []
    general = Connection.frame

    def spy(self: Connection, data: bytes) -> None:
        seen.append(data)
        general(self, data)

    monkeypatch.setattr(Connection, "frame", spy)
    return seen


def test_a_publish_seen_before_is_taken_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    connection, recorder = running()
    connection.receive_data(PLAIN)
    general = count_general(monkeypatch)
    connection.receive_data(PLAIN * 3)
    assert general == []
    assert recorder.calls == [("publish", 1, "/q", CONTENT, 0)] * 4


def test_an_ack_is_taken_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    connection, recorder = running()
    general = count_general(monkeypatch)
    connection.receive_data(ack_frame(1, 7, False) + ack_frame(2, 8, True))
    assert general == []
    assert recorder.calls == [("ack", 1, 7, False), ("ack", 2, 8, True)]


@pytest.mark.parametrize(
    "content",
    [
        header_frame(1, 0),
        header_frame(1, 2) + raw_frame(3, 1, b"m") + raw_frame(3, 1, b"n"),
    ],
    ids=["empty body", "two bodies"],
)
def test_other_contents_go_the_general_way(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, recorder = running()
    connection.receive_data(PLAIN)
    general = count_general(monkeypatch)
    connection.receive_data(METHOD + content)
    assert general[0] == METHOD
    assert recorder.calls[-1][:4] == ("publish", 1, "/q", content)


@pytest.mark.parametrize(
    ("flags", "listing"),
    [(1, b"\0\0"), (0x8000, b"\x20text"), (0x8000, b""), (0, b"x")],
    ids=["more flags", "cut off", "missing", "bytes left over"],
)
def test_properties_that_cannot_be_read_are_refused(flags: int, listing: bytes) -> None:
    connection, recorder = running()
    connection.receive_data(PLAIN)
    before = len(recorder.calls)
    connection.receive_data(METHOD + header_frame(1, 1, flags, listing) + raw_frame(3, 1, b"m"))
    assert connection.phase is Phase.CLOSING
    assert not [call for call in recorder.calls[before:] if call[0] == "publish"]


def test_a_message_cut_by_the_read_goes_the_general_way() -> None:
    connection, recorder = running()
    connection.receive_data(PLAIN)
    for cut in range(1, len(PLAIN)):
        recorder.calls.clear()
        connection.receive_data(PLAIN[:cut])
        assert recorder.calls == []
        connection.receive_data(PLAIN[cut:])
        assert recorder.calls == [("publish", 1, "/q", CONTENT, 0)]


def test_while_another_message_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of two channels may come interleaved (AMQP 0-9-1 §4.2.6)."""
    connection, recorder = running()
    connection.receive_data(PLAIN)
    other = publish_method(2, "", "k")
    connection.receive_data(other + PLAIN + header_frame(2, 1) + raw_frame(3, 2, b"z"))
    assert [call[1] for call in recorder.calls] == [1, 1, 2]


def test_a_refused_publish_closes_its_channel_and_the_rest_goes_on() -> None:
    connection, recorder = running()
    connection.receive_data(PLAIN)
    refused = METHOD + header_frame(1, 9) + raw_frame(3, 1, b"refuse me")
    connection.receive_data(refused + PLAIN + ack_frame(2, 1, False))
    ((channel, close),) = methods(connection)
    assert channel == 1
    assert (close.reply_code, close.class_id, close.method_id) == (406, 60, 40)
    assert recorder.calls[-1] == ("ack", 2, 1, False)
    assert [call for call in recorder.calls if call[0] == "publish"][2:] == []


def test_a_refused_ack_names_its_method() -> None:
    connection, recorder = running()
    connection.receive_data(ack_frame(1, 99, False) + ack_frame(1, 1, False))
    ((channel, close),) = methods(connection)
    assert (channel, close.reply_code) == (1, 406)
    assert (close.class_id, close.method_id) == (60, 80)
    assert recorder.calls[-1] == (
        "failed",
        1,
        "PRECONDITION_FAILED - unknown delivery tag 99",
        (60, 80),
    )


def test_a_fault_of_the_connection_ends_reading() -> None:
    connection, recorder = running()
    connection.receive_data(PLAIN)
    fatal = METHOD + header_frame(1, 8) + raw_frame(3, 1, b"close me")
    connection.receive_data(fatal + PLAIN + ack_frame(2, 1, False))
    assert connection.phase is Phase.CLOSING
    assert [call[0] for call in recorder.calls[2:]] == ["failed", "stop", "stop", "close", "close"]


def test_what_waits_leaves_the_frames_behind_it() -> None:
    connection, recorder = running()
    declare = frame.marshal(commands.Queue.Declare(0, "q"), 1)
    connection.receive_data(declare + PLAIN + ack_frame(1, 1, False))
    assert recorder.calls == [("method", 1, "Queue.Declare")]
    connection.receive_data(ack_frame(1, 2, False))
    assert len(recorder.calls) == 1
    connection.waiting.release(1)
    assert [call[0] for call in recorder.calls] == ["method", "publish", "ack", "ack"]


def test_a_pause_leaves_the_frames_behind_it() -> None:
    connection, recorder = running()
    connection.pause()
    connection.receive_data(PLAIN + ack_frame(1, 1, False))
    connection.receive_data(ack_frame(2, 2, False))
    assert recorder.calls == []
    connection.resume()
    assert [call[0] for call in recorder.calls] == ["publish", "ack", "ack"]


def test_a_closed_channel_forgets_its_publishes() -> None:
    connection, recorder = running()
    connection.receive_data(PLAIN)
    connection.receive_data(frame.marshal(commands.Channel.Close(200, "", 0, 0), 1))
    recorder.calls.clear()
    connection.receive_data(PLAIN)
    assert connection.phase is Phase.CLOSING
    assert recorder.calls[0][2] == "CHANNEL_ERROR - expected 'channel.open'"


def test_a_long_frame_is_no_key() -> None:
    """A body is never looked up as if it were a publish: hashing it would cost a copy's time."""
    connection, recorder = running(frame_max=131_072, message_max=200_000)
    body = b"b" * 100_000
    for _ in range(2):
        connection.receive_data(METHOD + header_frame(1, len(body)) + raw_frame(3, 1, body))
    assert len(recorder.calls) == 2
    assert max(map(len, connection.publishes)) < 600
