"""How an operational failure looks over HTTP.

Decides the status of each ErrorCode and the error word beside it. Never words a failure.
"""

from __future__ import annotations

from typing import Final

from mqd.amqp.replies import AmqpError
from mqd.errors import ErrorCode, MqdError
from mqd.management.calls import Refused, bad_request

STATUS: Final[dict[ErrorCode, tuple[int, str]]] = {
    ErrorCode.INTERNAL: (500, "internal_error"),
    ErrorCode.ACCESS_REFUSED: (401, "not_authorised"),
    ErrorCode.NOT_FOUND: (404, "not_found"),
    ErrorCode.NO_SUCH_USER: (404, "not_found"),
    ErrorCode.NO_SUCH_VHOST: (404, "not_found"),
    ErrorCode.ALREADY_EXISTS: (409, "conflict"),
    ErrorCode.PRECONDITION_FAILED: (400, "bad_request"),
    ErrorCode.RESOURCE_LOCKED: (400, "bad_request"),
    ErrorCode.INVALID_ARGUMENT: (400, "bad_request"),
    ErrorCode.USAGE: (400, "bad_request"),
    ErrorCode.LIMIT_EXCEEDED: (400, "bad_request"),
    ErrorCode.UNAVAILABLE: (503, "unavailable"),
    ErrorCode.TIMEOUT: (503, "timeout"),
    ErrorCode.APP_STOPPED: (503, "unavailable"),
    ErrorCode.APP_RUNNING: (400, "bad_request"),
    ErrorCode.CREDENTIALS: (401, "not_authorized"),
}


def of_failure(error: MqdError) -> Refused:
    """What an operation raised."""
    status, word = STATUS[error.code]
    ending = "\n" if error.detail.startswith("Validation failed\n") else ""
    return Refused(status, word, error.detail + ending)


def of_amqp(error: AmqpError) -> Refused:
    """What the broker would tell an AMQP client that asked for the same."""
    return bad_request(f"{int(error.code)} {error.code.name} - {error.text}")
