"""`mqd.amqp.connection`: handshake, framing, channels, messages, faults and the end.

Reply codes and texts as 3.10.8 was observed to send them.
"""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import commands, frame

from mqd.amqp import connection as connection_module
from mqd.amqp.connection import CLOSE_OK_FRAME, HEARTBEAT_FRAME, Connection
from mqd.amqp.handshake import OUR_HEADER
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.amqp.states import Phase
from mqd.limits import ROUTE_CACHE_ENTRIES_MAX
from tests.recorder import (
    Recorder,
    ack_frame,
    header_frame,
    methods,
    new_connection,
    output,
    publish_method,
    raw_frame,
    running,
)

HEADER = b"AMQP\0\0\x09\x01"
START_OK = frame.marshal(commands.Connection.StartOk({}, "PLAIN", "", "en_US"), 0)
OPEN = frame.marshal(commands.Connection.Open("/"), 0)
CLOSE = frame.marshal(commands.Connection.Close(200, "", 0, 0), 0)


def tune_ok(channel_max: int = 2047, frame_max: int = 4096, heartbeat: int = 10) -> bytes:
    return frame.marshal(commands.Connection.TuneOk(channel_max, frame_max, heartbeat), 0)


def marshal(method: Any, channel: int = 1) -> bytes:
    return frame.marshal(method, channel)


def closed_with(connection: Connection) -> tuple[int, str, int, int]:
    """The one connection.close that was sent."""
    assert connection.phase is Phase.CLOSING
    ((channel, close),) = methods(connection)
    assert channel == 0
    assert isinstance(close, commands.Connection.Close)
    assert close.reply_code is not None
    assert close.class_id is not None
    assert close.method_id is not None
    return close.reply_code, close.reply_text, close.class_id, close.method_id


# -- handshake (AMQP 0-9-1 §2.2.4) ----------------------------------------------------------------


def test_handshake() -> None:
    connection, _ = new_connection()
    connection.receive_data(HEADER)
    ((_, start),) = methods(connection)
    assert (start.version_major, start.version_minor, start.mechanisms) == (0, 9, "PLAIN")
    connection.receive_data(START_OK)
    ((_, tune),) = methods(connection)
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 4096, 60)
    connection.receive_data(tune_ok(100, 4096, 7) + OPEN)
    ((_, ok),) = methods(connection)
    assert isinstance(ok, commands.Connection.OpenOk)
    assert connection.phase is Phase.RUNNING
    assert (connection.channel_max, connection.frame_bytes_max) == (100, 4096)
    assert connection.heartbeat_s == 7
    assert connection.outlet.frame_bytes_max == 4096


def test_everything_may_come_byte_by_byte() -> None:
    connection, _ = new_connection()
    for octet in HEADER + START_OK + tune_ok() + OPEN:
        connection.receive_data(bytes((octet,)))
    assert [type(method).__name__ for _, method in methods(connection)] == [
        "Start",
        "Tune",
        "OpenOk",
    ]


@pytest.mark.parametrize(
    "header", [b"AMQP\x01\x01\x00\x09", b"AMQP\x01\x01\x09\x01", b"AMQP\x01\x01\x08\x00"]
)
def test_headers_of_older_protocols_start_the_same_handshake(header: bytes) -> None:
    connection, _ = new_connection()
    connection.receive_data(header)
    assert connection.phase is Phase.START


@pytest.mark.parametrize(
    "header", [b"GET / HTTP/1.1\r\n", b"AMQP\0\1\0\0", b"AMQP\3\1\0\0", b"\x16\x03\x01\x02"]
)
def test_another_protocol_is_told_ours(header: bytes) -> None:
    connection, recorder = new_connection()
    connection.receive_data(header)
    assert output(connection) == OUR_HEADER
    assert connection.phase is Phase.CLOSED
    assert recorder.calls == [("closed",)]
    connection.receive_data(START_OK)
    assert output(connection) == b""


