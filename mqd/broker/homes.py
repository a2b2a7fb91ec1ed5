"""Where queues live when there are several nodes: what the broker needs to know of the others.

Decides the ports between the queues of this node that stand for queues of another
(`mqd.broker.queues.remote`) and whoever reaches that node. Never reaches one: `mqd.cluster` does.
`Here` is the answer of a node of its own: everything lives here.

All is synchronous. What has to wait for another node calls `done` once with the result, an
AmqpError, or LOST: the node could not be asked, or was lost before it answered. A queue that is
asked may come to live here while it waits for a home: MOVED, ask what is here now. ELSEWHERE: the
node is not the queue's home, or not yet.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.message import Message

if TYPE_CHECKING:
    from mqd.amqp.replies import AmqpError
    from mqd.broker.channel import Channel
    from mqd.broker.consumers import Consumer
    from mqd.broker.exchanges.base import Taker
    from mqd.broker.queues.remote import RemoteQueue
    from mqd.broker.vhost import VHost


class Unanswered(Enum):
    """Not an answer."""

    LOST = "lost"
    MOVED = "moved"
    ELSEWHERE = "elsewhere"


LOST: Final = Unanswered.LOST
MOVED: Final = Unanswered.MOVED
ELSEWHERE: Final = Unanswered.ELSEWHERE

_NO_CONTENT = b"\x02\x00\x01\x00\x00\x00\x0e\x00\x3c" + bytes(12) + b"\xce"
Done = Callable[[Any], None]
Definition = ExchangeDefinition | QueueDefinition | BindingDefinition


class Hold(Protocol):
    """What one channel here has at one node, while the link to it lasts. It is of no effect when
    that has ended: the node has taken everything back."""

    def settle(self, tag: int, how: str) -> None:
        """A delivery of that node is done with; how: as in `mqd.broker.channel`."""

    def limit(self, count: int) -> None:
        """The channel's own prefetch is that from now on; 0: none."""

    def close(self) -> None:
        """The channel is gone."""


class Delivered(Message):
    """A message of another node that a client holds: its content stays there."""

    __slots__ = ("hold", "tag")

    def __init__(self, names: bytes, hold: Hold, tag: int) -> None:
        super().__init__(names, _NO_CONTENT)
        self.hold = hold
        self.tag = tag


class Arrival(NamedTuple):
    """A delivery on its way to a consumer here. tag: the home's."""

    hold: Hold
    tag: int
    names: bytes
    content: bytes
    redelivered: bool


class Fetched(NamedTuple):
    """What basic.get of another node came to."""

    arrival: Arrival
    left: int


class Home(Protocol):
    """A node that queues live on."""

    node: str

    @property
    def is_up(self) -> bool:
        """Whether it can be asked now."""

    def publish(
        self,
        queue: RemoteQueue,
        ticket: int,
        names: bytes,
        content: bytes,
        persistent: bool,
        returns: int = 0,
    ) -> None:
        """Only while it is up. returns: how often it came back before. `RemoteQueue.answered` says
        what became of it, or `unanswered`, unless the node is lost before: then `RemoteQueue.lost`
        comes, for all."""

    def again(self, queue: RemoteQueue) -> None:
        """What is published to that queue, which survives, from now on is all that is not answered,
        in order. A home that the queue has come to since it heard that last takes nothing."""

    def consume(self, consumer: Consumer, done: Done) -> None:
        """basic.consume; its messages come by `RemoteQueue.arrive`."""

    def cancel(self, consumer: Consumer, done: Done) -> None:
        """basic.cancel; what was under way has come by then."""

    def leave(self, consumer: Consumer) -> None:
        """It is no consumer of that node any more: what is under way does not reach it."""

    def forget(self, consumer: Consumer) -> None:
        """It is no consumer there any more, as the node said."""

    def get(self, channel: Channel, queue: RemoteQueue, no_ack: bool, done: Done) -> None:
        """basic.get; done(None) or done(`Fetched`)."""

    def ask(
        self, channel: Channel | None, queue: RemoteQueue, what: str, flags: int, done: Done
    ) -> None:
        """what: "state" → (ready, consumers); "purge", "delete" → how many messages went. flags of
        delete: 1 if-unused, 2 if-empty. channel None: as the node itself."""


class Homes(Protocol):
    """The nodes of the cluster, as one of them sees them."""

    def elsewhere(self, definition: QueueDefinition) -> Home | None:
        """The node that a queue lives on; None: it lives here. A queue whose place nobody knows
        lives on a node that is not up."""

    def place(self, vhost: VHost, definition: QueueDefinition) -> QueueDefinition | AmqpError:
        """A durable queue that is to be, with the node it is to live on."""

    def here(self, definition: QueueDefinition) -> None:
        """A queue that lived elsewhere is here now, with its messages."""

    def claim(
        self, vhost: str, kind: str, name: str, then: Callable[[AmqpError | None], None]
    ) -> None:
        """A client wants to have a transient queue or exchange of that name: nobody else gets it
        until it is announced or `release`d. Those that are announced meanwhile are here before
        `then` is called."""

    def release(self, vhost: str, kind: str, name: str) -> None:
        """Nothing came of it."""

    def put(self, one: Definition, then: Callable[[], None]) -> None:
        """Something transient is here now; `then` when the others know it."""

    def gone(self, one: Definition, then: Callable[[], None]) -> None:
        """Something transient is here no more; `then` as with `put`."""

    def reply_to(self, name: str) -> Taker | None:
        """What takes an answer for a reply consumer of another node; None: there is none."""


class Flow:
    """Whether who publishes to other nodes has to wait. hits: publishes, ever, to a node that too
    much is on its way to; waiting: what to call, once, when one of these can take more."""

    __slots__ = ("hits", "waiting")

    def __init__(self) -> None:
        self.hits = 0
        self.waiting: list[Callable[[], None]] = []

    def relieve(self) -> None:
        """A node can take more. The caller ends the turn."""
        waiting, self.waiting = self.waiting, []
        for read_on in waiting:
            read_on()


class Here:
    """See the file's charter."""

    def elsewhere(self, definition: QueueDefinition) -> Home | None:
        return None

    def place(self, vhost: VHost, definition: QueueDefinition) -> QueueDefinition | AmqpError:
        return definition

    def here(self, definition: QueueDefinition) -> None:
        pass

    def claim(
        self, vhost: str, kind: str, name: str, then: Callable[[AmqpError | None], None]
    ) -> None:
        then(None)

    def release(self, vhost: str, kind: str, name: str) -> None:
        pass

    def put(self, one: Definition, then: Callable[[], None]) -> None:
        then()

    def gone(self, one: Definition, then: Callable[[], None]) -> None:
        then()

    def reply_to(self, name: str) -> Taker | None:
        return None
