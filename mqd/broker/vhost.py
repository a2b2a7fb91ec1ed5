"""A virtual host: its exchanges, queues and bindings, and what changes when one of them does.

Decides how entities appear, disappear and take others with them (a queue's bindings, an
auto-delete exchange after its last binding, an exclusive queue with its connection), and holds the
one counter that tells every resolved publish that something changed. Never checks a client's
request: that is `mqd.broker.topology`. Never writes to disc: durable changes arrive here, already
permanent or on the way, by `apply_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from mqd.amqp.replies import AmqpError
from mqd.auth.patterns import found_in
from mqd.auth.permissions import Kind
from mqd.auth.users import User
from mqd.broker.bindings import BindingTable
from mqd.broker.cascade import Cascade
from mqd.broker.confirms import Confirms
from mqd.broker.consumers import Consumer
from mqd.broker.dead_letter import DeadLetters
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.delays import Delays, Keeper
from mqd.broker.events import INTERNAL
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Taker
from mqd.broker.exchanges.registry import make_exchange
from mqd.broker.headers import routing_keys
from mqd.broker.homes import Done
from mqd.broker.message import Message
from mqd.broker.moving import Move, is_kept_otherwise, move
from mqd.broker.ports import MessageStore
from mqd.broker.queues.base import Queue
from mqd.broker.queues.registry import KINDS
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.queues.remote_kinds import REMOTE
from mqd.broker.queues.sharded import SHARDED, Sharded
from mqd.broker.routing import Found, route
from mqd.broker.tickets import TICKETS, Tickets
from mqd.broker.tracing import Tracer
from mqd.names import Resource
from mqd.policies.applied import Applied
from mqd.policies.book import Book
from mqd.policies.model import REFUSED_BY, Policy

if TYPE_CHECKING:
    from mqd.broker.broker import Broker
    from mqd.broker.channel import Channel
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.reply import ReplyConsumer


class VHost:
    """A live virtual host."""

    def __init__(self, name: str, broker: Broker, store: MessageStore) -> None:
        self.name = name
        self.broker = broker
        self.store = store
        self.spool = broker.spool
        self.settings = broker.settings
        self.turn = broker.turn
        self.events = broker.events
        self.alarms = broker.alarms
        self.replies: dict[str, ReplyConsumer] = broker.replies
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.bindings = BindingTable()
        self.cascade = Cascade(self)
        self.tickets = Tickets(self.when_durable)
        self.dead_letters = DeadLetters(self)
        self.delays = Delays(self)
        self.version = 0  # moves with everything a resolved publish depends on
        self.tracing = name in broker.traced  # `tracer.switch` changes it
        self.tracer = Tracer(self)
        self.policies = Book(found_in)
        self.limits: Mapping[str, int] = {}  # max-connections, max-queues: numbers
        self.default_queue_type: str | None = None  # of queues that are declared without one
        self.waiting: set[Confirms] = set()
        self.pressing: list[Callable[[], None]] = []  # who reads on when the store has room
        # in the store, of queues whose messages should be in a shard: the node ended on the way
        self.left_behind: dict[int, list[tuple[Message, bool]]] = {}
        self.moves: set[Move] = set()  # of messages of queues that are kept otherwise by now
        self._deleting: dict[str, list[Consumer]] = {}  # consumers to tell when it is done
        self._when_durable: list[tuple[int, Callable[[], None]]] = []
        store.on_durable = self.on_durable
        store.on_relief = self.on_relief
        self.apply_put_exchange(ExchangeDefinition(name, "", "direct"))

    def connections(self) -> Iterator[ConnectionEntry]:
        return (entry for entry in self.broker.connections.values() if entry.vhost is self)

    def holders(self) -> Iterator[ConnectionEntry]:
        """The same, and what other nodes' channels have here."""
        yield from self.connections()
        yield from (entry for entry in self.broker.served if entry.vhost is self)

    # -- permissions --------------------------------------------------------------------------

    def require(self, user: User, resource: Resource, permission: Kind) -> None:
        """Raise ChannelError 403 unless the user has configure, write or read on it."""
        self.broker.auth.require(user.name, resource, permission)

    def require_topic(self, user: User, exchange: str, permission: Kind, routing_key: str) -> None:
        """The same for a routing key of a topic exchange."""
        self.broker.auth.require_topic(user.name, self.name, exchange, permission, routing_key)

    # -- durability ---------------------------------------------------------------------------

    def on_durable(self) -> None:
        """The store has more on disc: confirms and commits that waited for it go out."""
        mark = self.store.durable_batch
        for confirms in list(self.waiting):
            if not confirms.durable(mark):
                self.waiting.discard(confirms)
        if self._when_durable:
            due = [call for batch, call in self._when_durable if batch <= mark]
            self._when_durable = [pair for pair in self._when_durable if pair[0] > mark]
            for call in due:
                call()
        self.turn.end()

    def on_relief(self) -> None:
        """The store can take more: those who publish are read again."""
        pressing, self.pressing = self.pressing, []
        for read_on in pressing:
            read_on()
        self.turn.end_soon()

    def when_durable(self, batch: int, call: Callable[[], None]) -> None:
        """Call once everything up to this batch is on disc, or the ticket has ended, well or
        badly; at once when it is so already."""
        if batch <= self.store.durable_batch:
            call()
        elif batch >= TICKETS:
            self.tickets.wait(batch, lambda accepted: call())
        else:
            self._when_durable.append((batch, call))

    # -- exchanges ----------------------------------------------------------------------------

    def apply_put_exchange(self, definition: ExchangeDefinition) -> None:
        found = self.exchanges.get(definition.name)
        if found is not None and definition.durable and not found.definition.durable:
            self.replace_exchange(definition)  # nobody knew of that one where it was declared
        elif found is None:
            exchange = self.make_exchange(definition)
            exchange.policy = self.policies.applied("exchange", definition.name)
            self.exchanges[definition.name] = exchange
            self.version += 1
            if self.events.listeners:
                self.events.exchange_created(definition)

    def make_exchange(self, definition: ExchangeDefinition) -> Exchange:
        """One of a type the broker has; `mqd.broker.exchanges.base: Surroundings`."""
        return make_exchange(definition, self.broker.exchange_types, self)

    def exchange_types_changed(self) -> None:
        """The broker has other types: exchanges whose type came or went are made anew, with their
        bindings; the others are left alone."""
        for old in list(self.exchanges.values()):
            new = self.make_exchange(old.definition)
            if type(new) is not type(old) or new.is_there != old.is_there:
                self._put_in_place(new)
        self.version += 1
        self.delays.look_again()

    def replace_exchange(self, definition: ExchangeDefinition) -> None:
        """It was declared elsewhere too, and that one counts; the bindings of both stay."""
        self._put_in_place(self.make_exchange(definition))
        self.version += 1

    def _put_in_place(self, new: Exchange) -> None:
        name = new.definition.name
        new.policy = self.exchanges[name].policy
        for binding in self.bindings.of_source(name):
            new.bind(binding)
        self.exchanges[name] = new

    def choose(self, count: int) -> int:
        """A random index below count, for an exchange."""
        return self.broker.random_index(count)

    def keeper(self, exchange: str, durable: bool) -> Taker:
        """What puts messages off for an exchange."""
        return Keeper(self.delays, exchange, durable)

    def deliver(self, destination: Destination, message: Offered) -> None:
        """Put a message into a queue, or have an exchange route it."""
        kind, name = destination
        if kind == "exchange":
            plain = Message(message.names, message.content)
            keys = [*routing_keys(plain.routing_key, plain.header), *plain.hidden_keys]
            found = route(self.exchanges, self.exchanges[name], keys, message)
        else:
            found = [name]
        queues = self.reach(found)
        self.dead_letters.publish(queues, message.names, message.content, message.persistent)

    def reach(self, found: Iterable[Found]) -> list[Taker]:
        """The queues of those names that are there and whose homes are not down, and whatever else
        takes messages."""
        queues = self.queues
        return [
            queues[one] if isinstance(one, str) else one
            for one in found
            if not isinstance(one, str) or (one in queues and queues[one].is_reachable)
        ]

    def apply_delete_exchange(self, name: str) -> None:
        """The exchange goes, and the bindings on both sides of it."""
        if name not in self.exchanges:
            return
        outgoing = self.bindings.of_source(name) if self.events.listeners else ()
        self.bindings.remove_source(name)
        incoming = self.bindings.remove_destination("exchange", name)
        del self.exchanges[name]
        if self.events.listeners:
            self.events.deleted("exchange", self.name, name)
            for binding in outgoing:
                self.events.binding("deleted", binding)
        self._unbound(incoming)

    # -- queues -------------------------------------------------------------------------------

    def apply_put_queue(
        self, definition: QueueDefinition, owner: ConnectionEntry | None = None
    ) -> Queue:
        found = self.queues.get(definition.name)
        if found is None:
            found = self._make_queue(definition, owner)
            self.queues[definition.name] = found
            if owner is not None:
                owner.exclusive_queues.append(found)
            self.version += 1
            if self.events.listeners:
                self.events.queue_created(found)
        elif found.definition.id == definition.id and found.definition != definition:
            is_kept_otherwise = found.definition.shard != definition.shard
            found.redefine(definition)
            if is_kept_otherwise:
                found = self.rehome(definition.name) or found
        return found

    def _make_queue(self, definition: QueueDefinition, owner: ConnectionEntry | None) -> Queue:
        """It, or what stands for it."""
        policy = self.policy_of(definition)
        pid = self.broker.pids.new()
        home = self.broker.homes.elsewhere(definition) if owner is None else None
        if home is None:
            shared = self.broker.shared_store(self, definition)
            if shared is not None:
                return SHARDED[definition.type](definition, self, pid, owner, policy, shared)
            return KINDS[definition.type](definition, self, pid, owner, policy)
        return REMOTE[definition.type](definition, self, pid, owner, policy, home)

    def rehome(self, name: str) -> Queue | None:
        """A queue may live on another node than before: it, or what stands for it, takes the place
        of what was there, with the consumers that are here. Returns the new one, None when nothing
        changed kind. The caller ends the turn.

        What the old one's consumers hold is settled with the old one, which has nothing to say any
        more: its messages come again from where they are kept.
        """
        old = self.queues.get(name)
        if old is None:
            return None
        new = self._rehome(old)
        queue = new or old
        if queue.definition.id in self.left_behind and queue.is_reachable and queue.home:
            Move(self, self.store, self.left_behind.pop(queue.definition.id), queue)
        return new

    def _rehome(self, old: Queue) -> Queue | None:
        home = self.broker.homes.elsewhere(old.definition)
        if isinstance(old, RemoteQueue):
            if home is not None:
                old.moved(home)
                return None
        elif home is None and isinstance(old, Sharded) == self._is_shared(old.definition):
            return None
        new = self._make_queue(old.definition, old.owner)
        return self.replace_queue(old, new)

    def _is_shared(self, definition: QueueDefinition) -> bool:
        return self.broker.shared_store(self, definition) is not None

    def replace_queue(self, old: Queue, new: Queue) -> Queue:
        """Of the same definition: see `rehome`."""
        consumers = list(old.consumers)
        pending = old.take_pending() if isinstance(old, RemoteQueue) else []
        waiting = old.take_waiting() if isinstance(old, RemoteQueue) else []
        with self.events.silent():
            for consumer in consumers:
                old.remove_consumer(consumer)
        old.deleted = True
        self.broker.deadlines.gone(old)
        self.queues[new.name] = new
        self.version += 1
        if is_kept_otherwise(old, new) and not isinstance(new, RemoteQueue):
            move(self, old, new)
        for ticket, kept in pending:
            result = new.publish_once(self.broker.origin, ticket, *kept)
            self.tickets.follow(ticket, result)
        with self.events.silent():
            for consumer in consumers:
                if consumer.channel.is_served:  # its own node asks the new home
                    consumer.channel.consumers.pop(consumer.tag, None)
                    continue
                consumer.active, consumer.waiting = True, False
                consumer.queue = new
                new.add_consumer(consumer)
        for again in waiting:
            again()
        if isinstance(new, RemoteQueue):
            if isinstance(old, Sharded):
                new.adopt(old.pending())
            new.found()
            if is_kept_otherwise(old, new):
                move(self, old, new)
        else:
            new.drain()
        if not new.is_remote:
            self.broker.homes.here(new.definition)
        return new

    def apply_delete_queue(self, name: str) -> None:
        """The queue goes with its messages, bindings and consumers (who are told)."""
        queue = self.queues.pop(name, None)
        if queue is None:
            return
        queue.deleted = True
        queue.discard()
        self.broker.deadlines.gone(queue)
        told_later = self._deleting.get(name)
        for consumer in list(queue.consumers):
            queue.remove_consumer(consumer)
            consumer.channel.consumers.pop(consumer.tag, None)
            if told_later is None:
                self.broker.tell_cancelled(consumer)
            else:
                told_later.append(consumer)
        if queue.owner is not None:
            queue.owner.exclusive_queues.remove(queue)
        self._unbound(self.bindings.remove_destination("queue", name))
        if self.events.listeners:
            self.events.deleted("queue", self.name, name)

    def delete_queue(self, queue: Queue, done: Callable[[Exception | None], None]) -> None:
        """Delete a queue of either kind; done when that is permanent.

        Its consumers hear of it after whoever deleted it, at the end of the turn: a client that
        consumes from what it deletes waits for delete-ok first (observed: 3.10.8).
        """
        if isinstance(queue, RemoteQueue) and not queue.durable:
            self.delete_remote_queue(
                queue, None, 0, lambda it: done(it if isinstance(it, AmqpError) else None)
            )
            return
        finished = self._tell_later(queue, done)
        if queue.durable:
            self.broker.topology.delete_queue(queue.definition, finished)
        else:
            self.apply_delete_queue(queue.name)
            self.broker.homes.gone(queue.definition, lambda: finished(None))

    def _tell_later(self, queue: Queue, done: Done) -> Done:
        cancelled = self._deleting.setdefault(queue.name, [])

        def finished(result: object) -> None:
            self._deleting.pop(queue.name, None)
            self.turn.confirms += [partial(self.broker.tell_cancelled, one) for one in cancelled]
            done(result)

        return finished

    def delete_remote_queue(
        self, queue: RemoteQueue, channel: Channel | None, flags: int, done: Done
    ) -> None:
        """Have its home delete it; done(how many messages went, or AmqpError). flags: as
        `mqd.broker.homes` has them. Its consumers hear of it later, as above."""
        finished = self._tell_later(queue, done)
        queue.ask(
            channel, lambda home, then: home.ask(channel, queue, "delete", flags, then), finished
        )

    def consumer_gone(self, queue: Queue) -> None:
        """A consumer was cancelled or its channel closed: auto-delete goes with the last."""
        if (
            queue.definition.auto_delete
            and queue.had_consumer
            and not queue.consumers
            and not queue.deleted
            and not queue.is_remote
        ):
            with self.events.by(INTERNAL):
                self.delete_queue(queue, _ignore)

    # -- bindings -----------------------------------------------------------------------------

    def is_durable(self, binding: BindingDefinition) -> bool:
        """A binding lives over a restart when both its ends do."""
        if not self.exchanges[binding.source].definition.durable:
            return False
        if binding.destination_kind == "queue":
            return self.queues[binding.destination].durable
        return self.exchanges[binding.destination].definition.durable

    def apply_put_binding(self, binding: BindingDefinition) -> None:
        source = self.exchanges.get(binding.source)
        if source is not None and self.bindings.add(binding):
            source.bind(binding)
            self.version += 1
            if self.events.listeners:
                self.events.binding("created", binding)

    def apply_delete_binding(self, binding: BindingDefinition) -> None:
        if self.bindings.remove(binding):
            self._unbound([binding])

    def _unbound(self, removed: list[BindingDefinition]) -> None:
        """Bindings left the table: exchanges forget them, auto-delete ones may go."""
        self.version += 1
        for binding in removed:
            if self.events.listeners:
                self.events.binding("deleted", binding)
            source = self.exchanges.get(binding.source)
            if source is not None:
                source.unbind(binding)
        self.cascade.after(removed)

    # -- policies -----------------------------------------------------------------------------

    def apply_policy(self, component: str, name: str, policy: Policy | None) -> None:
        """A policy or operator policy is another now, or gone (None): what it matches follows.

        The caller ends the turn: messages may expire or be dead-lettered by it.
        """
        if policy is None:
            self.policies.remove(component, name)
        else:
            self.policies.put(component, policy)
        self.version += 1
        for exchange in self.exchanges.values():
            exchange.policy = self.policies.applied("exchange", exchange.name)
        for queue in list(self.queues.values()):
            applied = self.policy_of(queue.definition)
            if applied != queue.policy:
                queue.apply_policy(applied)

    def policy_of(self, definition: QueueDefinition) -> Applied | None:
        """What applies to a queue, be it there or not."""
        refused = REFUSED_BY.get(definition.type, ())
        return self.policies.applied("queue", definition.name, refused, definition.type)

    # -- the end ------------------------------------------------------------------------------

    def connection_gone(self, entry: ConnectionEntry) -> None:
        """Its exclusive queues go with it."""
        with self.events.by(INTERNAL):
            for queue in list(entry.exclusive_queues):
                self.apply_delete_queue(queue.name)
                self.broker.homes.gone(queue.definition, lambda: None)


def _ignore(error: Exception | None) -> None:
    """Nobody waits for this one."""
    del error