@pytest.mark.parametrize(
    "answer",
    [
        tune_ok(frame_max=1000),
        tune_ok(frame_max=4097),
        tune_ok(frame_max=0),
        tune_ok(channel_max=0),
        tune_ok(channel_max=2048),
    ],
)
def test_tune_ok_out_of_bounds_is_refused_without_a_word(answer: bytes) -> None:
    """The socket is closed after a pause, which is the session's."""
    connection, recorder = new_connection()
    connection.receive_data(HEADER + START_OK)
    output(connection)
    connection.receive_data(answer + OPEN)
    assert connection.phase is Phase.REFUSED
    assert output(connection) == b""
    assert recorder.calls[0][0] == "failed"
    connection.receive_data(OPEN)
    assert output(connection) == b""


def test_no_limit_where_the_server_has_none() -> None:
    connection, _ = new_connection(frame_max=0, channel_max=0)
    connection.receive_data(HEADER + START_OK + tune_ok(0, 0, 0) + OPEN)
    assert connection.phase is Phase.RUNNING
    assert connection.frame_bytes_max == 0
    output(connection)
    connection.receive_data(marshal(commands.Channel.Open(), 65_535))
    assert connection.running


def test_frames_before_tune_are_small() -> None:
    connection, _ = new_connection(frame_max=131_072)
    connection.receive_data(HEADER + raw_frame(1, 0, b"\0" * 5000))
    assert connection.phase is Phase.REFUSED


@pytest.mark.parametrize(
    ("phase", "sent"),
    [(Phase.START, HEADER), (Phase.TUNE, HEADER + START_OK)],
)
@pytest.mark.parametrize("wrong", [OPEN, tune_ok(), START_OK, CLOSE_OK_FRAME])
def test_a_method_out_of_turn_in_the_handshake(phase: Phase, sent: bytes, wrong: bytes) -> None:
    connection, _ = new_connection()
    connection.receive_data(sent)
    output(connection)
    assert connection.phase is phase
    right = START_OK if phase is Phase.START else tune_ok()
    if wrong == right:
        return
    connection.receive_data(wrong)
    assert connection.phase is Phase.REFUSED
    assert output(connection) == b""


def test_a_refused_vhost_is_told() -> None:
    connection, recorder = new_connection()

    def refuse(vhost: str) -> None:
        raise ConnectionError_(ReplyCode.NOT_ALLOWED, f"vhost {vhost} not found")

    recorder.open = refuse  # type: ignore[method-assign]
    connection.receive_data(HEADER + START_OK + tune_ok())
    output(connection)
    connection.receive_data(OPEN)
    assert closed_with(connection) == (530, "NOT_ALLOWED - vhost / not found", 10, 40)
    connection.receive_data(CLOSE_OK_FRAME)
    assert recorder.calls[-1] == ("closed",)


@pytest.mark.parametrize("told", [True, False])
def test_a_refused_login_is_told_to_those_who_understand(told: bool) -> None:
    connection, recorder = new_connection()

    def refuse(*_: object) -> None:
        code = ReplyCode.ACCESS_REFUSED if told else ReplyCode.NOT_ALLOWED
        raise ConnectionError_(code, "Login was refused", (0, 0))

    recorder.start_ok = refuse  # type: ignore[method-assign,assignment]
    connection.receive_data(HEADER)
    output(connection)
    connection.receive_data(START_OK)
    if told:
        assert closed_with(connection) == (403, "ACCESS_REFUSED - Login was refused", 0, 0)
    else:
        assert connection.phase is Phase.REFUSED
        assert output(connection) == b""


def test_channel_methods_wait_for_the_handshake() -> None:
    connection, _ = new_connection()
    connection.receive_data(HEADER + START_OK + tune_ok())
    output(connection)
    connection.receive_data(marshal(commands.Channel.Open()))
    assert closed_with(connection)[0] == 505


