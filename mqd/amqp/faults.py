"""Faults of framing and of order, in RabbitMQ's words (observed: 3.10.8).

Decides code, text and offender of each. Never decides when one is due: `mqd.amqp.connection` does.
"""

from __future__ import annotations

from mqd.amqp.codec import erlang_binary
from mqd.amqp.replies import AmqpError, ConnectionError_, ReplyCode
from mqd.amqp.states import RABBIT_STATES, Phase

_NO_METHOD = (0, 0)  # a fault of no method in particular


def too_large(kind: int, size: int, payload_bytes_max: int) -> AmqpError:
    """A frame whose announced payload is beyond frame-max."""
    return ConnectionError_(
        ReplyCode.FRAME_ERROR,
        f"type {kind}, all octets = <<>>: {{frame_too_large,{size},{payload_bytes_max}}}",
        _NO_METHOD,
    )


def bad_frame(frame: bytes, what: str) -> AmqpError:
    """A frame that is none; what: Erlang's term for the reason."""
    shown = erlang_binary(frame[7:-1])
    return ConnectionError_(
        ReplyCode.FRAME_ERROR, f"type {frame[0]}, all octets = {shown}: {what}", _NO_METHOD
    )


def unexpected(frame: bytes) -> AmqpError:
    """A good frame where none of its kind belongs."""
    shown = erlang_binary(frame[7:-1])
    return ConnectionError_(
        ReplyCode.UNEXPECTED_FRAME, f"type {frame[0]}, all octets = {shown}", _NO_METHOD
    )


def no_method() -> AmqpError:
    """Content on a channel that expects a method."""
    return ConnectionError_(
        ReplyCode.UNEXPECTED_FRAME,
        "expected method frame, got non method frame instead",
        _NO_METHOD,
    )


def out_of_turn(phase: Phase) -> AmqpError:
    """A connection method that does not belong to the connection's state."""
    state = RABBIT_STATES.get(phase, "running")
    return ConnectionError_(
        ReplyCode.CHANNEL_ERROR, f"unexpected method in connection state {state}"
    )
