"""What the broker needs of the world, stated by the broker.

Decides the protocols that storage, metadata and transport implement and `daemon.compose` joins.
Never implements one: tests use `mqd.broker.memory`. Everything here is synchronous; whoever must
wait gets a callback, called exactly once, on the thread that runs the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.message import Message

Done = Callable[[Exception | None], None]


class MessageStore(Protocol):
    """The durable messages of one vhost (DESIGN §3).

    Batches are numbered from 1. `append` puts the message into the batch being gathered and
    returns that batch's number; when `durable_batch` reaches it, the message is on disc or was
    settled before its commit began. `on_durable` is called after `durable_batch` grew.

    What has been read from clients and gathers here is bounded by those who read: see `press`.
    """

    durable_batch: int
    on_durable: Callable[[], None]
    on_relief: Callable[[], None]

    @property
    def gathered_count(self) -> int:
        """Messages of the batch being gathered."""

    def press(self, size: int) -> bool:
        """A read of `size` bytes added messages to it. True: so much has gathered that whoever
        read it should read no more until `on_relief` is called."""

    def append(self, queue_id: int, message: Message) -> int:
        """Keep the message for this queue. A message object belongs to one queue: use
        `Message.copy` for the others; equal `content` objects are written once."""

    def settle(self, queue_id: int, message: Message) -> None:
        """The queue is done with a message that it appended (acknowledged, dropped, expired)."""

    def returned(self, queue_id: int, message: Message) -> None:
        """Remember `message.delivery_count`, which has grown, until the message is settled.

        As with `settle` nobody waits for it: a crash may bring an older count back."""

    def settle_all(self, queue_id: int, keep: Iterable[Message]) -> None:
        """Settle every message of the queue but `keep`: purge, and (with none) delete."""

    def mark_delivered(self, queue_id: int, message: Message) -> None:
        """For an orderly end, after which nothing is appended: it was delivered before."""

    def recover(self) -> Iterator[tuple[int, Message, bool]]:
        """(queue id, message, may have been delivered before) in order of acceptance.

        A message has the `expires_ms` and `delivery_count` it had. Its time may be over: then it
        expires as any other does, so that its queue can dead-letter it."""


class Spool(Protocol):
    """Disc pages for the part of a backlog that does not live in memory; gone with the process."""

    def write(self, page: bytes) -> int:
        """Keep a page; returns its handle."""

    def take(self, handle: int) -> bytes:
        """Return the page and forget it."""

    def drop(self, handle: int) -> None:
        """Forget the page."""


class Topology(Protocol):
    """Where durable exchanges, queues and bindings are made permanent.

    Each call proposes; once the change is permanent on every machine that must have it, it has
    been applied to the broker (`Broker.apply_*`), then `done(None)` is called. When it cannot
    be, `done(error)`. Applying may happen before the call returns.
    """

    def new_queue_id(self) -> int:
        """Never handed out before, not before a crash either."""

    def put_exchange(self, definition: ExchangeDefinition, done: Done) -> None: ...

    def delete_exchange(self, vhost: str, name: str, done: Done) -> None:
        """With its bindings."""

    def put_queue(self, definition: QueueDefinition, done: Done) -> None: ...

    def delete_queue(self, vhost: str, name: str, done: Done) -> None:
        """With its bindings."""

    def put_binding(self, definition: BindingDefinition, done: Done) -> None: ...

    def delete_binding(self, definition: BindingDefinition, done: Done) -> None: ...
