"""`mqd.amqp.faults`: the words of 3.10.8."""

from __future__ import annotations

import pytest

from mqd.amqp import faults
from mqd.amqp.replies import AmqpError
from mqd.amqp.states import Phase
from tests.recorder import raw_frame


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            faults.too_large(3, 131_073, 131_064),
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}",
        ),
        (
            faults.bad_frame(raw_frame(9, 1, b"x"), "unknown_frame"),
            'FRAME_ERROR - type 9, all octets = <<"x">>: unknown_frame',
        ),
        (
            faults.unexpected(raw_frame(8, 1, b"")),
            "UNEXPECTED_FRAME - type 8, all octets = <<>>",
        ),
        (
            faults.no_method(),
            "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
        ),
    ],
)
def test_texts(error: AmqpError, text: str) -> None:
    assert error.reply_text == text
    assert error.method == (0, 0)


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Phase.START, "starting"),
        (Phase.TUNE, "tuning"),
        (Phase.OPEN, "opening"),
        (Phase.RUNNING, "running"),
    ],
)
def test_a_method_out_of_turn_names_the_state(phase: Phase, state: str) -> None:
    text = faults.out_of_turn(phase).reply_text
    assert text == f"CHANNEL_ERROR - unexpected method in connection state {state}"
