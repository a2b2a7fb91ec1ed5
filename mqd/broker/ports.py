"""What the broker needs of the world, stated by the broker.

Decides the protocols that storage, metadata and transport implement and `daemon.compose` joins.
Never implements one: tests use `mqd.broker.memory`. Everything here is synchronous; whoever must
wait gets a callback, called exactly once, on the thread that runs the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.message import Message
from mqd.broker.seen import ByOrigin

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

    def stream(self, queue_id: int) -> StreamLog:
        """The log of a stream queue, as it was left or new. One that nobody asked for before
        `recover` is deleted then."""

    def mark_delivered(self, queue_id: int, message: Message) -> None:
        """For an orderly end, after which nothing is appended: it was delivered before."""

    def recover(self) -> Iterator[tuple[int, Message, bool]]:
        """(queue id, message, may have been delivered before) in order of acceptance.

        A message has the `expires_ms` and `delivery_count` it had. Its time may be over: then it
        expires as any other does, so that its queue can dead-letter it."""


class Unlanded(NamedTuple):
    """A message on its way into a log. number: of its origin."""

    origin: bytes
    number: int
    ticket: int
    message: Message


class SharedStore(MessageStore, Protocol):
    """Messages in a log that several nodes have and one of them, this one, writes. What is kept has
    a ticket (`mqd.broker.tickets`) and no batch; deliveries are not known to other nodes."""

    def attach(self, queue_id: int, arrived: Callable[[Message], None]) -> Iterable[Message]:
        """What the log has of the queue, in order, with `expires_ms` and `delivery_count`. From now
        on arrived(message) is called when the log has it, in the order of `enqueue`."""

    def enqueue(self, queue_id: int, message: Message, moved: bool = False) -> int:
        """A message of this node's; its ticket, which ends when the log has it. moved: it was in
        the queue before that was in the log."""

    def enqueue_from(self, queue_id: int, message: Message, origin: bytes, number: int) -> int:
        """One that another node numbered: see `Queue.publish_once`."""

    def known(self, queue_id: int, origin: bytes, number: int) -> int | None:
        """None: it did not come yet. Else what its publisher has to wait for."""

    def know(self, queue_id: int, origins: ByOrigin, late: Iterable[tuple[bytes, int]]) -> None:
        """What came before the queue was in the log is known from now on: the log has it before
        the messages that were enqueued in this turn, and `late` (of it, what may not be safe
        without them) with the last of these."""

    def numbers(self, queue_id: int) -> ByOrigin:
        """What is in the log, or was."""

    def pending(self, queue_id: int) -> list[tuple[int, Message]]:
        """(number, message) of this node's own messages that the log does not have yet: for who
        goes on elsewhere when this node is not the one that writes any more. The number is the
        ticket of who published it, which stays open; tickets of others are misplaced. What was
        moved counts as delivered: it may come behind what was published later."""

    def take_over(self, queue_id: int) -> tuple[Sequence[Unlanded], Sequence[int]]:
        """What the log does not have yet, in order, and tickets that end with the last of it: all
        this is who asks's from now on, for a queue that leaves the log."""

    def prove(self, queue_id: int, proved: Callable[[bool], None]) -> None:
        """proved(True) once it is certain that this node was still the one that writes when it was
        asked, and all that was said of the queue until then is permanent; proved(False) when it is
        the one no more, and the queue lives elsewhere, or is deleted. Whoever calls ends the
        turn."""

    def drop(self, queue_id: int) -> None:
        """The queue is deleted."""


class StreamPage(Protocol):
    """Messages of a stream without a gap; `first` and `end`: the offset of the first and the one
    after the last."""

    @property
    def first(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def messages(self) -> list[Message]: ...


class StreamLog(Protocol):
    """The messages of one stream, numbered from 0: what is on disc of them, and no other.

    Those from `first_offset` up to and without `next_offset` can be read. `on_growth` is called
    when there are more of them; whoever it calls ends the turn.
    """

    on_growth: Callable[[], None]
    next_offset: int

    @property
    def first_offset(self) -> int: ...

    @property
    def bytes(self) -> int:
        """On disc."""

    @property
    def segment_count(self) -> int:
        """Files of it; 0 until the first message is on disc."""

    @property
    def last_chunk_offset(self) -> int:
        """The first of the messages that were written last, in one go; `next_offset` for none."""

    def append(self, message: Message) -> int:
        """Returns the batch of the vhost's `MessageStore` that makes it permanent."""

    def read(self, offset: int) -> StreamPage | None:
        """A page with that offset in it, or from the first one behind it on. None: there is none
        yet."""

    def offset_of(self, wall_ms: int) -> int:
        """The first message that came at that time of the wall clock or later."""

    def keep(self, bytes_max: int | None, age_max_s: int | None, segment_bytes: int | None) -> None:
        """How much of it to keep, looked at here and when a segment is full. None: no bound, and
        segments of the usual size."""

    def delete(self) -> None:
        """The stream is no more."""


class Spool(Protocol):
    """Disc pages for the part of a backlog that does not live in memory; gone with the process."""

    def write(self, page: bytes) -> int:
        """Keep a page; returns its handle."""

    def take(self, handle: int) -> bytes:
        """Return the page and forget it."""

    def read(self, handle: int, start: int = 0, size: int | None = None) -> bytes:
        """So many bytes of the page, or all of them; it is kept."""

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

    def delete_exchange(
        self, vhost: str, name: str, done: Done, *, if_unused: bool = False
    ) -> None:
        """With its bindings. if_unused: unless it has some, or does not go with its last one."""

    def put_queue(self, definition: QueueDefinition, done: Done) -> None: ...

    def delete_queue(self, definition: QueueDefinition, done: Done) -> None:
        """With its bindings. Another queue that has its name by now stays."""

    def put_binding(self, definition: BindingDefinition, done: Done) -> None: ...

    def delete_binding(self, definition: BindingDefinition, done: Done) -> None: ...


class Elsewhere(Protocol):
    """What limits count of the other members: clients that are connected there, as last heard."""

    def in_vhost(self, vhost: str) -> int:
        """Connections."""

    def of_user(self, user: str) -> int:
        """Connections."""

    def channels_of_user(self, user: str) -> int: ...


class Alone:
    """An Elsewhere of a node that is in no cluster."""

    def in_vhost(self, vhost: str) -> int:
        return 0

    def of_user(self, user: str) -> int:
        return 0

    def channels_of_user(self, user: str) -> int:
        return 0


ALONE: Final = Alone()
