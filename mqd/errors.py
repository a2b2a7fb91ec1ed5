"""The one vocabulary of operational failure.

Decides which kinds of failure exist and what a failure carries. Never decides how a failure
looks at an edge: each edge (gRPC, mqctl) holds its own total table over ErrorCode. Failures that
only AMQP knows (reply codes that close a channel or a connection) live in `mqd.amqp.replies`.
"""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """Numbers equal `mqd.rpc.v1.ErrorCode` (proto/mqd/rpc/v1/values.proto); never reused."""

    INTERNAL = 1
    ACCESS_REFUSED = 2
    NOT_FOUND = 3  # the thing named by the operation is missing
    NO_SUCH_USER = 4
    NO_SUCH_VHOST = 5
    ALREADY_EXISTS = 6
    PRECONDITION_FAILED = 7
    RESOURCE_LOCKED = 8
    INVALID_ARGUMENT = 9
    USAGE = 10
    LIMIT_EXCEEDED = 11
    UNAVAILABLE = 12
    TIMEOUT = 13
    APP_STOPPED = 14  # the verb needs a running broker application
    APP_RUNNING = 15  # the verb needs a stopped broker application
    CREDENTIALS = 16  # wrong user name or password


class MqdError(Exception):
    """An expected failure: what kind, and a sentence that names the thing and the remedy."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class PeerDown(Exception):
    """The node that was asked is not linked, or the link ended before it answered."""
