"""Channels that wait for an answer, without a socket: what is kept, in which order it is handled.

That the order is right however the bytes come is `tests/property/test_fastpath.py`'s.
"""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import commands, frame

from mqd.amqp import connection as connection_module
from mqd.amqp.connection import Connection
from mqd.amqp.replies import ChannelError, ConnectionError_, ReplyCode
from mqd.amqp.states import Phase
from tests.recorder import (
    Recorder,
    ack_frame,
    header_frame,
    methods,
    publish_method,
    raw_frame,
    running,
)

DECLARE = frame.marshal(commands.Queue.Declare(0, "q"), 1)
CLOSE = frame.marshal(commands.Connection.Close(200, "", 0, 0), 0)
Pair = tuple[Connection, Recorder]


def message(channel: int, body: bytes = b"m") -> bytes:
    return (
        publish_method(channel, "", "q")
        + header_frame(channel, len(body))
        + raw_frame(3, channel, body)
    )


def done(recorder: Recorder) -> list[tuple[Any, ...]]:
    """What was asked of the broker: what, on which channel."""
    calls = [call[:2] for call in recorder.calls]
    recorder.calls.clear()
    return calls


def sent(connection: Connection) -> list[tuple[int, str]]:
    return [(channel, method.name) for channel, method in methods(connection)]


@pytest.fixture
def pair() -> Pair:
    """Channel 1 waits."""
    connection, recorder = running()
    connection.receive_data(DECLARE)
    done(recorder)
    return connection, recorder


