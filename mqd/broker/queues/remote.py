"""A queue that lives on another node, as this one sees it.

Theory. Every node has an object for every queue, so that routing, bindings and permissions are
decided where the client is. The messages are at the queue's home. What a client here publishes is
sent there and waits for a ticket; consumers here are consumers there as well, whose messages come
by `arrive`; what is settled here is settled there. The home's limits hold: a consumer's prefetch is
looked at there, a channel's own here too, since it counts what comes from several nodes.

Two kinds of loss. A classic queue or a stream has one home: when that is lost, what it has not
answered is rejected, its consumers are cancelled, and the queue is not to be reached
(observed: 3.10.8). A quorum queue `survives`: it waits for its next home, which is sent again what
was not answered (`mqd.broker.queues.outbox`), serves the consumers again, and is asked again what
was asked.

Decides that. Never knows how a node is reached (`mqd.broker.homes`), and never keeps a message but
those that are not answered, and those that a channel's own prefetch holds back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn

from mqd import limits
from mqd.amqp.replies import AmqpError, ChannelError, ReplyCode
from mqd.broker.consumers import Consumer
from mqd.broker.definitions import QueueDefinition
from mqd.broker.homes import ELSEWHERE, LOST, MOVED, Arrival, Delivered, Done, Home, Unanswered
from mqd.broker.message import Message
from mqd.broker.queues.asking import Asked, gone
from mqd.broker.queues.base import REJECTED, Queue
from mqd.broker.queues.outbox import Kept, Outbox
from mqd.broker.queues.rules import QueueRules
from mqd.names import Pid
from mqd.policies.applied import Applied

if TYPE_CHECKING:
    from mqd.broker.channel import Channel
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost


class RemoteQueue(Queue):
    """See the file's charter. at: its home; None while nobody knows."""

    is_remote = True
    __slots__ = (
        "_asked",
        "_asking",
        "_held",
        "_outbox",
        "_subscribed",
        "at",
    )

    def __init__(
        self,
        definition: QueueDefinition,
        vhost: VHost,
        pid: Pid,
        owner: ConnectionEntry | None,
        policy: Applied | None = None,
        home: Home | None = None,
    ) -> None:
        super().__init__(definition, vhost, pid, owner, policy)
        self.at = home
        self._outbox = Outbox(self)
        self._asked = Asked(pid)  # what is asked as soon as there is a home
        self._subscribed: set[Consumer] = set()  # those the home has, or is being asked to take
        self._asking: set[Consumer] = set()  # of these, the latter
        self._held: dict[Consumer, deque[Arrival]] = {}  # for which their channels have no room

    @property
    def home(self) -> str:
        return self.at.node if self.at is not None else self.definition.node

    @property
    def survives(self) -> bool:
        """Whether it has another home when it loses one."""
        return self.kind == "quorum" or self.definition.shard is not None

    @property
    def is_reachable(self) -> bool:
        return self.survives or (self.at is not None and self.at.is_up)

    @property
    def gives_tickets(self) -> bool:
        return True

    @property
    def ready_count(self) -> int:
        """Those that are here: their channels have no room for them."""
        return sum(map(len, self._held.values()))

    @property
    def pending_count(self) -> int:
        """Messages that a next home is to be sent if this one does not answer."""
        return len(self._outbox)

    def down_error(self) -> ChannelError:
        """What 3.10.8 answers to everything while the home is down."""
        where = f"home node '{self.home}' of durable {self.definition.resource}"
        return ChannelError(ReplyCode.NOT_FOUND, f"{where} is down or inaccessible")

    # -- in -----------------------------------------------------------------------------------

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Sent to the home; what it comes to is the ticket's."""
        return self._publish((names, content, persistent, 0))

    def take_in(self, message: Message, delivered: bool) -> int:
        returns = message.delivery_count + delivered
        return self._publish((message.names, message.content, message.persistent, returns))

    def _publish(self, kept: Kept) -> int:
        home = self._home_up
        if (home is None or self._outbox.holds) and not self._may_wait():
            return REJECTED
        ticket = self.vhost.tickets.new()
        if self.survives:
            self._outbox.put(ticket, kept, home)
        elif home is not None:
            home.publish(self, ticket, *kept)
        return ticket

    @property
    def _home_up(self) -> Home | None:
        """If it can be asked now."""
        return self.at if self.at is not None and self.at.is_up else None

    def _may_wait(self) -> bool:
        """Whether a message is kept until there is a home. Those who publish are held when much
        is; what comes of their last reads still is."""
        if not self.survives:
            return False
        if self._outbox.bytes > limits.REMOTE_PENDING_BYTES_MAX:
            self.vhost.broker.flow.hits += 1
        return self._outbox.bytes <= 4 * limits.REMOTE_PENDING_BYTES_MAX

    def answered(self, ticket: int, accepted: bool) -> None:
        """The home has it, or refused it. Whoever calls ends the turn."""
        self._outbox.take(ticket)
        self._outbox.closed(ticket)
        if accepted:
            self.vhost.tickets.done(ticket)
        else:
            self.vhost.tickets.rejected(ticket)

    def unanswered(self, ticket: int) -> None:
        """Who was sent it will not answer: the next home is sent it, where there can be one."""
        if ticket not in self._outbox:
            if not (self.deleted and self.survives):
                self.answered(ticket, False)
        elif self.deleted:
            self._pass_on(ticket)
        else:
            self._outbox.closed(ticket)

    def missing(self, ticket: int) -> None:
        """Who was sent it does not have the queue: not yet, not any more, or it lives elsewhere.
        One that goes with its client most likely went."""
        if self.durable or self.survives:
            self.unanswered(ticket)
        else:
            self.answered(ticket, True)

    def _pass_on(self, ticket: int) -> None:
        """To what took the place of this queue while an answer was awaited. That has not waited:
        what was published later may be before it, so it says that it came before."""
        now = self.vhost.queues.get(self.name)
        if now is None or now.definition.id != self.definition.id:
            self.answered(ticket, True)
            return
        kept = self._outbox.take(ticket)
        assert kept is not None
        self._outbox.closed(ticket)
        names, content, persistent, returns = kept
        again = (names, content, persistent, returns + 1)
        if isinstance(now, RemoteQueue):
            now._outbox.put(ticket, again, now._home_up)
            return
        result = now.publish_once(self.vhost.broker.origin, ticket, *again)
        self.vhost.tickets.follow(ticket, result)

    # -- asking -------------------------------------------------------------------------------

    def ask(self, channel: Channel | None, start: Callable[[Home, Done], None], done: Done) -> None:
        """Have the home asked; done gets the answer, or what is said when there can be none (or
        when the channel that asks has gone by then), or MOVED. It is always called."""
        home = self.at

        def again() -> None:
            self.ask(channel, start, done)

        def answered(result: object) -> None:
            if result is LOST or (result is ELSEWHERE and (home is not self.at or self.deleted)):
                again()  # there is another by now
            elif result is not ELSEWHERE:
                done(result)
            elif self.survives:
                self._asked.put(channel, again)  # it is on its way there
            else:
                done(self.down_error())

        if channel is not None and not channel.is_open:
            done(gone())
        elif self.deleted:
            now = self.vhost.queues.get(self.name)
            if now is None or now.definition.id != self.definition.id:
                done(ChannelError(ReplyCode.NOT_FOUND, f"no {self.definition.resource}"))
            elif isinstance(now, RemoteQueue):
                now.ask(channel, start, done)
            else:
                done(MOVED)
        elif home is None or not home.is_up:
            if self.survives:
                self._asked.put(channel, again)
            else:
                done(self.down_error())
        else:
            start(home, answered)

    # -- consumers ----------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """It is here; `subscribe` makes it one at the home."""
        self.consumers.append(consumer)
        self.had_consumer = True

    def subscribe(self, consumer: Consumer, done: Done) -> None:
        """done(None), or the AmqpError that basic.consume is answered with."""
        self._subscribed.add(consumer)
        self._asking.add(consumer)
        asked: Home | None = None

        def start(home: Home, then: Done) -> None:
            nonlocal asked
            asked = home
            home.consume(consumer, then)

        def answered(result: AmqpError | Unanswered | None) -> None:
            self._asking.discard(consumer)
            if result is not None:
                self._subscribed.discard(consumer)
            elif asked is not None and asked is not self.at and not self.deleted:
                self._subscribe_again(consumer, asked)
            done(None if result is MOVED else result)  # moved with the queue

        self.ask(consumer.channel, start, answered)

    def _subscribe_again(self, consumer: Consumer, asked: Home) -> None:
        """A home took the consumer that was the home no more when its answer came."""
        self._subscribed.discard(consumer)
        if asked.is_up:
            asked.leave(consumer)
        if consumer.active and self.at is not None and self.at.is_up:
            self.subscribe(consumer, lambda _: None)

    def remove_consumer(self, consumer: Consumer) -> None:
        """It takes no more; its channel closes, or the home has it no more."""
        if not consumer.active:
            return
        consumer.active = False
        self.consumers.remove(consumer)
        for arrival in self._held.pop(consumer, ()):
            arrival.hold.settle(arrival.tag, "lost")
        self._asking.discard(consumer)
        if consumer in self._subscribed:
            self._subscribed.discard(consumer)
            if self.at is not None and self.at.is_up:
                self.at.leave(consumer)

    def cancel(self, consumer: Consumer, done: Done) -> None:
        """basic.cancel: what the home had sent by then reaches the client before done(None)."""

        def answered(result: object) -> None:
            self._subscribed.discard(consumer)
            self.remove_consumer(consumer)
            done(None)

        if self.at is None or not self.at.is_up or consumer not in self._subscribed:
            answered(None)
        else:
            self.at.cancel(consumer, answered)

    # -- deliveries ---------------------------------------------------------------------------

    def arrive(self, consumer: Consumer, arrival: Arrival) -> None:
        """The home sends a message for a consumer here. Whoever calls ends the turn."""
        if not consumer.active or consumer.queue is not self:
            arrival.hold.settle(arrival.tag, "lost")
        elif consumer.no_ack:
            consumer.send(arrival.names, arrival.content, arrival.redelivered)
        elif consumer in self._held or consumer.channel.is_full():
            self._held.setdefault(consumer, deque()).append(arrival)
            consumer.channel.stopped[consumer] = None
        else:
            self._give(consumer, arrival)

    def _give(self, consumer: Consumer, arrival: Arrival) -> None:
        tag = consumer.send(arrival.names, arrival.content, arrival.redelivered)
        consumer.unacked += 1
        self.unacked_count += 1
        message = Delivered(arrival.names, arrival.hold, arrival.tag)
        consumer.channel.unacked[tag] = (self, message, arrival.tag, consumer)

    def took(self, arrival: Arrival) -> Message:
        """basic.get has it: what the channel is to hold."""
        self.unacked_count += 1
        return Delivered(arrival.names, arrival.hold, arrival.tag)

    def drain(self) -> None:
        """Give what was held back to those who have room by now."""
        for consumer, arrivals in list(self._held.items()):
            while arrivals and not consumer.channel.is_full():
                self._give(consumer, arrivals.popleft())
            if arrivals:
                consumer.channel.stopped[consumer] = None
            else:
                del self._held[consumer]

    def get(self) -> NoReturn:
        raise AssertionError("the home is asked")

    def offer_again(self, consumer: Consumer) -> None:
        """`drain` does."""

    # -- settling -----------------------------------------------------------------------------

    def acked(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        self._settled(message, consumer, "ack", drain)

    def refused(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        self._settled(message, consumer, "reject", drain)

    def returned(
        self, position: int, message: Message, consumer: Consumer | None, *, lost: bool = False
    ) -> None:
        self._settled(message, consumer, "lost" if lost else "requeue", False)

    def _settled(self, message: Message, consumer: Consumer | None, how: str, drain: bool) -> None:
        assert isinstance(message, Delivered)
        self.unacked_count -= 1
        message.hold.settle(message.tag, how)
        if consumer is not None:
            consumer.unacked -= 1
            queue = consumer.queue
            if queue is not self and not queue.deleted:  # it lives here by now
                queue.offer_again(consumer)
                if drain:
                    queue.drain()

    def purge(self) -> NoReturn:
        raise AssertionError("the home is asked")

    # -- the home comes and goes --------------------------------------------------------------

    def moved(self, home: Home | None) -> None:
        """It has another home, or nobody knows it now. The caller ends the turn."""
        is_in_log = self.definition.shard is not None
        if home is self.at:  # the same home says when it has put it into the log: `renewed`
            self._outbox.in_log = self._outbox.in_log and is_in_log
            return
        self._outbox.in_log = is_in_log
        self.lost()
        self.at = home
        self.vhost.version += 1
        self.found()

    def lost(self) -> None:
        """The home is not linked any more, or is the home no more: what was asked of it has been
        answered by LOST. The caller ends the turn."""
        self.vhost.version += 1
        if self.survives:
            if self.at is not None and self.at.is_up:
                for consumer in self._subscribed - self._asking:
                    self.at.leave(consumer)
            self._subscribed = set(self._asking)
            self._held.clear()  # they come again
            return
        self._held.clear()
        self._subscribed.clear()
        for consumer in list(self.consumers):
            self.remove_consumer(consumer)
            consumer.channel.consumers.pop(consumer.tag, None)
            self.vhost.broker.tell_cancelled(consumer)

    def found(self) -> None:
        """The home can be asked, or may have forgotten what it was told while it was not the home.
        The caller ends the turn."""
        if self._home_up is None:
            return
        self.vhost.version += 1
        if self.survives:
            self._outbox.begin()
        self.vhost.broker.flow.relieve()
        for again in self._asked.take():
            again()
        for consumer in list(self.consumers):
            if consumer not in self._subscribed:
                self.subscribe(consumer, lambda _: None)

    def renewed(self) -> None:
        """The home has it anew: its messages and nothing else. The caller ends the turn."""
        self._outbox.in_log = self.definition.shard is not None
        if self.at is not None:
            for consumer in self._subscribed - self._asking:
                self.at.forget(consumer)
        self._subscribed = set(self._asking)
        self._held.clear()
        self.found()

    def take_pending(self) -> list[tuple[int, Kept]]:
        """The home is here from now on, or there will be none: what was not answered, and need not
        be."""
        pending = self._outbox.take_all()
        self.vhost.broker.flow.relieve()
        return pending

    def adopt(self, pending: Iterable[tuple[int, Message]]) -> None:
        """What was published while the home was here and may not be where it is kept: (ticket,
        message). It goes to the next home, by the number that it had."""
        for ticket, message in pending:
            kept = (message.names, message.content, message.persistent, message.delivery_count)
            self._outbox.put(ticket, kept, None)

    def take_waiting(self) -> list[Callable[[], None]]:
        """The same of what was asked: to be done when another queue has taken this one's place."""
        return self._asked.take()

    def discard(self) -> None:
        """Deleted: a message that is lost with its queue was taken, as far as anybody can say."""
        self._outbox.await_nobody()
        for ticket, _ in self.take_pending():
            self.answered(ticket, True)
        for again in self.take_waiting():
            again()
        for arrivals in self._held.values():
            for arrival in arrivals:
                arrival.hold.settle(arrival.tag, "lost")
        self._held.clear()
        self._subscribed.clear()  # the home cancels them itself

    # -- what the home decides ----------------------------------------------------------------

    def rules_changed(self, before: QueueRules) -> None:
        """They are looked at there."""

    def use(self) -> None:
        """The home does: it is asked."""

    def tick(self, now_ms: int) -> bool:
        return False
