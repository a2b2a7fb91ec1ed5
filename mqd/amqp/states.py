"""The states of a connection and of a channel, and which peer method is legal where.

Theory. A connection goes HEADER → START → TUNE → OPEN → RUNNING; each step is one client method
and one server answer (AMQP 0-9-1 §2.2.4). From any state it may go to CLOSING, where it has sent
connection.close and drops everything but close-ok, and to CLOSED. A channel is absent, open, or
closing: it has sent channel.close and drops everything but close and close-ok, because the peer
may have sent much before it read the close (AMQP 0-9-1 §1.5.2.5).

Decides legality by table. Never acts.
"""

from __future__ import annotations

import enum

from pamqp import commands


class Phase(enum.Enum):
    """Where a connection is in its life."""

    HEADER = enum.auto()  # waits for the protocol header
    START = enum.auto()  # sent start, waits for start-ok
    TUNE = enum.auto()  # sent tune, waits for tune-ok
    OPEN = enum.auto()  # waits for open
    RUNNING = enum.auto()
    CLOSING = enum.auto()  # sent close, waits for close-ok
    REFUSED = enum.auto()  # failed in the handshake: the socket is closed after a pause
    CLOSED = enum.auto()


HANDSHAKE: dict[Phase, type] = {
    Phase.START: commands.Connection.StartOk,
    Phase.TUNE: commands.Connection.TuneOk,
    Phase.OPEN: commands.Connection.Open,
}

RABBIT_STATES = {Phase.START: "starting", Phase.TUNE: "tuning", Phase.OPEN: "opening"}
"""What 3.10.8 calls them in its texts; all others are "running"."""

ANSWERS_TO_CLIENT = frozenset(
    index
    for index, method in commands.INDEX_MAPPING.items()
    if method.__name__
    in {
        "Start",
        "Secure",
        "Tune",
        "OpenOk",
        "Blocked",
        "Unblocked",
        "DeclareOk",
        "DeleteOk",
        "BindOk",
        "UnbindOk",
        "PurgeOk",
        "QosOk",
        "ConsumeOk",
        "Return",
        "Deliver",
        "GetOk",
        "GetEmpty",
        "RecoverOk",
        "SelectOk",
        "CommitOk",
        "RollbackOk",
        "RequestOk",
        "UpdateSecretOk",
        "CancelOk",
        "FlowOk",
    }
)
"""Methods that only a server sends; from a client: 503 (observed: 3.10.8)."""
