"""What happens to the broker's entities, told to whoever listens: one table of events.

Decides what an event is called and what is told of it, in which order and form (observed: 3.10.8,
consume_event_stream and rabbitmq_event_exchange). Never decides that something happens: whoever
does it tells, after it is done, and asks first whether anybody listens, so that nothing is made for
nobody. Listeners are called at once, in the middle of what goes on: they note and act later.

Not told: RabbitMQ's marks of exchanges that it is about to delete, which it keeps among parameters,
and its second consumer.deleted when a queue goes with its consumers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from mqd.amqp.fields import Field, Table
from mqd.amqp.terms import format_binary, format_field
from mqd.clock import Clock
from mqd.names import NodeName, Pid

if TYPE_CHECKING:
    from mqd.broker.channel import Channel
    from mqd.broker.consumers import Consumer
    from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.queues.base import Queue

Facts = list[tuple[str, Field]]  # a name may come twice
Listener = Callable[[str, Facts], None]  # what the event is called, what is told of it

CLI: Final = "rmq-cli"  # who did it, when no client did: a tool
INTERNAL: Final = "rmq-internal"  # or the broker by itself


def text(value: str) -> Field:
    return ("longstr", value.encode("utf-8", "surrogateescape"))


def number(value: int) -> Field:
    return ("long", value)


def flag(value: bool) -> Field:
    return ("bool", value)


def texts(values: Iterable[str]) -> Field:
    return ("array", [text(value) for value in values])


def arguments(table: Table) -> Field:
    """A field table as an Erlang programmer would print it, an entry each."""
    return texts(
        f"{{{format_binary(name.encode('utf-8', 'surrogateescape'))},"
        f"{field[0]},{format_field(field)}}}"
        for name, field in table.items()
    )


def json_value(value: Any) -> Field:
    """A value of a runtime parameter."""
    if isinstance(value, bool):
        return flag(value)
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return ("double", value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return ("table", {name: json_value(part) for name, part in value.items()})
    if isinstance(value, list):
        return ("array", [json_value(part) for part in value])
    return text("null")


def _address(host: str) -> Field:
    """{127,0,0,1}, as Erlang holds an address."""
    import ipaddress

    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        return text(host)
    parts: Iterable[int] = packed
    if len(packed) > 4:
        parts = (packed[i] << 8 | packed[i + 1] for i in range(0, len(packed), 2))
    return text(f"{{{','.join(map(str, parts))}}}")


class Events:
    """Of one broker. listeners is empty where nobody listens: ask it before you tell anything.

    actor: who does what is being done. wakes: called before the first listener comes.
    """

    def __init__(self, node: NodeName, clock: Clock) -> None:
        self.listeners: tuple[Listener, ...] = ()
        self.actor = CLI
        self.wakes: Callable[[], None] = lambda: None
        self._node = node
        self._clock = clock

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear every event from now on. Returns how to stop that."""
        if not self.listeners:
            self.wakes()
        self.listeners = (*self.listeners, listener)

        def unsubscribe() -> None:
            self.listeners = tuple(one for one in self.listeners if one is not listener)

        return unsubscribe

    @contextlib.contextmanager
    def by(self, actor: str) -> Iterator[None]:
        """What is done meanwhile is that one's doing."""
        before, self.actor = self.actor, actor
        try:
            yield
        finally:
            self.actor = before

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """What is done meanwhile is nobody's business: nothing has changed for clients."""
        before, self.listeners = self.listeners, ()
        try:
            yield
        finally:
            self.listeners = before

    def tell(self, event: str, facts: Facts) -> None:
        """It has happened just now."""
        facts.append(("timestamp_in_ms", number(self._clock.wall_ms())))
        for listener in self.listeners:
            listener(event, facts)

    def done(self, event: str, facts: Facts, actor: str = "") -> None:
        """The same of what somebody did."""
        self.tell(event, [("user_who_performed_action", text(actor or self.actor)), *facts])

    # -- topology -----------------------------------------------------------------------------

    def exchange_created(self, made: ExchangeDefinition) -> None:
        self.done(
            "exchange.created",
            [
                ("policy", text("")),
                ("arguments", arguments(made.arguments)),
                ("internal", flag(made.internal)),
                ("auto_delete", flag(made.auto_delete)),
                ("durable", flag(made.durable)),
                ("type", text(made.type)),
                ("name", text(made.name)),
                ("vhost", text(made.vhost)),
            ],
        )

    def queue_created(self, queue: Queue) -> None:
        made = queue.definition
        exclusive = ("exclusive", flag(made.exclusive))
        given = ("arguments", arguments(made.arguments))
        kind = ("type", text(f"rabbit_{queue.kind}_queue"))
        owner = ("owner_pid", text(queue.owner.pid if queue.owner is not None else ""))
        first = {"quorum": [given, kind, exclusive], "stream": [kind, given]}
        self.done(
            "queue.created",
            [
                *first.get(queue.kind, [exclusive, owner, given]),
                ("auto_delete", flag(made.auto_delete)),
                ("durable", flag(made.durable)),
                ("name", text(made.name)),
                ("vhost", text(made.vhost)),
            ],
        )

    def deleted(self, kind: str, vhost: str, name: str) -> None:
        """An exchange or a queue."""
        self.done(f"{kind}.deleted", [("name", text(name)), ("vhost", text(vhost))])

    def binding(self, event: str, binding: BindingDefinition) -> None:
        """Created or deleted."""
        self.done(
            f"binding.{event}",
            [
                ("vhost", text(binding.vhost)),
                ("arguments", arguments(dict(sorted(binding.arguments.items())))),
                ("routing_key", text(binding.binding_key)),
                ("destination_kind", text(binding.destination_kind)),
                ("destination_name", text(binding.destination)),
                ("source_kind", text("exchange")),
                ("source_name", text(binding.source)),
            ],
        )

    # -- clients ------------------------------------------------------------------------------

    def authentication(
        self,
        user: str,
        refusal: str | None,
        mechanism: str,
        protocol: tuple[int, ...],
        name: str,
        peer: tuple[str, int],
    ) -> None:
        """Somebody logs in, who may be heard or not; refusal: why not."""
        if not self.listeners:
            return
        facts: Facts = [
            ("ssl", flag(False)),
            ("auth_mechanism", text(mechanism)),
            ("protocol", text(f"{{{','.join(map(str, protocol))}}}")),
            ("peer_port", number(peer[1])),
            ("peer_host", _address(peer[0])),
            ("connection_name", text(name)),
            ("host", _address(peer[0])),
            ("name", text(user)),
            ("connection_type", text("network")),
        ]
        if refusal is None:
            self.tell("user.authentication.success", facts)
        else:
            letters = [number(ord(letter)) for letter in refusal]
            self.tell("user.authentication.failure", [("error", ("array", letters)), *facts])

    def connection_created(self, entry: ConnectionEntry) -> None:
        nothing = text("")
        self.done(
            "connection.created",
            [
                ("node", text(self._node)),
                ("connected_at", number(entry.connected_at)),
                ("client_properties", arguments(entry.client_properties)),
                ("channel_max", number(entry.channel_max)),
                ("frame_max", number(entry.frame_max)),
                ("timeout", number(entry.timeout)),
                ("vhost", text(entry.vhost.name)),
                ("user", text(entry.user.name)),
                ("protocol", text(f"{{{','.join(map(str, entry.protocol))}}}")),
                ("ssl_hash", nothing),
                ("ssl_cipher", nothing),
                ("ssl_key_exchange", nothing),
                ("ssl_protocol", nothing),
                ("auth_mechanism", text(entry.auth_mechanism)),
                ("peer_cert_validity", nothing),
                ("peer_cert_issuer", nothing),
                ("peer_cert_subject", nothing),
                ("ssl", flag(False)),
                ("peer_host", _address(entry.peer_host)),
                ("host", _address(entry.host)),
                ("peer_port", number(entry.peer_port)),
                ("port", number(entry.port)),
                ("name", text(entry.name)),
                ("pid", text(entry.pid)),
                ("type", text("network")),
                *_given_name(entry.client_properties),
            ],
            entry.user.name,
        )

    def connection_closed(self, pid: Pid, name: str, client_properties: Table) -> None:
        """Also one that was never open, but had said what client it is."""
        self.tell(
            "connection.closed",
            [
                ("client_properties", arguments(client_properties)),
                ("node", text(self._node)),
                ("pid", text(pid)),
                ("name", text(name)),
                *_given_name(client_properties),
            ],
        )

    def channel_created(self, channel: Channel) -> None:
        connection = channel.connection
        self.done(
            "channel.created",
            [
                ("vhost", text(channel.vhost.name)),
                ("user", text(channel.user.name)),
                ("number", number(channel.number)),
                ("connection", text(connection.pid)),
                ("name", text(f"{connection.name} ({channel.number})")),
                ("pid", text(channel.pid)),
            ],
            channel.user.name,
        )

    def channel_closed(self, channel: Channel) -> None:
        self.done("channel.closed", [("pid", text(channel.pid))], channel.user.name)

    def consumer_created(self, consumer: Consumer) -> None:
        channel = consumer.channel
        self.done(
            "consumer.created",
            [
                ("arguments", arguments(consumer.arguments)),
                ("prefetch_count", number(channel.prefetch_count)),
                ("queue", text(consumer.queue.name)),
                ("vhost", text(channel.vhost.name)),
                ("channel", text(channel.pid)),
                ("ack_required", flag(not consumer.no_ack)),
                ("exclusive", flag(consumer.exclusive)),
                ("consumer_tag", text(consumer.tag)),
            ],
            channel.user.name,
        )

    def consumer_deleted(self, consumer: Consumer) -> None:
        channel = consumer.channel
        self.done(
            "consumer.deleted",
            [
                ("queue", text(consumer.queue.name)),
                ("vhost", text(channel.vhost.name)),
                ("channel", text(channel.pid)),
                ("consumer_tag", text(consumer.tag)),
            ],
            INTERNAL if consumer.queue.kind == "quorum" else channel.user.name,
        )

    # -- the node -----------------------------------------------------------------------------

    def alarm(self, source: str, on: bool) -> None:
        """Publishers are blocked by it, or no more."""
        event = "alarm.set" if on else "alarm.cleared"
        self.tell(event, [("node", text(self._node)), ("source", text(source))])

    def plugins_changed(self, started: Iterable[str], stopped: Iterable[str]) -> None:
        self.tell("plugins.changed", [("disabled", texts(stopped)), ("enabled", texts(started))])


def _given_name(client_properties: Table) -> Facts:
    given = client_properties.get("connection_name")
    if given is None or given[0] != "longstr":
        return []
    return [("user_provided_name", given)]
