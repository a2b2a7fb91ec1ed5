"""The exchange x-consistent-hash: one of its destinations, the same for the same value.

Decides by a hash of the routing key, or of a header or property named when it was declared. A
binding key is a weight: how many buckets the destination has of all there are. Buckets are in
order of binding; when a destination goes, those behind it close up (RabbitMQ: plugin
rabbitmq_consistent_hash_exchange; observed: 3.10.8, and the same value goes to the same place).

A destination that is bound more than once has the weight of its oldest binding. When that one
goes, the next one counts, at the end of the ring; in 3.10.8 the destination is gone from the ring
then, though bound, so that whoever replaces a weight by another loses it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from mqd.amqp import properties
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.amqp.terms import format_binary, format_field
from mqd.broker.bindings import BindingKey, key_of
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Surroundings
from mqd.broker.exchanges.erlang_hash import UNDEFINED, bucket_of, portable_hash

_HEADER, _PROPERTY = "hash-header", "hash-property"
_PROPERTIES = ("cluster_id", "correlation_id", "message_id", "timestamp")
_WEIGHT = re.compile(r"[+-]?[0-9]+")


class ConsistentHashExchange(Exchange):
    """The destinations in ring order, each with a number of buckets."""

    type_name = "x-consistent-hash"

    __slots__ = ("_bound", "_ends", "_header", "_property", "_ring", "needs_headers")

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._header = _text(definition, _HEADER)
        self._property = _text(definition, _PROPERTY)
        self.needs_headers = bool(self._header or self._property)
        self._bound: dict[Destination, dict[BindingKey, int]] = {}  # weights, oldest first
        self._ring: list[Destination] = []
        self._ends: list[int] = []  # the bucket behind the last one of each

    @classmethod
    def validate(cls, definition: ExchangeDefinition, types: Mapping[str, type[Exchange]]) -> None:
        header, name = definition.arguments.get(_HEADER), definition.arguments.get(_PROPERTY)
        if header is not None and name is not None:
            text = f"{_HEADER} and {_PROPERTY} are mutually exclusive"
            raise ChannelError(ReplyCode.PRECONDITION_FAILED, text)
        if header is not None and header[0] != "longstr":
            text = f"{_HEADER} must be the name of a header, not {format_field(header)}"
            raise ChannelError(ReplyCode.PRECONDITION_FAILED, text)
        if name is not None and _text(definition, _PROPERTY) not in _PROPERTIES:
            shown = _text(definition, _PROPERTY) or format_field(name)
            raise ChannelError(ReplyCode.PRECONDITION_FAILED, f"Unsupported property: {shown}")

    def validate_binding(self, binding: BindingDefinition) -> None:
        key = binding.binding_key
        if _WEIGHT.fullmatch(key) is None:
            shown = format_binary(key.encode("utf-8", "surrogateescape"))
            text = f"The binding key must be an integer: {shown}"
        elif int(key) <= 0:
            text = "The binding key must be greater than 0"
        else:
            return
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, text)

    def bind(self, binding: BindingDefinition) -> None:
        destination = (binding.destination_kind, binding.destination)
        weights = self._bound.setdefault(destination, {})
        key = binding.binding_key
        # A file of definitions may hold a key that `validate_binding` would not let in.
        weights[key_of(binding)] = int(key) if _WEIGHT.fullmatch(key) and int(key) > 0 else 1
        if len(weights) == 1:
            self._ring.append(destination)
            self._measure()

    def unbind(self, binding: BindingDefinition) -> None:
        destination = (binding.destination_kind, binding.destination)
        weights = self._bound[destination]
        key = key_of(binding)
        counted = next(iter(weights)) == key
        del weights[key]
        if not counted:
            return
        self._ring.remove(destination)
        if weights:
            self._ring.append(destination)
        else:
            del self._bound[destination]
        self._measure()

    def _measure(self) -> None:
        weights = (next(iter(self._bound[destination].values())) for destination in self._ring)
        self._ends = list(accumulate(weights))

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        if not self._ring:
            return ()
        bucket = bucket_of(self._hash(routing_key, message), self._ends[-1])
        return (self._ring[bisect_right(self._ends, bucket)],)

    def route_all(self, routing_keys: Sequence[str], message: Offered) -> Collection[Destination]:
        return self.route(routing_keys[0], message)  # observed: 3.10.8 looks at no other

    def _hash(self, routing_key: str, message: Offered) -> int:
        if self._header:
            field = message.headers().get(self._header)
            return portable_hash(field) if field is not None else UNDEFINED
        if self._property:
            header = message.header
            said = getattr(properties.decode(header), self._property) if header else None
            return portable_hash(_bytes(str(said))) if said is not None else UNDEFINED
        return portable_hash(_bytes(routing_key))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(definition: ExchangeDefinition, name: str) -> str:
    field = definition.arguments.get(name)
    if field is None or field[0] != "longstr":
        return ""
    text: str = field[1].decode("utf-8", "surrogateescape")
    return text
