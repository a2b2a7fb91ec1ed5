"""The firehose: copies of what a vhost is told and tells, at the exchange amq.rabbitmq.trace.

Decides what a copy looks like: its routing key (publish.EXCHANGE, deliver.QUEUE), its headers, the
body of the original. Copies of copies are not made (RabbitMQ: guide "Firehose Tracer"; observed:
3.10.8). Never asks whether tracing is on: whoever publishes does, on the path that is not the plain
one, and consumers are given another way to send while it is on, so that it costs nothing when off.

A copy of a publish is made before the message is delivered. Copies of deliveries are published at
the end of the turn, or before the next copy: while a queue serves its consumers it must not be
given a message from within.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from mqd.amqp import properties
from mqd.amqp.fields import Field, FieldError, Table
from mqd.amqp.replies import ChannelError
from mqd.broker import headers as said
from mqd.broker.consumers import Consumer
from mqd.broker.exchanges.base import Offered, Taker
from mqd.broker.message import Message, names_of, replace_header
from mqd.broker.queues.base import Queue
from mqd.broker.reply import PREFIX
from mqd.broker.routing import route
from mqd.limits import SHORTSTR_BYTES_MAX

if TYPE_CHECKING:
    from mqd.broker.channel import Channel
    from mqd.broker.vhost import VHost

TRACE_EXCHANGE = "amq.rabbitmq.trace"


class Tracer:
    """Makes the copies of one vhost."""

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._waiting: list[Callable[[], None]] = []

    def switch(self, on: bool) -> None:
        """From now on every message is copied, or none."""
        vhost = self._vhost
        vhost.tracing = on
        change = vhost.broker.traced.add if on else vhost.broker.traced.discard
        change(vhost.name)
        vhost.version += 1  # resolved publishes look at it once
        for entry in vhost.connections():
            for channel in entry.channels.values():
                for consumer in channel.consumers.values():
                    self.fit(consumer)

    def fit(self, consumer: Consumer) -> None:
        """Give a consumer the way of sending it needs now."""
        kind = type(consumer)
        if self._vhost.tracing != issubclass(kind, _Traced):
            consumer.__class__ = _traced(kind) if self._vhost.tracing else kind.__bases__[1]

    # -- what happens -------------------------------------------------------------------------

    def published(
        self, channel: Channel, names: bytes, content: bytes, takers: Iterable[Taker]
    ) -> None:
        """A channel has published a message; takers: where it is about to go."""
        message = Message(names, content)
        exchange = message.exchange
        if exchange != TRACE_EXCHANGE:
            self._flush()
            keys = _keys(message)
            if not exchange:
                routed = [] if keys[0].startswith(PREFIX) else keys
            else:
                routed = [taker.name for taker in takers if isinstance(taker, Queue)]
            last = {"routed_queues": _texts(sorted(set(routed)))}
            self._copy(f"publish.{exchange}", channel, message, keys, {}, last)

    def delivered(
        self, channel: Channel, queue: str, names: bytes, content: bytes, redelivered: bool
    ) -> None:
        """A channel is being sent a message from a queue."""
        message = Message(names, content)
        if message.exchange == TRACE_EXCHANGE:
            return
        flag: Table = {"redelivered": ("signedint", int(redelivered))}
        if not self._waiting:
            self._vhost.turn.confirms.append(self._flush)
        key = f"deliver.{queue}"
        self._waiting.append(lambda: self._copy(key, channel, message, _keys(message), flag, {}))

    def _flush(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            for copy in waiting:
                copy()

    # -- the copy -----------------------------------------------------------------------------

    def _copy(
        self,
        key: str,
        channel: Channel,
        message: Message,
        keys: Sequence[str],
        middle: Table,
        last: Table,
    ) -> None:
        vhost = self._vhost
        exchange = vhost.exchanges.get(TRACE_EXCHANGE)
        if exchange is None or not (
            vhost.bindings.has_source(TRACE_EXCHANGE) or exchange.alternate_exchange
        ):
            return  # nobody listens
        told: Table = {
            "exchange_name": _text(message.exchange),
            "routing_keys": _texts(keys),
            "properties": ("table", _properties(message.header)),
            "node": _text(vhost.broker.node),
            **middle,
            "vhost": _text(vhost.name),
            "connection": _text(channel.connection.name),
            "channel": ("signedint", channel.number),
            "user": _text(channel.user.name),
            **last,
        }
        header = properties.encode(properties.Properties(headers=told), message.body_bytes)
        content = replace_header(message.content, header)
        key = _shortened(key)
        names = names_of(TRACE_EXCHANGE, key)
        found = route(vhost.exchanges, exchange, [key], Offered(names, content, False, told))
        vhost.dead_letters.publish(vhost.reach(found), names, content, False)


class _Traced(Consumer):
    """What a consumer is mixed with while its vhost is traced."""

    __slots__ = ()

    def send(self, names: bytes, content: bytes, redelivered: bool) -> int:
        tag = super().send(names, content, redelivered)
        tracer = self.channel.vhost.tracer
        tracer.delivered(self.channel, self.queue.name, names, content, redelivered)
        return tag


_KINDS: dict[str, type[Consumer]] = {}  # made once each


def _traced(kind: type[Consumer]) -> type[Consumer]:
    name = f"Traced{kind.__name__}"
    if name not in _KINDS:
        _KINDS[name] = type(name, (_Traced, kind), {"__slots__": ()})
    return _KINDS[name]


# -- values --------------------------------------------------------------------------------------


def _text(value: str) -> Field:
    return ("longstr", value.encode("utf-8", "surrogateescape"))


def _texts(values: Iterable[str]) -> Field:
    return ("array", [_text(value) for value in values])


def _keys(message: Message) -> list[str]:
    """All that it was routed by."""
    try:
        keys = said.routing_keys(message.routing_key, message.header)
    except (ChannelError, FieldError):  # it never came through a channel
        keys = [message.routing_key]
    return [*keys, *message.hidden_keys]


def _properties(header: bytes) -> Table:
    """Those that are set, last one first, each in the form 3.10.8 gives it."""
    try:
        decoded = properties.decode(header)
    except FieldError:
        return {}
    told: Table = {}
    for name in reversed(properties.Properties.__slots__):
        value = getattr(decoded, name)
        if isinstance(value, str):
            told[name] = _text(value)
        elif isinstance(value, dict):
            told[name] = ("table", value)
        elif value is not None:  # a timestamp may be too large for what 3.10.8 calls it
            told[name] = ("signedint" if value < 1 << 31 else "long", value)
    return told


def _shortened(key: str) -> str:
    """To what a routing key may be long; 3.10.8 closes the connection of whoever gets it."""
    raw = key.encode("utf-8", "surrogateescape")
    if len(raw) <= SHORTSTR_BYTES_MAX:
        return key
    return raw[:SHORTSTR_BYTES_MAX].decode("utf-8", "ignore")
