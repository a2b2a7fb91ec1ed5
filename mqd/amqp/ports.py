"""What the protocol machine calls: whoever gives methods a meaning.

Decides the calls and their promises. Never implements one: the transport is the handler, the
broker's channels and publish targets are the rest.
"""

from __future__ import annotations

from typing import Protocol

from pamqp import commands

from mqd.amqp.codec import Method
from mqd.amqp.fields import Table
from mqd.amqp.replies import AmqpError


class PublishTarget(Protocol):
    """Where one basic.publish frame leads: exchange, routing key and flags, resolved."""

    channel_id: int

    def publish(self, content: bytes, flags: int) -> None:
        """content: header frame and body frames; flags: the first property flag word."""


class ChannelPort(Protocol):
    """What the hot path calls of a channel."""

    def target(self, method: commands.Basic.Publish) -> PublishTarget: ...

    def ack(self, delivery_tag: int, multiple: int) -> None: ...

    def stop_consuming(self) -> None:
        """Deliver nothing more: the connection ends, and this channel with it."""


class Handler(Protocol):
    """Who gives methods a meaning. Any of these may raise AmqpError."""

    def start_ok(self, mechanism: str, response: bytes, properties: Table) -> None:
        """Log in, or raise: ConnectionError_ is sent, LoginRefused is not."""

    def open(self, vhost: str) -> None: ...

    def open_channel(self, channel_id: int) -> ChannelPort: ...

    def method(self, channel: ChannelPort, method: Method) -> None:
        """Any method on an open channel but close, and but publish's content."""

    def update_secret(self, secret: bytes) -> None: ...

    def close_channel(self, channel: ChannelPort) -> None:
        """The channel is gone, whoever closed it. Never raises."""

    def failed(self, error: AmqpError, channel_id: int) -> None:
        """For the log: a fault was answered with a close."""

    def leaving(self) -> None:
        """The client asked for the end, and channels wait. `Connection.finish` waits no more."""

    def closed(self, *, by_peer: bool) -> None:
        """The connection is done. by_peer: it asked for the end, and closes the socket when it
        has read our close-ok; else the socket can go. Never raises."""
