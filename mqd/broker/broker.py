"""The broker application of one node: its virtual hosts and connections.

Decides who may open what, keeps alarms, and hands applied changes to the virtual host they belong
to. Never reads a socket or a file; whoever composes it gives it ports (`mqd.broker.ports`).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping

from pamqp import commands

from mqd.amqp.codec import encode_method
from mqd.amqp.outlet import Turn
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.auth.access import Access
from mqd.auth.users import User
from mqd.broker.channel import Channel
from mqd.broker.consumers import Consumer
from mqd.broker.deadlines import Deadlines
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.delays import QUEUE_ID as DELAYED
from mqd.broker.entries import ConnectionEntry
from mqd.broker.events import Events
from mqd.broker.exchanges.registry import BUILT_IN, Registry
from mqd.broker.held import Holdings
from mqd.broker.homes import Flow, Here, Homes
from mqd.broker.ports import ALONE, Elsewhere, MessageStore, SharedStore, Spool, Topology
from mqd.broker.queues.base import Queue
from mqd.broker.reply import ReplyConsumer
from mqd.broker.room import Room
from mqd.broker.settings import Settings
from mqd.broker.shelf import Shelf
from mqd.broker.vhost import VHost
from mqd.clock import Clock
from mqd.names import NodeName, Pid, PidSource
from mqd.policies.limits import MAX_CHANNELS, MAX_CONNECTIONS, limit_reached
from mqd.policies.model import Policy


class Broker:
    """See the file's charter. `alarms` holds the reasons publishers are blocked for, `alarmed` the
    members of the cluster that have each of them."""

    def __init__(
        self,
        node: NodeName,
        pids: PidSource,
        clock: Clock,
        auth: Access,
        topology: Topology,
        open_store: Callable[[str], MessageStore],
        spool: Spool,
        settings: Settings,
        turn: Turn | None = None,
        exchange_types: Registry = BUILT_IN,
        traced: set[str] | None = None,
    ) -> None:
        self.node = node
        self.pids = pids
        self.clock = clock
        self.events = Events(node, clock)
        self.auth = auth
        self.topology = topology
        self.spool = spool
        self.room = Room()
        self.shelf = Shelf(spool)
        self.settings = settings
        self.exchange_types = exchange_types
        self._types_gone: set[str] = set()  # those that were there once
        # names of vhosts with tracing on; the caller's outlives this broker
        self.traced = traced if traced is not None else set()
        self.turn = turn if turn is not None else Turn()
        limit_bytes = settings.queue_memory_bytes_max
        self.holdings = Holdings(self.room, self.shelf, limit_bytes, self.turn)
        self.vhosts: dict[str, VHost] = {}
        self.connections: dict[Pid, ConnectionEntry] = {}
        self.alarms: set[str] = set()
        self.alarmed: dict[str, set[str]] = {}
        self.elsewhere: Elsewhere = ALONE
        # what the other members are told of: how many clients there are, which alarms this node has
        self.census_changed: Callable[[], None] = lambda: None
        self.alarms_changed: Callable[[], None] = lambda: None
        self.homes: Homes = Here()  # whoever joins a cluster sets it to something that knows more
        self.flow = Flow()
        # where the messages of a queue that lives here are kept, if not in its vhost's store
        self.shared_store: Callable[[VHost, QueueDefinition], SharedStore | None] = _unshared
        self.served: set[ConnectionEntry] = set()  # that stand for channels of other nodes
        self.origin = secrets.token_bytes(8)  # of messages that this process numbers
        self.replies: dict[str, ReplyConsumer] = {}
        self.timed: set[Queue] = set()  # those for which time matters
        # whoever drives the broker may set it to something that calls `fire` at that time; else
        # delayed messages wait for the next tick
        self.wake_at: Callable[[int], None] = lambda now_ms: None
        self.deadlines = Deadlines(lambda due_ms: self.wake_at(due_ms))
        self.follows = False
        self.ending = False  # clients are sent away: what is on disc stays there
        self._open_store = open_store
        self._transient_id = 0
        self._recovered = False

    # -- connections --------------------------------------------------------------------------

    def open_vhost(self, name: str, user: User) -> VHost:
        """The virtual host a connection asks for. Raises ConnectionError_ 530."""
        limit = self.settings.connection_max
        if limit and len(self.connections) >= limit:
            raise ConnectionError_(
                ReplyCode.NOT_ALLOWED,
                f"connection refused: node connection limit ({limit}) is reached",
            )
        vhost = self.vhosts.get(name)
        if vhost is None:
            raise ConnectionError_(ReplyCode.NOT_ALLOWED, f"vhost {name} not found")
        self._check_connection_limits(vhost, user.name)
        if not self.auth.vhost_allowed(user.name, name):
            raise ConnectionError_(
                ReplyCode.NOT_ALLOWED, f"access to vhost '{name}' refused for user '{user.name}'"
            )
        return vhost

    def _check_connection_limits(self, vhost: VHost, user: str) -> None:
        """The vhost's first; permissions come after both (observed: 3.10.8)."""
        if vhost.limits:
            limit = limit_reached(
                vhost.limits,
                MAX_CONNECTIONS,
                sum(1 for _ in vhost.connections()) + self.elsewhere.in_vhost(vhost.name),
            )
            if limit is not None:
                raise ConnectionError_(
                    ReplyCode.NOT_ALLOWED,
                    f"access to vhost '{vhost.name}' refused for user '{user}': "
                    f"connection limit ({limit}) is reached",
                )
        limits = self.auth.limits_of(user)
        if limits:
            count = sum(entry.user.name == user for entry in self.connections.values())
            count += self.elsewhere.of_user(user)
            limit = limit_reached(limits, MAX_CONNECTIONS, count)
            if limit is not None:
                raise ConnectionError_(
                    ReplyCode.NOT_ALLOWED,
                    f"connection refused for user '{user}': user connection limit ({limit}) is "
                    "reached",
                )

    def _check_channel_limit(self, user: str) -> None:
        limits = self.auth.limits_of(user)
        if limits:
            count = sum(
                len(entry.channels)
                for entry in self.connections.values()
                if entry.user.name == user
            ) + self.elsewhere.channels_of_user(user)
            limit = limit_reached(limits, MAX_CHANNELS, count)
            if limit is not None:
                raise ConnectionError_(
                    ReplyCode.NOT_ALLOWED,
                    f"number of channels opened for user '{user}' has reached the maximum "
                    f"allowed user limit of ({limit})",
                    (0, 0),  # no method is named (observed: 3.10.8)
                )

    def add_connection(self, entry: ConnectionEntry) -> None:
        self.connections[entry.pid] = entry
        self.census_changed()
        if self.alarms:
            entry.state = "blocking"
        if self.events.listeners:
            self.events.connection_created(entry)

    def remove_connection(self, entry: ConnectionEntry) -> None:
        """The connection is gone, its channels were closed: exclusive queues go."""
        if self.connections.pop(entry.pid, None) is not None:
            self.census_changed()
            entry.vhost.connection_gone(entry)
            if self.events.listeners:
                self.events.connection_closed(entry.pid, entry.name, entry.client_properties)

    def open_channel(self, entry: ConnectionEntry, number: int) -> Channel:
        """Raises ConnectionError_ 530 when the user may have no more."""
        self._check_channel_limit(entry.user.name)
        channel = Channel(number, entry, self.pids.new())
        entry.channels[number] = channel
        self.census_changed()
        if self.events.listeners:
            self.events.channel_created(channel)
        return channel

    def tell_cancelled(self, consumer: Consumer) -> None:
        """Consumer cancel notification, to clients that understand it."""
        channel = consumer.channel
        if channel.connection.can("consumer_cancel_notify"):
            cancel = commands.Basic.Cancel(consumer.tag, True)
            channel.outlet.write(encode_method(channel.number, cancel))

    # -- alarms -------------------------------------------------------------------------------

    def set_alarm(self, name: str, on: bool, node: str | None = None) -> None:
        """Raise or clear a resource alarm, "memory" or "disk". node: the member that has it; None:
        this one.

        While one is on anywhere, a connection that publishes is read no further. The caller ends
        the turn.
        """
        nodes = self.alarmed.setdefault(name, set())
        before = bool(self.alarms)
        whose = node or self.node
        if on == (whose in nodes):
            return
        if on:
            nodes.add(whose)
        else:
            nodes.discard(whose)
        if whose == self.node:
            if self.events.listeners:
                self.events.alarm(name, on)
            self.alarms_changed()
        if nodes:
            self.alarms.add(name)
        else:
            self.alarms.discard(name)
        if bool(self.alarms) == before:
            return
        for vhost in self.vhosts.values():
            vhost.version += 1
        for entry in list(self.connections.values()):
            if self.alarms:
                entry.state = "blocking"
                entry.peer.alarmed()
            else:
                entry.release()

    # -- applied changes ----------------------------------------------------------------------

    def apply_put_vhost(self, name: str) -> None:
        if name not in self.vhosts:
            vhost = self.vhosts[name] = VHost(name, self, self._open_store(name))
            if self._recovered:
                _recover(vhost)

    def apply_policy(self, vhost: str, component: str, name: str, policy: Policy | None) -> None:
        """The caller ends the turn."""
        self.vhosts[vhost].apply_policy(component, name, policy)

    def apply_vhost_limits(self, vhost: str, limits: Mapping[str, int]) -> None:
        """What is over a limit already stays."""
        self.vhosts[vhost].limits = limits

    def apply_delete_vhost(self, name: str) -> None:
        """Its connections are closed, its transient entities go. The store is the caller's."""
        vhost = self.vhosts.pop(name, None)
        if vhost is None:
            return
        for entry in list(vhost.connections()):
            entry.close(ReplyCode.CONNECTION_FORCED, f"vhost '{name}' is deleted")
        for queue in list(vhost.queues):
            vhost.apply_delete_queue(queue)
        vhost.delays.discard()
        if self.events.listeners:
            for exchange in vhost.exchanges:
                self.events.deleted("exchange", name, exchange)
        self.traced.discard(name)

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """What is applied meanwhile was done on another node: that one tells of it, and sees to
        what goes with it."""
        before, self.follows = self.follows, True
        try:
            with self.events.silent():
                yield
        finally:
            self.follows = before

    def apply_put_exchange(self, definition: ExchangeDefinition) -> None:
        self.vhosts[definition.vhost].apply_put_exchange(definition)

    def apply_delete_exchange(self, vhost: str, name: str) -> None:
        self.vhosts[vhost].apply_delete_exchange(name)

    def apply_put_queue(self, definition: QueueDefinition) -> None:
        self.vhosts[definition.vhost].apply_put_queue(definition)

    def apply_delete_queue(self, vhost: str, name: str) -> None:
        self.vhosts[vhost].apply_delete_queue(name)

    def apply_put_binding(self, definition: BindingDefinition) -> None:
        self.vhosts[definition.vhost].apply_put_binding(definition)

    def apply_delete_binding(self, definition: BindingDefinition) -> None:
        self.vhosts[definition.vhost].apply_delete_binding(definition)

    def apply_access_changed(self) -> None:
        """Users or permissions changed: every resolved publish is checked again."""
        self.auth.changed()
        for vhost in self.vhosts.values():
            vhost.version += 1

    def use_exchange_types(self, types: Registry) -> None:
        """Plugins come and go: exchanges live up or fall silent. The caller ends the turn."""
        self._types_gone.update(self.exchange_types)
        self.exchange_types = types
        for vhost in self.vhosts.values():
            vhost.exchange_types_changed()
        self.fire(self.clock.monotonic_ms())

    def knows_exchange_type(self, type_name: str) -> bool:
        """Whether an exchange of that type is declared, or could once be."""
        return type_name in self._types_gone or any(
            exchange.definition.type == type_name
            for vhost in self.vhosts.values()
            for exchange in vhost.exchanges.values()
        )

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Expire messages and queues that nobody asks for; those asked for expire then. Look at
        what clients hold.

        Called about twice a second; now_ms is the monotonic clock. The caller ends the turn.
        """
        for queue in list(self.timed):
            if not queue.tick(now_ms):
                self.timed.discard(queue)
        self.holdings.look((*self.connections.values(), *self.served))
        self.fire(now_ms)

    def fire(self, now_ms: int) -> None:
        """Do what is due: expire, route delayed messages. The caller ends the turn."""
        self.deadlines.run(now_ms)
        if self.ending:
            return
        for vhost in list(self.vhosts.values()):
            vhost.delays.fire(now_ms)

    # -- recovery -----------------------------------------------------------------------------

    def recover(self) -> int:
        """Put the stored messages back into their queues; returns how many.

        Once, after the metadata was applied and before the first connection. Messages of queues
        that exist no more are settled. A virtual host added later is recovered when it appears.
        """
        self._recovered = True
        return sum(map(_recover, self.vhosts.values()))

    def remember_deliveries(self) -> None:
        """An orderly end, when all connections are gone: the stores are told which messages had
        been delivered, so that these come back with the redelivered flag and others without."""
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                for message in queue.take_delivered():
                    if message.stored:
                        vhost.store.mark_delivered(queue.definition.id, message)

    # -- identifiers --------------------------------------------------------------------------

    def transient_id(self) -> int:
        """An id for a queue that the store never hears of: negative, so that none is mixed up."""
        self._transient_id -= 1
        return self._transient_id

    def random_name(self) -> str:
        """22 url-safe characters, for server-named queues and consumer tags."""
        return secrets.token_urlsafe(16)

    def random_index(self, count: int) -> int:
        """A number below count that nobody can predict."""
        return secrets.randbelow(count)

    def random_key(self) -> bytes:
        """A secret that cannot be guessed, for a reply consumer."""
        return secrets.token_bytes(16)


def _unshared(vhost: VHost, definition: QueueDefinition) -> SharedStore | None:
    return None


def _recover(vhost: VHost) -> int:
    count = 0
    queues = {queue.definition.id: queue for queue in vhost.queues.values() if not queue.is_remote}
    elsewhere = {queue.definition.id: queue for queue in vhost.queues.values() if queue.is_remote}
    orphans: set[int] = set()
    for queue_id, message, delivered in vhost.store.recover():
        if queue_id == DELAYED:
            vhost.delays.recover(message)
            continue
        queue = queues.get(queue_id)
        if queue is None:
            other = elsewhere.get(queue_id)
            if other is None:  # those of others may be wanted when they live here again
                orphans.add(queue_id)
            elif other.definition.shard is not None:
                vhost.left_behind.setdefault(queue_id, []).append((message, True))
            continue
        queue.recover(message, delivered)
        count += 1
    for queue_id in orphans:
        vhost.store.settle_all(queue_id, ())
    return count
