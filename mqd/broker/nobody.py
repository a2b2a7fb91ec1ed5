"""The peer of a connection without a socket: of a channel that stands for another node's, or
for one request of the HTTP API.

Decides that nothing is said to it. Whoever opened the connection ends it, holds its publishers and
looks at how long it keeps deliveries.
"""

from __future__ import annotations

from mqd.amqp.replies import AmqpError


class Nobody:
    """Implements `mqd.broker.entries.Peer`."""

    def close(self, error: AmqpError) -> None:
        """Nobody reads."""

    def time_out(self, channel_id: int, delivery_tag: int) -> None:
        """Nobody reads."""

    def charge(self, copies: int) -> None:
        """It publishes by no target."""

    def alarmed(self) -> None:
        """It is not held."""

    def hold(self, reason: str) -> None:
        """Likewise."""

    def release(self) -> None:
        """Likewise."""

    def counts(self) -> tuple[int, int, int, int, int]:
        return 0, 0, 0, 0, 0
