"""What every kind of queue keeps, and what others may ask of any of them.

Decides what a queue is to the rest of the broker: who consumes from it and who of them is offered
messages, which rules and which policy it has, when it was last used. Never decides what becomes of
a message: the kinds do (classic, quorum, stream).

Theory of a single active consumer: of all consumers only one is in the ring; the others wait in
order of arrival, the higher priority first when the active one goes (RabbitMQ: single active
consumer documentation; observed: 3.10.8).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, NoReturn

from mqd.amqp.fields import Table
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.broker.backlog import Sum
from mqd.broker.consumers import Consumer, Ring
from mqd.broker.definitions import QueueDefinition
from mqd.broker.events import INTERNAL
from mqd.broker.message import Message
from mqd.broker.ports import MessageStore
from mqd.broker.queues.counts import NOTHING, Counts
from mqd.broker.queues.rules import QueueRules, rules_of
from mqd.broker.tickets import REJECTED as REJECTED
from mqd.names import Pid
from mqd.policies.applied import Applied

if TYPE_CHECKING:
    from mqd.broker.channel import Channel
    from mqd.broker.dead_letter import Had
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost


class Queue(ABC):
    """A live queue. `ready_count + unacked_count` messages are in it.

    kind: what x-queue-type calls it. takes_global_prefetch: whether a channel with a prefetch count
    of its own may consume from it. knows_exclusive: whether an exclusive consumer is alone.
    deletes_on_condition: whether queue.delete may have if-unused or if-empty; ignores_conditions:
    they mean nothing. takes_back: whether deliveries may be rejected or handed back. is_remote: it
    stands for one on another node (`mqd.broker.queues.remote`). must_prove: another node may have
    taken it over without this one knowing, so answers wait for `prove`.
    """

    kind: ClassVar[str]
    takes_global_prefetch: ClassVar[bool] = True
    knows_exclusive: ClassVar[bool] = True
    deletes_on_condition: ClassVar[bool] = True
    ignores_conditions: ClassVar[bool] = False
    takes_back: ClassVar[bool] = True
    is_remote: ClassVar[bool] = False
    must_prove: ClassVar[bool] = False

    __slots__ = (
        "active_consumer",
        "consumers",
        "counts",
        "definition",
        "deleted",
        "due_ms",
        "durable",
        "exclusive_consumer",
        "had_consumer",
        "owner",
        "pid",
        "policy",
        "ring",
        "rules",
        "single_active",
        "store",
        "timed",
        "unacked_count",
        "used_ms",
        "vhost",
    )

    def __init__(
        self,
        definition: QueueDefinition,
        vhost: VHost,
        pid: Pid,
        owner: ConnectionEntry | None,
        policy: Applied | None = None,
    ) -> None:
        self.definition = definition
        self.vhost = vhost
        self.pid = pid
        self.owner = owner
        self.durable = definition.durable and not definition.exclusive
        self.store: MessageStore = vhost.store
        self.policy: Applied | None = policy
        self.rules: QueueRules = rules_of(definition.arguments, _definition_of(policy))
        self.timed = False  # whether a message in it may expire
        self.due_ms = 0  # when `deadlines` has it look at the clock; 0: not at all
        self.used_ms = 0  # when it was last declared, asked or had a consumer
        self.consumers: list[Consumer] = []
        self.ring = Ring()
        self.single_active = definition.arguments.get("x-single-active-consumer") == ("bool", True)
        self.active_consumer: Consumer | None = None  # of a queue with a single one
        self.exclusive_consumer: Consumer | None = None
        self.unacked_count = 0
        self.counts = Counts()
        self.had_consumer = False
        self.deleted = False
        if self.rules.expires_ms is not None:
            self.use()
            vhost.broker.timed.add(self)

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def home(self) -> str:
        """The member of the cluster that serves it now; "" while nobody knows."""
        return self.vhost.broker.node

    @property
    @abstractmethod
    def ready_count(self) -> int:
        """Messages that wait for somebody to take them."""

    @property
    def is_reachable(self) -> bool:
        """Whether it can be published to and asked; a change moves `VHost.version`."""
        return True

    @property
    def gives_tickets(self) -> bool:
        """Whether `publish` may return tickets; a change moves `VHost.version`."""
        return self.definition.shard is not None

    @property
    def gone_count(self) -> int:
        """What queue.delete-ok says went with it."""
        return self.ready_count

    # -- in -----------------------------------------------------------------------------------

    @abstractmethod
    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Take a message at the tail, and send it at once where that can be.

        Returns the store's batch or the ticket that its confirm has to wait for, 0 for none,
        REJECTED when the message was not taken.
        """

    def publish_once(
        self,
        origin: bytes,
        number: int,
        names: bytes,
        content: bytes,
        persistent: bool,
        returns: int = 0,
    ) -> int:
        """As `publish`, for a message that was numbered by another node: numbers of one origin
        grow from message to message of a queue, and one that may have come already comes again.
        A kind that can tell does. returns: how often it came back where it was before."""
        return self.publish(names, content, persistent)

    def take_in(self, message: Message, delivered: bool) -> int:
        """A message of the queue that this one takes the place of (`mqd.broker.moving`), in order.
        Returns what `publish` does; nobody but the mover waits for it."""
        return self.publish(message.names, message.content, message.persistent)

    def recover(self, message: Message, delivered: bool) -> None:
        """A message that the vhost's store kept from an earlier run, in order."""
        raise AssertionError(f"a {self.kind} queue keeps nothing there")

    # -- out ----------------------------------------------------------------------------------

    def check_arguments(self, arguments: Table) -> None:  # noqa: B027 - most have none to look at
        """Raise what is wrong with arguments of a consumer that only this kind of queue knows."""

    def check_consumer(self, channel: Channel, arguments: Table, *, no_ack: bool) -> None:
        """Raise what basic.consume of that queue is answered when it is not allowed."""
        if channel.global_prefetch_count and not self.takes_global_prefetch:
            raise ConnectionError_(
                ReplyCode.NOT_IMPLEMENTED,
                f"{self.definition.resource} does not support global qos",
            )

    def refuse_return(self) -> NoReturn:
        """Raise what a client is answered that rejects or hands back what it cannot."""
        raise AssertionError(f"a {self.kind} queue takes deliveries back")

    @abstractmethod
    def drain(self) -> None:
        """Serve the consumers with what is ready, at most a turn's share of it."""

    @abstractmethod
    def get(self) -> tuple[int, Message, bool] | None:
        """Take the next message for basic.get: (position, message, redelivered)."""

    def prove(self, proved: Callable[[bool], None]) -> None:
        """proved(True) once it is certain that no other node had taken the queue over when this was
        asked, so that what was seen here was so; proved(False): it lives elsewhere, or is gone."""
        proved(True)

    def shown(self, message: Message) -> bytes:
        """`Message.content` as basic.get answers it."""
        return message.content

    @abstractmethod
    def acked(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        """A delivered message is done with; its consumer may take another."""

    @abstractmethod
    def refused(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        """Rejected without requeue."""

    @abstractmethod
    def returned(
        self, position: int, message: Message, consumer: Consumer | None, *, lost: bool = False
    ) -> None:
        """Handed back, or lost with its channel. The caller drains when all are back."""

    @property
    def owes(self) -> bool:
        """Whether a dead letter stays here until the queues it goes to have it."""
        return False

    def stuck(self, message: Message, reason: str, had: Had) -> None:
        """A dead letter that is owed was not taken by every queue: keep it and try again."""
        raise AssertionError(f"a {self.kind} queue owes no dead letters")

    def left(self, message: Message, batch: int) -> None:  # noqa: B027 - most owe nothing
        """A dead letter of this queue is in its new queues once that batch is durable."""

    @abstractmethod
    def purge(self) -> int:
        """Drop what is ready; what is delivered stays with its consumers."""

    @abstractmethod
    def discard(self) -> None:
        """The queue was deleted: let go of all that is ready."""

    def take_delivered(self) -> Iterator[Message]:
        """At an orderly end: the ready messages that had been delivered before."""
        return iter(())

    # -- what can be seen ---------------------------------------------------------------------

    def told(self) -> Mapping[str, int]:
        """What it has done since it is there; see `counts`."""
        return NOTHING

    @property
    def ready_bytes(self) -> int:
        """Of the bodies of ready messages."""
        return 0

    def ready_sum(self) -> Sum:
        """The ready messages added up."""
        return Sum()

    @property
    def resident_count(self) -> int:
        """Ready messages that are in memory."""
        return 0

    @property
    def resident_bytes(self) -> int:
        """About what they cost."""
        return 0

    def resident(self) -> Iterable[Message]:
        """These messages; order is not promised."""
        return ()

    # -- rules --------------------------------------------------------------------------------

    def redefine(self, definition: QueueDefinition) -> None:
        """An operator changed what no client can say: the queue is the same."""
        self.definition = definition
        self.rules_changed(self.rules)

    def apply_policy(self, policy: Applied | None) -> None:
        """Another policy applies, or none does."""
        self.policy = policy
        rules = rules_of(self.definition.arguments, _definition_of(policy))
        before, self.rules = self.rules, rules
        if rules.expires_ms is not None and rules.expires_ms != before.expires_ms:
            self.use()
            self.vhost.broker.timed.add(self)
        if rules != before:
            self.rules_changed(before)

    @abstractmethod
    def rules_changed(self, before: QueueRules) -> None:
        """`rules` are others now than before: act on what is in the queue already."""

    # -- time ---------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self.vhost.broker.clock.monotonic_ms()

    def use(self) -> None:
        """Somebody declared it, asked it for a message, or had a consumer on it."""
        if self.rules.expires_ms is not None:
            self.used_ms = self._now_ms()
            self.vhost.broker.deadlines.at(self, self.used_ms + self.rules.expires_ms)

    def expire(self, now_ms: int) -> bool:
        """Let go of the messages whose time is over; False when there are more than a turn's
        share of them, and the next one is over as well."""
        return True

    def tick(self, now_ms: int) -> bool:
        """Look at the time; returns whether there is anything left to look for."""
        if self.deleted:
            return False
        if self.timed:
            self.expire(now_ms)
        expires_ms = self.rules.expires_ms
        if expires_ms is None:
            return self.timed
        if self.consumers:
            return True
        if now_ms - self.used_ms >= expires_ms:
            with self.vhost.events.by(INTERNAL):
                self.vhost.delete_queue(self, lambda _: None)
            return False
        self.vhost.broker.deadlines.at(self, self.used_ms + expires_ms)
        return True

    # -- consumers ----------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """It is offered messages from now on, or waits for its turn to be the active one."""
        self.consumers.append(consumer)
        self.had_consumer = True
        if self.vhost.events.listeners:
            self.vhost.events.consumer_created(consumer)
        if consumer.exclusive:
            self.exclusive_consumer = consumer
        if self.single_active:
            consumer.waiting = self.active_consumer is not None
            if consumer.waiting:
                return
            self.active_consumer = consumer
        self.ring.add(consumer)

    def remove_consumer(self, consumer: Consumer) -> None:
        """The consumer takes no more; what it holds stays with its channel. Twice is once."""
        if not consumer.active:
            return
        consumer.active = False
        self.consumers.remove(consumer)
        if self.vhost.events.listeners:
            self.vhost.events.consumer_deleted(consumer)
        self.use()
        self.ring.discard(consumer)
        if self.exclusive_consumer is consumer:
            self.exclusive_consumer = None
        if self.active_consumer is consumer:
            self.hand_over()

    def hand_over(self) -> None:
        """The active consumer is gone: the next one is, from the next turn on."""
        self.active_consumer = None
        following = max(self.consumers, key=lambda one: one.priority, default=None)
        if following is not None:
            following.waiting = False
            self.active_consumer = following
            self.ring.add(following)
            # Later: whoever cancels all its consumers must not be sent to by one of them.
            self.vhost.turn.later.append(self._drain_unless_deleted)

    def _drain_unless_deleted(self) -> None:
        if not self.deleted:
            self.drain()

    def offer_again(self, consumer: Consumer) -> None:
        """A consumer that left the ring may be able to take messages again."""
        if consumer.active and not consumer.waiting and not self.deleted:
            self.ring.add(consumer)

    def resumer(self, consumer: Consumer) -> Callable[[], None]:
        """What to call when the consumer's connection reads again."""

        def resume() -> None:
            consumer.parked = False
            queue = consumer.queue  # another object when it has moved since
            queue.offer_again(consumer)
            if not queue.deleted:
                queue.drain()

        return resume


def _definition_of(policy: Applied | None) -> dict[str, object]:
    return dict(policy.definition) if policy is not None else {}
