"""The exchange x-delayed-message: routes as another type does, but when the message says.

Decides how long a message waits: the header x-delay in milliseconds, any kind of number or the
digits of one; none, 0 or less, more than 2^32 - 1 and what is no number mean that it is routed now.
What has waited comes back with the delay negative, so that it does not wait again, here or at the
next such exchange (RabbitMQ: community plugin rabbitmq_delayed_message_exchange, its documentation
and test suite). Never keeps a message: `mqd.broker.delays` does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from mqd.amqp import properties
from mqd.amqp.fields import Field
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Surroundings, Taker
from mqd.broker.message import replace_header

_TYPE = "x-delayed-type"
_DELAY = "x-delay"
_DELAY_MS_MAX = 4_294_967_295
_DIGITS = re.compile(rb"[+-]?[0-9]{1,20}")
_INTEGERS = frozenset(
    ("byte", "unsignedbyte", "short", "unsignedshort", "signedint", "unsignedint", "long")
)


class DelayedMessageExchange(Exchange):
    """A clock in front of an exchange of another type."""

    type_name = "x-delayed-message"
    needs_headers = True

    __slots__ = ("_around", "_inner", "is_there")

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._around = around
        self._inner = around.make_exchange(replace(definition, type=_inner_type(definition)))
        self.is_there = self._inner.is_there

    @classmethod
    def validate(cls, definition: ExchangeDefinition, types: Mapping[str, type[Exchange]]) -> None:
        name = _inner_type(definition)
        kind = types.get(name)
        if kind is None or kind is cls:
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED,
                f"Invalid argument, '{_TYPE}' must be an existing exchange type",
            )
        kind.validate(replace(definition, type=name), types)

    def validate_binding(self, binding: BindingDefinition) -> None:
        self._inner.validate_binding(binding)

    def bind(self, binding: BindingDefinition) -> None:
        self._inner.bind(binding)

    def unbind(self, binding: BindingDefinition) -> None:
        self._inner.unbind(binding)

    def welcome(self, binding: BindingDefinition) -> None:
        self._inner.welcome(binding)

    def keeper(self, message: Offered) -> Taker | None:
        if delay_ms(message.headers().get(_DELAY)) > 0:
            properties.check(message.header[properties.FLAGS_AT :])  # now, not when it is due
            return self._around.keeper(self.name, self.definition.durable)
        return self._inner.keeper(message)

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        return self._inner.route(routing_key, message)

    def route_all(self, routing_keys: Sequence[str], message: Offered) -> Collection[Destination]:
        return self._inner.route_all(routing_keys, message)


def _inner_type(definition: ExchangeDefinition) -> str:
    field = definition.arguments.get(_TYPE)
    if field is None or field[0] != "longstr":
        return ""
    name: str = field[1].decode("utf-8", "surrogateescape")
    return name


def delay_ms(field: Field | None) -> int:
    """How long a message with that header waits; 0 when it does not."""
    number = _number(field) if field is not None else 0
    return number if 0 < number <= _DELAY_MS_MAX else 0


def _number(field: Field) -> int:
    kind, value = field
    if kind in _INTEGERS:
        return int(value)
    if kind in ("double", "float"):
        return int(value) if math.isfinite(value) else 0
    if kind == "longstr" and _DIGITS.fullmatch(value):
        return int(value)
    return 0


def waited(content: bytes) -> bytes:
    """`Message.content` of a message whose delay is over."""
    told = properties.decode(content[7 : 7 + int.from_bytes(content[3:7], "big")])
    headers = dict(told.headers or {})
    number = -delay_ms(headers.get(_DELAY))
    kind = "signedint" if number >= -(1 << 31) else "long"  # the plugin lets it overflow
    told.headers = {**headers, _DELAY: (kind, number)}
    body_bytes = int.from_bytes(content[11:19], "big")
    return replace_header(content, properties.encode(told, body_bytes))
