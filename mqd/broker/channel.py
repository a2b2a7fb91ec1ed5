"""A channel: what is unacknowledged on it, its modes, and its end.

Decides delivery tags, acknowledgement in its three forms, prefetch, recover, transactions and what
is handed back when the channel goes (AMQP 0-9-1 §1.8; RabbitMQ: rabbit_channel). Publishing is in
`mqd.broker.publish`, consuming in `mqd.broker.consume`, topology in `mqd.broker.topology`: they
act on this object. Never writes a frame but through consumers and confirms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from pamqp import commands

from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.broker.confirms import Confirms
from mqd.broker.consumers import Consumer
from mqd.broker.entries import ConnectionEntry
from mqd.broker.homes import Hold
from mqd.broker.message import Message
from mqd.broker.publish import Target, target_of
from mqd.broker.queues.base import Queue
from mqd.names import Pid

if TYPE_CHECKING:
    from mqd.broker.reply import ReplyConsumer

Unacked = tuple[Queue, Message, int, Consumer | None]  # queue, message, position, consumer


class Transaction:
    """What a channel in tx mode has put off until commit."""

    __slots__ = ("publishes", "settled")

    def __init__(self) -> None:
        self.publishes: list[Callable[[], int]] = []
        self.settled: list[tuple[int, Unacked, str]] = []  # tag, delivery, how


class Channel:
    """An open channel. `unacked` is in order of delivery tag.

    What becomes of a delivery is one of ack, reject, requeue, and lost: with its channel.
    is_served: it stands for a channel of another node. consumer_kind: what basic.consume makes.
    """

    is_served: ClassVar[bool] = False
    consumer_kind: ClassVar[type[Consumer]] = Consumer

    __slots__ = (
        "_offers",
        "committed",
        "confirms",
        "connection",
        "consumers",
        "global_prefetch_count",
        "last_queue",
        "last_tag",
        "number",
        "outlet",
        "pid",
        "prefetch_count",
        "remotes",
        "reply_consumer",
        "stopped",
        "tx",
        "unacked",
        "user",
        "vhost",
    )

    def __init__(self, number: int, connection: ConnectionEntry, pid: Pid) -> None:
        self.number = number
        self.connection = connection
        self.pid = pid
        self.outlet = connection.outlet
        self.user = connection.user
        self.vhost = connection.vhost
        self.consumers: dict[str, Consumer] = {}
        self.reply_consumer: ReplyConsumer | None = None
        self.unacked: dict[int, Unacked] = {}
        self.last_tag = 0
        self.last_queue = ""  # the queue declared last, which an empty name stands for
        self.prefetch_count = 0
        self.global_prefetch_count = 0
        self.stopped: dict[Consumer, None] = {}  # by its own prefetch, the first one first
        self._offers = 0
        self.confirms: Confirms | None = None
        self.tx: Transaction | None = None
        self.committed: list[tuple[Unacked, str]] = []  # until the end of the turn
        self.remotes: dict[str, Hold] = {}  # what it has on other nodes, by their names

    @property
    def is_open(self) -> bool:
        return self.connection.channels.get(self.number) is self

    @property
    def confirming(self) -> bool:
        return self.confirms is not None

    @property
    def transactional(self) -> bool:
        return self.tx is not None

    # -- publishing ---------------------------------------------------------------------------

    def target(self, method: commands.Basic.Publish) -> Target:
        """Resolve a basic.publish method; see `mqd.broker.publish`."""
        return target_of(self, method)

    # -- acknowledgement ----------------------------------------------------------------------

    def ack(self, delivery_tag: int, multiple: int) -> None:
        """basic.ack. Raises ChannelError 406 for a tag that is not unacknowledged."""
        if multiple or self.tx is not None or self.global_prefetch_count:
            self._settle(delivery_tag, bool(multiple), "ack")
            return
        entry = self.unacked.pop(delivery_tag, None)
        if entry is None:
            raise _unknown_tag(delivery_tag)
        queue, message, _, consumer = entry
        queue.acked(message, consumer)

    def nack(self, delivery_tag: int, *, multiple: bool, requeue: bool) -> None:
        """basic.nack and basic.reject."""
        self._settle(delivery_tag, multiple, "requeue" if requeue else "reject")

    def _settle(self, delivery_tag: int, multiple: bool, how: str) -> None:
        taken = self._take(delivery_tag, multiple)
        if how != "ack":
            self._check_takes_back(taken)
        if self.tx is not None:
            self.tx.settled += [(tag, entry, how) for tag, entry in taken]
        else:
            self._apply(((entry, how) for _, entry in taken))

    def _check_takes_back(self, taken: Iterable[tuple[int, Unacked]]) -> None:
        """Raise when a stream is among them; then all are unacknowledged as before."""
        for _, (queue, *_) in taken:
            if not queue.takes_back and not queue.deleted:
                all_of_them = {**self.unacked, **dict(taken)}
                self.unacked = dict(sorted(all_of_them.items(), key=lambda item: item[0]))
                queue.refuse_return()

    def _take(self, delivery_tag: int, multiple: bool) -> list[tuple[int, Unacked]]:
        unacked = self.unacked
        if not multiple:
            entry = unacked.pop(delivery_tag, None)
            if entry is None:
                raise _unknown_tag(delivery_tag)
            return [(delivery_tag, entry)]
        if delivery_tag == 0:  # all so far (AMQP 0-9-1 §1.8.3.13)
            taken = list(unacked.items())
            unacked.clear()
            return taken
        # RabbitMQ takes a multiple ack for a tag that is out as unknown: see collect_acks.
        if delivery_tag not in unacked:
            raise _unknown_tag(delivery_tag)
        taken = []
        for tag, entry in unacked.items():
            if tag > delivery_tag:
                break
            taken.append((tag, entry))
        for tag, _ in taken:
            del unacked[tag]
        return taken

    def _apply(self, outcomes: Iterable[tuple[Unacked, str]]) -> None:
        requeued: dict[Queue, None] = {}
        drain = not self.global_prefetch_count  # else all its queues are offered the room
        for (queue, message, position, consumer), how in outcomes:
            if how == "ack":
                queue.acked(message, consumer, drain=drain)
            elif how == "reject":
                queue.refused(message, consumer, drain=drain)
            else:
                queue.returned(position, message, consumer, lost=how == "lost")
                requeued[queue] = None
        if self.global_prefetch_count:
            self.offer_again()
        for queue in requeued:
            if not queue.deleted:
                queue.drain()

    def settle_all(self, tags: Iterable[int], how: str) -> None:
        """What another node's channel settles here, one by one; what is not here any more is not
        missed."""
        taken = [self.unacked.pop(tag, None) for tag in tags]
        self._apply([(entry, how) for entry in taken if entry is not None])

    def recover(self) -> None:
        """basic.recover with requeue: hand back everything unacknowledged."""
        self.check_recover()
        self._hand_back("requeue")

    def check_recover(self) -> None:
        """Raise what basic.recover is answered when a stream would have to take something back."""
        self._check_takes_back(self.unacked.items())

    def _hand_back(self, how: str) -> None:
        unacked, self.unacked = self.unacked, {}
        self._apply([(entry, how) for entry in unacked.values()])

    # -- prefetch -----------------------------------------------------------------------------

    def is_full(self) -> bool:
        """Whether the channel's own (global) prefetch lets it take nothing more."""
        limit = self.global_prefetch_count
        if limit == 0 or (len(self.unacked) < limit and self.tx is None):
            return False
        # What basic.get took does not count (observed: 3.10.8), what is acknowledged in a
        # transaction does until commit.
        held = sum(entry[3] is not None for entry in self.unacked.values())
        if self.tx is not None:
            held += sum(entry[3] is not None for _, entry, _ in self.tx.settled)
        return held >= limit

    def offer_again(self) -> None:
        """Its consumers may be able to take messages again, those that wait longest first.

        Their queues are served from another one on each time, so that none with a long backlog
        takes all the room there ever is (RabbitMQ: rabbit_limiter, notify_queues).
        """
        stopped, self.stopped = self.stopped, {}
        for consumer in (*stopped, *self.consumers.values()):
            consumer.queue.offer_again(consumer)
        queues = list(dict.fromkeys(consumer.queue for consumer in self.consumers.values()))
        self._offers += 1
        first = self._offers % len(queues) if queues else 0
        for queue in queues[first:] + queues[:first]:
            if queue.ready_count and not queue.deleted:
                queue.drain()

    def set_prefetch(self, count: int, *, for_channel: bool) -> None:
        """basic.qos: for consumers started later, or for the channel as a whole.

        The former ends the latter (observed: 3.10.8; rabbit_channel: unlimit_prefetch).
        """
        limit = count if for_channel else 0
        if not for_channel:
            self.prefetch_count = count
        if limit or self.global_prefetch_count:
            self.global_prefetch_count = limit
            for consumer in self.consumers.values():
                consumer.limited = consumer.prefetch != 0 or limit != 0
            for hold in self.remotes.values():
                hold.limit(limit)
            self.offer_again()

    # -- modes --------------------------------------------------------------------------------

    def select_confirm(self) -> None:
        if self.tx is not None:
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED, "cannot switch from tx to confirm mode"
            )
        if self.confirms is None:
            self.confirms = Confirms(
                self.number, self.outlet, self.vhost.waiting.add, self.vhost.tickets
            )

    def select_tx(self) -> None:
        if self.confirms is not None:
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED, "cannot switch from confirm to tx mode"
            )
        if self.tx is None:
            self.tx = Transaction()

    def _transaction(self) -> Transaction:
        if self.tx is None:
            raise ChannelError(ReplyCode.PRECONDITION_FAILED, "channel is not transactional")
        return self.tx

    def commit(self, done: Callable[[ChannelError | None], None]) -> None:
        """Publish and settle what was put off; done once it is on disc.

        What a full queue rejected makes an error of it, though the rest is done (as 3.10.8).
        """
        tx = self._transaction()
        self.tx = Transaction()
        results = [publish() for publish in tx.publishes]
        # Room that acks make is used after commit-ok, at the end of the turn (as 3.10.8).
        self.committed += [(entry, how) for _, entry, how in tx.settled]
        self.vhost.turn.confirms.append(self._apply_committed)
        tickets = self.vhost.tickets

        def ended(settled: Sequence[int]) -> None:
            failed = None
            if min(settled, default=0) < 0:
                failed = ChannelError(ReplyCode.PRECONDITION_FAILED, "partial tx completion")
            self.vhost.when_durable(max(settled, default=0), lambda: done(failed))

        tickets.each(results, ended)

    def _apply_committed(self) -> None:
        committed, self.committed = self.committed, []
        self._apply(committed)

    def rollback(self) -> None:
        """Drop the publishes; deliveries are unacknowledged again."""
        tx = self._transaction()
        self.tx = Transaction()
        if tx.settled:
            self.unacked.update((tag, entry) for tag, entry, _ in tx.settled)
            self.unacked = dict(sorted(self.unacked.items()))

    # -- the end ------------------------------------------------------------------------------

    def stop_consuming(self) -> None:
        """Take nothing more from any queue; `close` follows.

        A connection that ends stops all its channels first: what one of them hands back must not
        go to another one that is about to close, where a consumer without acks would lose it.
        """
        for consumer in self.consumers.values():
            consumer.queue.remove_consumer(consumer)

    def close(self) -> None:
        """Consumers go, what is unacknowledged goes back, an open transaction is rolled back."""
        if self.tx is not None:
            self.rollback()
            self.tx = None
        if self.confirms is not None:
            self.confirms.close()
        if self.reply_consumer is not None:
            self.reply_consumer.close()
            self.reply_consumer = None
        self.stop_consuming()
        consumers, self.consumers = self.consumers, {}
        self.global_prefetch_count = 0
        self._hand_back("lost")
        for consumer in consumers.values():
            self.vhost.consumer_gone(consumer.queue)
        self.connection.channels.pop(self.number, None)
        remotes, self.remotes = self.remotes, {}
        for hold in remotes.values():
            hold.close()
        self.vhost.broker.census_changed()
        if self.vhost.events.listeners:
            self.vhost.events.channel_closed(self)


def _unknown_tag(delivery_tag: int) -> ChannelError:
    return ChannelError(ReplyCode.PRECONDITION_FAILED, f"unknown delivery tag {delivery_tag}")
