"""What the broker knows of a connection: who it is, what it may do to it, what it counts.

Decides the shape only. The transport makes entries, fills in the octet counts and gives the two
calls by which the broker acts on a connection; listings read the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mqd.amqp.fields import Table
from mqd.amqp.outlet import Outlet
from mqd.amqp.replies import AmqpError, ConnectionError_, ReplyCode
from mqd.auth.users import User
from mqd.names import Pid

if TYPE_CHECKING:
    from mqd.broker.channel import Channel
    from mqd.broker.queues.base import Queue
    from mqd.broker.vhost import VHost


class Peer(Protocol):
    """What the broker may do to a connection."""

    def close(self, error: AmqpError) -> None:
        """Send connection.close and wait for the answer, a bounded time."""

    def time_out(self, channel_id: int, delivery_tag: int) -> None:
        """Close a channel whose oldest delivery was not acknowledged in time."""

    def charge(self, copies: int) -> None:
        """A message goes to so many queues: after a while others get their turn first."""

    def alarmed(self) -> None:
        """An alarm is on: its next publish has to be resolved anew, and is where it is held."""

    def hold(self, reason: str) -> None:
        """Read no further frame: publishers are blocked by an alarm. Tells a peer that can be
        told. Called when a basic.publish method was read: its content waits (as 3.10.8)."""

    def release(self) -> None:
        """Read again."""

    def counts(self) -> tuple[int, int, int, int, int]:
        """recv_oct, recv_cnt, send_oct, send_cnt, send_pend."""


@dataclass(slots=True, eq=False)
class ConnectionEntry:
    """One open AMQP connection. Times are milliseconds since the epoch."""

    pid: Pid
    name: str  # "127.0.0.1:50412 -> 127.0.0.1:5672"
    outlet: Outlet
    peer: Peer
    user: User
    vhost: VHost
    host: str = ""
    port: int = 0
    peer_host: str = ""
    peer_port: int = 0
    protocol: tuple[int, int, int] = (0, 9, 1)
    auth_mechanism: str = "PLAIN"
    state: str = "running"
    frame_max: int = 0
    channel_max: int = 0
    timeout: int = 0  # heartbeat, s
    client_properties: Table = field(default_factory=dict)
    connected_at: int = 0
    channels: dict[int, Channel] = field(default_factory=dict)
    exclusive_queues: list[Queue] = field(default_factory=list)
    told_to_close: bool = False  # its client has not answered yet
    held: bool = False
    slowed: bool = False  # publishes faster than the disc writes, or did so a moment ago

    def can(self, capability: str) -> bool:
        """Whether the client declared a capability."""
        declared = self.client_properties.get("capabilities")
        if declared is None or declared[0] != "table":
            return False
        return bool(declared[1].get(capability) == ("bool", True))

    @property
    def user_provided_name(self) -> str:
        given = self.client_properties.get("connection_name")
        return given[1].decode("utf-8", "replace") if given and given[0] == "longstr" else ""

    def close(self, reply_code: int, text: str) -> None:
        """Close it from our side: 320 for an operator's wish."""
        self.told_to_close = True
        self.peer.close(ConnectionError_(ReplyCode(reply_code), text, (0, 0)))

    def hold(self, reason: str) -> None:
        """It published while an alarm was on."""
        if not self.held:
            self.held = True
            self.state = "blocked"
            self.peer.hold(reason)

    def release(self) -> None:
        self.state = "running"
        if self.held:
            self.held = False
            self.peer.release()

    @property
    def recv_oct(self) -> int:
        return self.peer.counts()[0]

    @property
    def recv_cnt(self) -> int:
        return self.peer.counts()[1]

    @property
    def send_oct(self) -> int:
        return self.peer.counts()[2]

    @property
    def send_cnt(self) -> int:
        return self.peer.counts()[3]

    @property
    def send_pend(self) -> int:
        return self.peer.counts()[4]