def test_other_channels_go_on(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(
        ack_frame(1, 1, False) + message(2) + message(2) + ack_frame(2, 1, False)
    )
    assert done(recorder) == [("publish", 2), ("publish", 2), ("ack", 2)]
    connection.receive_data(frame.marshal(commands.Channel.Open(), 3))
    assert done(recorder) == [("open", 3)]
    assert not connection.paused
    connection.waiting.release(1)
    assert done(recorder) == [("ack", 1)]
    assert not connection.stopped


def test_a_message_may_be_there_by_half(pair: Pair) -> None:
    connection, recorder = pair
    data = message(1, b"x" * 50)
    connection.receive_data(data[:40] + message(2)[:5])
    connection.receive_data(message(2)[5:])
    connection.waiting.release(1)
    assert done(recorder) == [("publish", 2)]


@pytest.mark.parametrize("released", ["before", "between", "behind"])
def test_a_large_frame_comes_in_parts(
    pair: Pair, released: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_CHUNKED_BYTES_MIN", 100)
    connection, recorder = pair
    data = message(1, b"x" * 3000)
    if released == "before":
        connection.waiting.release(1)
    connection.receive_data(data[:500])
    assert connection.missing
    connection.receive_data(data[500:1000])
    if released == "between":
        connection.waiting.release(1)
    connection.receive_data(data[1000:] + message(2))
    if released == "behind":
        assert done(recorder) == [("publish", 2)]
        connection.waiting.release(1)
        assert done(recorder) == [("publish", 1)]
    else:
        assert done(recorder) == [("publish", 1), ("publish", 2)]
    assert connection.waiting.kept_bytes == 0


def test_what_waits_again_keeps_the_rest(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(message(1) + DECLARE + message(1))
    connection.receive_data(ack_frame(1, 1, False))
    connection.waiting.release(1)
    assert done(recorder) == [("publish", 1), ("method", 1)]
    assert connection.waiting.kept_bytes == len(message(1)) + len(ack_frame(1, 1, False))
    connection.waiting.release(1)
    assert done(recorder) == [("publish", 1), ("ack", 1)]
    assert connection.waiting.kept_bytes == 0


def test_answers_may_come_in_any_order(pair: Pair) -> None:
    connection, recorder = pair
    second = frame.marshal(commands.Queue.Declare(0, "q"), 2)
    connection.receive_data(second + ack_frame(2, 1, False) + ack_frame(1, 1, False))
    assert done(recorder) == [("method", 2)]
    connection.waiting.release(2)
    assert done(recorder) == [("ack", 2)]
    connection.waiting.release(1)
    assert done(recorder) == [("ack", 1)]


def test_an_answer_is_acted_upon_where_it_comes(pair: Pair) -> None:
    """Another channel's frame brings it: what was kept comes before the next frame, not behind all
    that was read with it."""
    connection, recorder = pair
    answered = frame.marshal(commands.Connection.UpdateSecret("", ""), 0)
    connection.receive_data(ack_frame(1, 1, False) + answered + ack_frame(2, 1, False))
    assert done(recorder) == [("answered", 1), ("ack", 1), ("ack", 2)]


def test_an_answer_while_the_connection_is_paused(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(ack_frame(1, 1, False))
    connection.pause()
    connection.receive_data(ack_frame(1, 2, False) + ack_frame(2, 1, False))
    connection.waiting.release(1)
    assert done(recorder) == []
    connection.resume()
    assert done(recorder) == [("ack", 1), ("ack", 1), ("ack", 2)]
    assert not connection.stopped


def test_a_pause_while_it_is_handled(pair: Pair) -> None:
    """An alarm, say, at a publish that was kept."""
    connection, recorder = pair
    connection.receive_data(frame.marshal(commands.Basic.Qos(), 1) + ack_frame(1, 7, False))
    plain = recorder.method

    def pausing(channel: Any, method: Any) -> None:
        plain(channel, method)
        connection.pause()

    recorder.method = pausing  # type: ignore[method-assign]
    connection.waiting.release(1)
    connection.receive_data(ack_frame(1, 8, False) + ack_frame(2, 9, False))
    assert done(recorder) == [("method", 1)]
    connection.resume()
    assert done(recorder) == [("ack", 1), ("ack", 1), ("ack", 2)]


def test_the_channels_close_waits_with_it(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(frame.marshal(commands.Channel.Close(200, "", 0, 0), 1))
    assert (done(recorder), sent(connection)) == ([], [])
    connection.waiting.release(1)
    assert done(recorder) == [("close", 1)]
    assert sent(connection) == [(1, "Channel.CloseOk")]


def test_the_connections_close_waits_for_all(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(message(1) + message(2) + CLOSE + message(2) + b"\x01")
    connection.receive_data(ack_frame(2, 1, False) + CLOSE)
    assert done(recorder) == [("publish", 2), ("leaving",)]
    assert sent(connection) == []
    assert connection.has_more
    connection.waiting.release(1)
    assert ("publish", 1) in done(recorder)
    assert sent(connection) == [(0, "Connection.CloseOk")]
    assert connection.phase is Phase.CLOSED
    assert not connection.has_more


def test_the_connections_close_may_be_hurried(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(message(1) + CLOSE)
    connection.finish()
    assert sent(connection) == [(0, "Connection.CloseOk")]
    assert ("publish", 1) not in done(recorder)
    assert not connection.has_more


def test_a_channel_that_is_closed_while_it_waits(pair: Pair) -> None:
    """What was kept is for a channel that is closing: its close is answered, the rest dropped."""
    connection, recorder = pair
    close = frame.marshal(commands.Channel.Close(200, "", 0, 0), 1)
    connection.receive_data(message(1) + close)
    connection.fail(1, ChannelError(ReplyCode.PRECONDITION_FAILED, "timed out"), (0, 0))
    assert [call[0] for call in done(recorder)] == ["close", "failed"]
    assert sent(connection) == [(1, "Channel.Close"), (1, "Channel.CloseOk")]
    assert not connection.waiting.kept
    connection.receive_data(frame.marshal(commands.Channel.CloseOk(), 1))
    connection.receive_data(frame.marshal(commands.Channel.Open(), 1) + message(1))
    assert done(recorder) == [("open", 1), ("publish", 1)]


@pytest.mark.parametrize(
    "bad",
    [
        raw_frame(8, 1, b""),
        raw_frame(1, 1, b"\0\x3c\0\x50" + bytes(9), end=0),
        raw_frame(5, 1, b"what"),
        raw_frame(3, 1, bytes(5000)),
    ],
    ids=["heartbeat", "end", "kind", "size"],
)
def test_what_is_no_frame_is_a_fault_at_once(pair: Pair, bad: bytes) -> None:
    connection, _ = pair
    connection.receive_data(message(1) + bad)
    assert sent(connection) == [(0, "Connection.Close")]
    assert not connection.waiting.kept


def test_a_fault_of_another_channel_ends_it(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(
        message(1) + frame.marshal(commands.Basic.Recover(False), 2) + message(2)
    )
    assert sent(connection) == [(0, "Connection.Close")]
    assert ("publish", 1) not in done(recorder)
    connection.waiting.release(1)
    connection.receive_data(frame.marshal(commands.Connection.CloseOk(), 0))
    assert connection.phase is Phase.CLOSED


def test_the_socket_goes_while_it_waits(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(message(1))
    connection.lost()
    connection.waiting.release(1)
    assert [call[0] for call in done(recorder)] == ["stop", "stop", "close", "close"]
    assert not connection.waiting.kept


def test_the_end_while_an_answer_waits_to_be_acted_upon(pair: Pair) -> None:
    connection, recorder = pair
    connection.receive_data(ack_frame(1, 1, False))
    connection.pause()
    connection.waiting.release(1)
    connection.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "bye"), 0, 0)
    done(recorder)
    connection.receive_data(frame.marshal(commands.Connection.CloseOk(), 0))
    assert done(recorder) == [("closed",)]


def test_a_frame_that_is_too_large_is_refused_before_its_bytes_gather(pair: Pair) -> None:
    connection, _ = pair
    connection.receive_data(raw_frame(3, 1, bytes(5000))[:7])
    assert sent(connection) == [(0, "Connection.Close")]


def test_our_close_while_the_client_leaves(pair: Pair) -> None:
    connection, _ = pair
    connection.receive_data(CLOSE)
    connection.close(ConnectionError_(ReplyCode.CONNECTION_FORCED, "bye"), 0, 0)
    connection.receive_data(frame.marshal(commands.Connection.CloseOk(), 0))
    assert connection.phase is Phase.CLOSED
