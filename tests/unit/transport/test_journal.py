"""`mqd.transport.journal`: what the log says of a connection, before and after it is open."""

from __future__ import annotations

import logging

import pytest

from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.amqp.states import Phase
from mqd.names import PidSource
from mqd.transport.journal import Journal
from tests.harness import World

NAME = "127.0.0.1:40001 -> 127.0.0.1:5672"
OPEN = "vhost: '/', user: 'guest'"


@pytest.fixture
def journal() -> Journal:
    return Journal(PidSource("mqd@test", 1).new(), NAME)


@pytest.fixture
def opened(journal: Journal) -> Journal:
    world = World()
    world.connect(name="mine")
    journal.opened(next(iter(world.broker.connections.values())))
    return journal


def test_an_open_one_is_called_by_its_own_name(
    opened: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    opened.silent(60)
    (line,) = caplog.messages
    assert f"({NAME} - mine, {OPEN})" in line
    assert "timeout: 60s" in line


@pytest.mark.parametrize(
    ("error", "phase", "words"),
    [
        (
            ChannelError(ReplyCode.NOT_FOUND, "no queue", (50, 10)),
            Phase.RUNNING,
            "operation queue.declare caused a channel exception not_found: no queue",
        ),
        (
            ConnectionError_(ReplyCode.CHANNEL_ERROR, "what", (0, 0)),
            Phase.RUNNING,
            "operation none caused a connection exception channel_error: what",
        ),
        (ConnectionError_(ReplyCode.SYNTAX_ERROR, "what", (0, 0)), Phase.REFUSED, "what"),
    ],
    ids=["channel", "connection", "handshake"],
)
def test_a_fault(
    error: AmqpError,
    phase: Phase,
    words: str,
    journal: Journal,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal.failed(error, 1, phase)
    (line,) = caplog.messages
    assert line.endswith(words)


def test_a_refused_login_is_told_once(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.refused("PLAIN", "user 'x' - invalid credentials")
    error = ConnectionError_(ReplyCode.ACCESS_REFUSED, "Login was refused", (0, 0))
    journal.failed(error, 0, Phase.CLOSING)
    (line,) = caplog.messages
    assert line.endswith("PLAIN login refused: user 'x' - invalid credentials")


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.RUNNING, "client unexpectedly closed TCP connection: reset"),
        (Phase.TUNE, "connection_closed_abruptly"),
        (Phase.CLOSED, f"({NAME})"),
    ],
)
def test_the_end(
    phase: Phase, words: str, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        journal.ended(phase, ConnectionResetError("reset"))
    (line,) = caplog.messages
    assert line.endswith(words)


def test_the_end_of_one_that_was_refused_is_known(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        journal.ended(Phase.REFUSED, None)
    assert caplog.messages == []
