"""Direct reply-to: answers without a queue.

Theory. A client that consumes from the pseudo-queue `amq.rabbitmq.reply-to` gets a key of its own;
where it publishes with that name as reply-to, the broker writes `amq.rabbitmq.reply-to.<key>`
instead; whoever publishes to the default exchange with that as routing key reaches the client's
channel. Nothing is stored; a reply to a client that has gone is dropped. Source: RabbitMQ
documentation "Direct Reply-to", texts observed: 3.10.8.

Decides keys and liveness. Never routes: `mqd.broker.publish` finds a reply consumer here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mqd.broker.consumers import Sender

if TYPE_CHECKING:
    from mqd.broker.channel import Channel

PSEUDO_QUEUE = "amq.rabbitmq.reply-to"
PREFIX = PSEUDO_QUEUE + "."
PSEUDO_SHORTSTR = bytes((len(PSEUDO_QUEUE),)) + PSEUDO_QUEUE.encode()  # as a property has it


class ReplyConsumer:
    """The reply consumer of one channel. `queue_name` is what the peer is told to answer to."""

    __slots__ = ("_registry", "_sender", "deleted", "queue_name", "shortstr", "tag")

    def __init__(
        self, tag: str, channel: Channel, secret: bytes, registry: dict[str, ReplyConsumer]
    ) -> None:
        self.tag = tag
        owner = base64.urlsafe_b64encode(channel.pid.encode()).decode()
        key = base64.urlsafe_b64encode(secret).decode()
        self.queue_name = f"{PREFIX}g1h2{owner}.{key}"
        self.shortstr = bytes((len(self.queue_name),)) + self.queue_name.encode()
        self.deleted = False
        self._sender = Sender(tag, channel)
        self._registry = registry
        registry[self.queue_name] = self

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Send at once, as a queue would to a consumer that needs no acks."""
        del persistent
        if not self.deleted:
            channel = self._sender.channel
            last_tag = channel.last_tag
            self._sender.send(names, content, False)
            channel.last_tag = last_tag  # the next delivery has that tag too (observed: 3.10.8)
        return 0

    def close(self) -> None:
        """The consumer was cancelled or its channel closed."""
        self.deleted = True
        self._registry.pop(self.queue_name, None)


class RemoteReply:
    """Takes answers for a reply consumer of another node."""

    __slots__ = ("_send", "deleted")

    def __init__(self, send: Callable[[bytes, bytes], None]) -> None:
        self._send = send
        self.deleted = False

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Sent there; nobody says whether anybody still listens."""
        del persistent
        self._send(names, content)
        return 0


REPLIES: Final = (ReplyConsumer, RemoteReply)


def node_of(name: str) -> str | None:
    """The node of the reply consumer that has that name; None where it names none."""
    owner, dot, _ = name.removeprefix(PREFIX + "g1h2").rpartition(".")
    try:
        pid = base64.urlsafe_b64decode(owner).decode()
    except ValueError:
        return None
    return pid[1:].rsplit(".", 3)[0] if dot and pid.startswith("<") else None
