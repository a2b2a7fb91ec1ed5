"""How an operational failure looks over gRPC.

Decides the status code of each ErrorCode and what travels beside it: the sentence as the status
message, the code's name as trailing metadata `mqd-code`. Never words a failure.
"""

from __future__ import annotations

from typing import Final

from grpclib.const import Status

from mqd.errors import ErrorCode

CODE_KEY: Final = "mqd-code"
MESSAGE_CHARS_MAX: Final = 4000  # it travels in a header; clients refuse headers above 8 KiB

STATUS: Final[dict[ErrorCode, Status]] = {
    ErrorCode.INTERNAL: Status.INTERNAL,
    ErrorCode.ACCESS_REFUSED: Status.PERMISSION_DENIED,
    ErrorCode.NOT_FOUND: Status.NOT_FOUND,
    ErrorCode.NO_SUCH_USER: Status.NOT_FOUND,
    ErrorCode.NO_SUCH_VHOST: Status.NOT_FOUND,
    ErrorCode.ALREADY_EXISTS: Status.ALREADY_EXISTS,
    ErrorCode.PRECONDITION_FAILED: Status.FAILED_PRECONDITION,
    ErrorCode.RESOURCE_LOCKED: Status.FAILED_PRECONDITION,
    ErrorCode.INVALID_ARGUMENT: Status.INVALID_ARGUMENT,
    ErrorCode.USAGE: Status.INVALID_ARGUMENT,
    ErrorCode.LIMIT_EXCEEDED: Status.RESOURCE_EXHAUSTED,
    ErrorCode.UNAVAILABLE: Status.UNAVAILABLE,
    ErrorCode.TIMEOUT: Status.DEADLINE_EXCEEDED,
    ErrorCode.APP_STOPPED: Status.FAILED_PRECONDITION,
    ErrorCode.APP_RUNNING: Status.FAILED_PRECONDITION,
    ErrorCode.CREDENTIALS: Status.UNAUTHENTICATED,
}


def trailers(code: ErrorCode) -> dict[str, str]:
    """Trailing metadata of a failed call."""
    return {CODE_KEY: code.name}


def message(text: str) -> str:
    """The sentence, cut to what a header can carry."""
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"