# -- framing (AMQP 0-9-1 §2.3, §4.2) --------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (
            raw_frame(1, 0, b"\0\x14\0\x28", end=0),
            501,
            "FRAME_ERROR - type 1, all octets = <<0,20,0,40>>: {invalid_frame_end_marker,0}",
        ),
        (
            raw_frame(9, 0, b"x"),
            501,
            'FRAME_ERROR - type 9, all octets = <<"x">>: unknown_frame',
        ),
        (raw_frame(8, 1, b""), 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
        (
            raw_frame(2, 1, b"\0\x3c" + b"\0" * 12),
            505,
            "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
        ),
        (
            raw_frame(3, 1, b"x"),
            505,
            "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
        ),
        (raw_frame(3, 0, b"x"), 505, 'UNEXPECTED_FRAME - type 3, all octets = <<"x">>'),
    ],
)
def test_bad_frames(data: bytes, code: int, text: str) -> None:
    connection, _ = running()
    connection.receive_data(data)
    assert closed_with(connection) == (code, text, 0, 0)


def test_a_frame_may_be_an_envelope_too_long() -> None:
    """3.10.8 allows for clients that forget the envelope."""
    connection, recorder = running()
    start = publish_method(1, "", "q") + header_frame(1, 4096 - 300)
    assert connection.payload_bytes_max == 4088
    connection.receive_data(start + raw_frame(3, 1, b"b" * (4096 - 300)))
    connection.receive_data(publish_method(1, "", "q") + header_frame(1, 4000))
    connection.receive_data(raw_frame(3, 1, b"b" * 4000))
    assert len(recorder.calls) == 2
    connection.receive_data(raw_frame(8, 0, b"h" * 4096))
    assert b"FRAME_ERROR - type 8, all octets" in output(connection)


def test_a_frame_too_large_is_refused_before_it_is_there() -> None:
    connection, recorder = running()
    connection.receive_data(b"\x03\0\x01\x00\x00\x10\x01")
    text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}"
    assert closed_with(connection) == (501, text, 0, 0)
    connection.receive_data(b"x" * 100_000)
    assert output(connection) == b""
    connection.receive_data(CLOSE_OK_FRAME)
    assert recorder.calls[-1] == ("closed",)


