"""A channel here that stands for one of another node, and its consumers.

Decides what differs from a client's: what is delivered goes into the link, no more than a window of
it, and nobody hears of the end of a channel that was never opened here. Everything else is a
channel's. Never decides what its node asks for (`mqd.cluster.queues.serving`).
"""

from __future__ import annotations

from mqd import limits
from mqd.broker.channel import Channel
from mqd.broker.consumers import Consumer
from mqd.broker.entries import ConnectionEntry
from mqd.broker.message import shown_bytes
from mqd.cluster.queues import wire
from mqd.cluster.queues.line import Line
from mqd.cluster.queues.wire import Kind, record
from mqd.names import Pid


class ServedConsumer(Consumer):
    """Sends into the link. link_number: what its node calls it, set before it is offered
    anything."""

    __slots__ = ("link_number",)
    link_number: int

    def send(self, names: bytes, content: bytes, redelivered: bool) -> int:
        channel = self.channel
        assert isinstance(channel, ServedChannel)
        tag = channel.last_tag = channel.last_tag + 1
        shown = names[: shown_bytes(names)]
        numbers = (channel.link_number, self.link_number)
        head = wire.DELIVER.pack(*numbers, tag, redelivered, len(shown))
        channel.line.write(record(Kind.DELIVER, b"".join((head, shown, content))))
        channel.sent(len(content))
        return tag


class ServedChannel(Channel):
    """Of another node's channel. number: that channel's; link_number: how it is called here."""

    is_served = True
    consumer_kind = ServedConsumer

    __slots__ = ("_sent", "_sent_bytes", "line", "link_number")

    def __init__(
        self, number: int, connection: ConnectionEntry, pid: Pid, line: Line, link_number: int
    ) -> None:
        super().__init__(number, connection, pid)
        self.link_number = link_number
        self.line = line
        self._sent = 0
        self._sent_bytes = 0

    def sent(self, size: int) -> None:
        """A delivery is on its way: no more than a window of them is."""
        self._sent += 1
        self._sent_bytes += size
        if not self._has_window:
            self.outlet.congested = True
        elif self.line.congested:
            self.outlet.congested = True
            self.line.on_relief(self._relieve)

    @property
    def _has_window(self) -> bool:
        return (
            self._sent < limits.REMOTE_WINDOW_MESSAGES
            and self._sent_bytes < limits.REMOTE_WINDOW_BYTES
        )

    def _relieve(self) -> None:
        if not self.outlet.congested or not self._has_window:
            return
        if self.line.congested:
            self.line.on_relief(self._relieve)
        else:
            self.outlet.relieve()

    def credit(self, count: int, size: int) -> None:
        """So much of it was taken."""
        self._sent -= count
        self._sent_bytes -= size
        self._relieve()

    def close(self) -> None:
        """As any other, but nobody hears of a channel that was never opened here."""
        self.stop_consuming()
        consumers, self.consumers = self.consumers, {}
        self.global_prefetch_count = 0
        self._hand_back("lost")
        for consumer in consumers.values():
            self.vhost.consumer_gone(consumer.queue)
        self.connection.channels.clear()
