"""How an operational failure looks over gRPC.

Decides the status code of each ErrorCode and what travels beside it: the sentence as the status
details, the code's name as trailing metadata `mqd-code`. Never words a failure.
"""

from __future__ import annotations

from typing import Final

import grpc

from mqd.errors import ErrorCode

CODE_KEY: Final = "mqd-code"
DETAIL_CHARS_MAX: Final = 4000  # details travel in a header; gRPC refuses headers above 8 KiB

STATUS: Final[dict[ErrorCode, grpc.StatusCode]] = {
    ErrorCode.INTERNAL: grpc.StatusCode.INTERNAL,
    ErrorCode.ACCESS_REFUSED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorCode.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.NO_SUCH_USER: grpc.StatusCode.NOT_FOUND,
    ErrorCode.NO_SUCH_VHOST: grpc.StatusCode.NOT_FOUND,
    ErrorCode.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    ErrorCode.PRECONDITION_FAILED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.RESOURCE_LOCKED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.USAGE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.LIMIT_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorCode.APP_STOPPED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.APP_RUNNING: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.CREDENTIALS: grpc.StatusCode.UNAUTHENTICATED,
}


def trailers(code: ErrorCode) -> tuple[tuple[str, str], ...]:
    """Trailing metadata of a failed call."""
    return ((CODE_KEY, code.name),)


def details(text: str) -> str:
    """The sentence, cut to what a header can carry."""
    return text if len(text) <= DETAIL_CHARS_MAX else text[: DETAIL_CHARS_MAX - 1] + "…"