@pytest.mark.parametrize("size", [9000, 100_000])
def test_a_large_frame_is_gathered_in_pieces(size: int) -> None:
    connection, recorder = running(frame_max=131_072, message_max=200_000)
    body = bytes(range(256)) * (size // 256)
    content = header_frame(1, len(body)) + raw_frame(3, 1, body)
    data = publish_method(1, "", "q") + content + ack_frame(1, 5, False)
    for at in range(0, len(data), 1000):
        connection.receive_data(data[at : at + 1000])
    assert recorder.calls == [("publish", 1, "/q", content, 0), ("ack", 1, 5, False)]
    assert connection.missing == 0


def test_large_frames_leave_no_copy_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is told, so that the session can read more at once."""
    monkeypatch.setattr(connection_module, "_CHUNKED_BYTES_MIN", 10)
    connection, _ = running()
    connection.receive_data(publish_method(1, "", "q") + header_frame(1, 100))
    connection.receive_data(raw_frame(3, 1, b"b" * 100)[:50])
    assert connection.missing == 58
    connection.receive_data(b"b" * 8)
    assert connection.missing == 50


def test_heartbeats_say_nothing() -> None:
    connection, recorder = running()
    connection.receive_data(HEARTBEAT_FRAME * 3)
    assert recorder.calls == []
    assert output(connection) == b""


# -- channels -------------------------------------------------------------------------------------


def test_channels_open_and_close() -> None:
    connection, recorder = running(())
    connection.receive_data(marshal(commands.Channel.Open(), 5))
    assert recorder.calls == [("open", 5)]
    assert connection.outlet.frames == [raw_frame(1, 5, b"\0\x14\0\x0b\0\0\0\0")]
    output(connection)
    connection.receive_data(marshal(commands.Channel.Close(200, "", 0, 0), 5))
    assert recorder.calls[-1] == ("close", 5)
    ((channel, ok),) = methods(connection)
    assert (channel, type(ok)) == (5, commands.Channel.CloseOk)
    assert connection.running == {}


def test_channel_max_counts_channels() -> None:
    """3.10.8 minds how many there are, not how they are numbered."""
    connection, _ = running((), channel_max=2)
    connection.receive_data(marshal(commands.Channel.Open(), 9))
    connection.receive_data(marshal(commands.Channel.Open(), 7))
    output(connection)
    connection.receive_data(marshal(commands.Channel.Open(), 1))
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    assert closed_with(connection) == (530, text, 0, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (marshal(commands.Channel.Open()), (504, "CHANNEL_ERROR - second 'channel.open' seen")),
        (marshal(commands.Basic.Ack(1), 3), (504, "CHANNEL_ERROR - expected 'channel.open'")),
        (marshal(commands.Basic.QosOk()), (503, "COMMAND_INVALID - unimplemented method")),
        (marshal(commands.Connection.Open("/")), (503, "COMMAND_INVALID - unimplemented method")),
    ],
)
def test_methods_out_of_place(data: bytes, expected: tuple[int, str]) -> None:
    connection, _ = running()
    connection.receive_data(data)
    assert closed_with(connection)[:2] == expected


def test_a_connection_method_out_of_turn() -> None:
    connection, _ = running()
    connection.receive_data(START_OK)
    assert closed_with(connection)[0] == 504


def test_a_channel_that_closes_drops_all_but_the_answer() -> None:
    """AMQP 0-9-1 §1.5.2.5: the peer may have sent much before it read the close."""
    connection, recorder = running()
    connection.receive_data(publish_method(1, "missing", "q"))
    ((channel, close),) = methods(connection)
    assert (channel, close.reply_code, close.class_id, close.method_id) == (1, 404, 60, 40)
    recorder.calls.clear()
    connection.receive_data(
        header_frame(1, 1)
        + raw_frame(3, 1, b"m")
        + ack_frame(1, 1, False)
        + publish_method(1, "", "q")
        + header_frame(1, 1)
        + raw_frame(3, 1, b"m")
        + marshal(commands.Queue.Declare(0, "q"))
    )
    assert recorder.calls == []
    assert output(connection) == b""
    connection.receive_data(marshal(commands.Channel.CloseOk()))
    connection.receive_data(marshal(commands.Channel.Open()))
    assert recorder.calls == [("open", 1)]


def test_both_sides_close_a_channel_at_once() -> None:
    connection, _ = running()
    connection.receive_data(publish_method(1, "missing", "q"))
    output(connection)
    connection.receive_data(marshal(commands.Channel.Close(200, "", 0, 0)))
    ((_, ok),) = methods(connection)
    assert isinstance(ok, commands.Channel.CloseOk)
    connection.receive_data(marshal(commands.Channel.CloseOk()))
    connection.receive_data(marshal(commands.Channel.Open()))
    assert connection.phase is Phase.RUNNING
    assert 1 in connection.running


def test_a_channel_that_closes_cannot_be_opened() -> None:
    connection, _ = running()
    connection.receive_data(publish_method(1, "missing", "q"))
    output(connection)
    connection.receive_data(marshal(commands.Channel.Open()))
    assert closed_with(connection)[:2] == (504, "CHANNEL_ERROR - second 'channel.open' seen")


def test_a_fault_on_one_channel_leaves_the_others() -> None:
    connection, recorder = running()
    connection.receive_data(publish_method(1, "missing", "q") + ack_frame(2, 1, False))
    assert recorder.calls == [
        ("close", 1),
        ("failed", 1, "NOT_FOUND - no exchange 'missing' in vhost '/'", (60, 40)),
        ("ack", 2, 1, False),
    ]


def test_targets_seen_are_bounded() -> None:
    connection, _ = running()
    content = header_frame(1, 0)
    for index in range(ROUTE_CACHE_ENTRIES_MAX + 10):
        connection.receive_data(publish_method(1, "", f"k{index}") + content)
    assert len(connection.publishes) <= ROUTE_CACHE_ENTRIES_MAX


# -- messages (AMQP 0-9-1 §2.3.5.2) ---------------------------------------------------------------


def test_a_message_in_several_frames() -> None:
    connection, recorder = running()
    content = header_frame(1, 6, 0x1000, b"\2") + raw_frame(3, 1, b"abc") + raw_frame(3, 1, b"def")
    connection.receive_data(publish_method(1, "x", "k") + content)
    assert recorder.calls == [("publish", 1, "x/k", content, 0x1000)]


def test_empty_body_frames_are_left_out() -> None:
    connection, recorder = running()
    header, empty, body = header_frame(1, 1), raw_frame(3, 1, b""), raw_frame(3, 1, b"m")
    connection.receive_data(publish_method(1, "", "q") + header + empty + body)
    assert recorder.calls == [("publish", 1, "/q", header + body, 0)]


@pytest.mark.parametrize(
    ("frames", "code", "text"),
    [
        (
            ack_frame(1, 1, False),
            505,
            "expected content header for class 60, got non content header frame instead",
        ),
        (
            raw_frame(3, 1, b"m"),
            505,
            "expected content header for class 60, got non content header frame instead",
        ),
        (
            header_frame(1, 1, start=61 << 16),
            505,
            "expected content header for class 60, got one for class 61 instead",
        ),
        (
            header_frame(1, 1, start=60 << 16 | 1),
            505,
            "expected content header for class 60, got non content header frame instead",
        ),
        (
            header_frame(1, 1) + ack_frame(1, 1, False),
            505,
            "expected content body, got non content body frame instead",
        ),
        (
            header_frame(1, 1) + header_frame(1, 1),
            505,
            "expected content body, got non content body frame instead",
        ),
        (
            header_frame(1, 1) + raw_frame(3, 1, b"mm"),
            501,
            "content body is longer than its header announced",
        ),
    ],
)
def test_content_out_of_order(frames: bytes, code: int, text: str) -> None:
    connection, recorder = running()
    connection.receive_data(publish_method(1, "", "q") + frames)
    reply_code, reply_text, class_id, method_id = closed_with(connection)
    assert (reply_code, class_id, method_id) == (code, 60, 40)
    assert reply_text.endswith(text)
    assert not [call for call in recorder.calls if call[0] == "publish"]


@pytest.mark.parametrize(
    ("message_max", "size", "text"),
    [
        (4000, 4001, "message size 4001 is larger than configured max size 4000"),
        (4000, 1 << 40, f"message size {1 << 40} is larger than configured max size 4000"),
        (0, 1 << 30, f"message size {1 << 30} is larger than max size 536870912"),
    ],
)
def test_a_message_too_large_closes_its_channel(message_max: int, size: int, text: str) -> None:
    connection, _ = running(message_max=message_max)
    connection.receive_data(publish_method(1, "", "q") + header_frame(1, size))
    ((channel, close),) = methods(connection)
    assert (channel, close.reply_code) == (1, 406)
    assert close.reply_text == f"PRECONDITION_FAILED - {text}"
    connection.receive_data(raw_frame(3, 1, b"b" * 4000))
    assert connection.phase is Phase.RUNNING


def test_a_refused_message_of_several_frames_names_its_method() -> None:
    connection, _ = running()
    body = raw_frame(3, 1, b"refuse") + raw_frame(3, 1, b" me")
    connection.receive_data(publish_method(1, "", "q") + header_frame(1, 9) + body)
    # the words are in two frames, so the fake target takes it; now in one of two
    assert output(connection) == b""
    body = raw_frame(3, 1, b"refuse me") + raw_frame(3, 1, b".")
    connection.receive_data(publish_method(1, "", "q") + header_frame(1, 10) + body)
    ((_, close),) = methods(connection)
    assert (close.reply_code, close.class_id, close.method_id) == (406, 60, 40)


# -- the end --------------------------------------------------------------------------------------


def test_the_peer_closes() -> None:
    connection, recorder = running()
    connection.receive_data(CLOSE + ack_frame(1, 1, False))
    ((_, ok),) = methods(connection)
    assert isinstance(ok, commands.Connection.CloseOk)
    assert connection.phase is Phase.CLOSED
    assert recorder.calls == [
        ("stop", 1),
        ("stop", 2),
        ("close", 1),
        ("close", 2),
        ("closed by peer",),
    ]


def test_we_close_and_wait_for_the_answer() -> None:
    connection, recorder = running()
    connection.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "bye"), 0, 0)
    assert closed_with(connection) == (320, "CONNECTION_FORCED - bye", 0, 0)
    recorder.calls.clear()
    connection.receive_data(
        ack_frame(1, 1, False) + publish_method(1, "", "q") + marshal(commands.Channel.Open(), 3)
    )
    assert recorder.calls == []
    connection.receive_data(CLOSE_OK_FRAME)
    assert recorder.calls == [("closed",)]
    assert connection.phase is Phase.CLOSED


def test_both_sides_close_at_once() -> None:
    connection, recorder = running()
    connection.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "bye"), 0, 0)
    output(connection)
    connection.receive_data(CLOSE)
    ((_, ok),) = methods(connection)
    assert isinstance(ok, commands.Connection.CloseOk)
    assert recorder.calls[-1] == ("closed",)


def test_a_fault_while_closing_ends_it() -> None:
    connection, recorder = running()
    connection.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "bye"), 0, 0)
    connection.receive_data(raw_frame(1, 0, b"\0\0\0\0", end=0))
    assert recorder.calls[-1] == ("closed",)


def test_the_socket_goes() -> None:
    connection, recorder = running()
    connection.receive_data(publish_method(1, "", "q") + header_frame(1, 5))
    connection.lost()
    assert connection.phase is Phase.CLOSED
    assert recorder.calls == [("stop", 1), ("stop", 2), ("close", 1), ("close", 2)]
    connection.receive_data(raw_frame(3, 1, b"mmmmm"))
    assert len(recorder.calls) == 4


def test_closing_wakes_a_connection_that_waits() -> None:
    connection, recorder = running()
    connection.receive_data(marshal(commands.Queue.Declare(0, "q")) + ack_frame(1, 1, False))
    assert connection.waiting.kept
    connection.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "bye"), 0, 0)
    assert not connection.waiting.kept
    connection.receive_data(CLOSE_OK_FRAME)
    assert recorder.calls[-1] == ("closed",)
    assert ("ack", 1, 1, False) not in recorder.calls


# -- the rest -------------------------------------------------------------------------------------


def test_update_secret() -> None:
    connection, recorder = running()
    seen: list[bytes] = []
    recorder.update_secret = seen.append  # type: ignore[method-assign,assignment]
    connection.receive_data(marshal(commands.Connection.UpdateSecret("new", "why"), 0))
    ((_, ok),) = methods(connection)
    assert isinstance(ok, commands.Connection.UpdateSecretOk)
    assert seen == [b"new"]


def test_a_fault_without_a_method_gets_the_one_being_handled() -> None:
    connection, recorder = running()
    connection.receive_data(marshal(commands.Basic.Recover(False)))
    assert closed_with(connection) == (540, "NOT_IMPLEMENTED - requeue=false", 60, 110)
    assert recorder.calls[1][:2] == ("failed", 1)


def test_other_methods_go_to_the_handler() -> None:
    connection, recorder = running()
    connection.receive_data(marshal(commands.Basic.Get(0, "q"), 2))
    assert recorder.calls == [("method", 2, "Basic.Get")]


def test_recorders_are_handlers() -> None:
    assert isinstance(running()[1], Recorder)
