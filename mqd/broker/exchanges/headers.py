"""The headers exchange: a message goes where its headers fit the binding's arguments.

Decides by `x-match`: all (default) or any of the arguments must be there with an equal value;
arguments whose name begins with `x-` do not count, unless it says all-with-x or any-with-x
(`x-match` itself never counts). A void argument asks for the header's presence alone. Never looks
at the routing key. Source: AMQP 0-9-1 §3.1.3.4; RabbitMQ 3.10: rabbit_exchange_type_headers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from mqd.amqp.fields import Field, Table
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.amqp.terms import format_binary, format_field
from mqd.broker.bindings import BindingKey, key_of
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Surroundings

X_MATCH = "x-match"
_KINDS = {b"all": (True, False), b"any": (False, False)}
_KINDS |= {b"all-with-x": (True, True), b"any-with-x": (False, True)}


class _Pattern:
    """A binding's arguments, ready to be compared."""

    __slots__ = ("all_of", "buckets", "destination", "wanted")

    def __init__(self, binding: BindingDefinition) -> None:
        field = binding.arguments.get(X_MATCH)
        # `validate_binding` lets no other value in, but a file of definitions may hold one
        kind = field[1] if field is not None and field[0] == "longstr" else b"all"
        self.all_of, with_x = _KINDS.get(kind, (True, False))
        self.destination: Destination = (binding.destination_kind, binding.destination)
        self.buckets: list[tuple[str, Any]] = []
        self.wanted = {
            name: None if field[0] == "void" else comparable(field)
            for name, field in binding.arguments.items()
            if name != X_MATCH and (with_x or not name.startswith("x-"))
        }

    def fits(self, offered: dict[str, Any]) -> bool:
        """offered: header name → comparable value."""
        if self.all_of:
            for name, value in self.wanted.items():
                if name not in offered or (value is not None and offered[name] != value):
                    return False
            return True
        for name, value in self.wanted.items():
            if name in offered and (value is None or offered[name] == value):
                return True
        return False


class HeadersExchange(Exchange):
    """Bindings as patterns over the headers table, found by one argument that has to be there.

    A pattern that wants all stands in one bucket, that of its argument with the fewest others; one
    that wants any stands in the bucket of each. A bucket is named by argument and value, or by the
    argument alone where its presence is enough. A message looks into the buckets of its headers.
    """

    type_name = "headers"
    needs_headers = True

    __slots__ = ("_buckets", "_patterns", "_unsorted")

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._patterns: dict[BindingKey, _Pattern] = {}
        self._buckets: dict[tuple[str, Any], dict[BindingKey, _Pattern]] = {}
        self._unsorted: dict[BindingKey, _Pattern] = {}  # nothing to find them by

    def validate_binding(self, binding: BindingDefinition) -> None:
        field = binding.arguments.get(X_MATCH)
        if field is None or (field[0] == "longstr" and field[1] in _KINDS):
            return
        if field[0] == "longstr":
            text = (
                f"Invalid x-match field value {format_binary(field[1])}; "
                "expected all, any, all-with-x, or any-with-x"
            )
        else:
            text = (
                f"Invalid x-match field type {field[0]} (value {format_field(field)}); "
                "expected longstr"
            )
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, text)

    def bind(self, binding: BindingDefinition) -> None:
        key = key_of(binding)
        pattern = _Pattern(binding)
        self._patterns[key] = pattern
        names = list(pattern.wanted.items())
        if any(isinstance(value, list) for _, value in names) or (pattern.all_of and not names):
            self._unsorted[key] = pattern
            return
        if pattern.all_of:
            names = [min(names, key=lambda name: len(self._buckets.get(name, ())))]
        pattern.buckets = names
        for name in names:
            self._buckets.setdefault(name, {})[key] = pattern

    def unbind(self, binding: BindingDefinition) -> None:
        key = key_of(binding)
        pattern = self._patterns.pop(key)
        self._unsorted.pop(key, None)
        for name in pattern.buckets:
            bucket = self._buckets[name]
            del bucket[key]
            if not bucket:
                del self._buckets[name]

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        offered = comparable_table(message.headers())
        found = {
            pattern.destination for pattern in self._unsorted.values() if pattern.fits(offered)
        }
        if self._buckets:
            for name, value in offered.items():
                bucket = self._buckets.get((name, None), {})
                found.update(item.destination for item in bucket.values() if item.fits(offered))
                if not isinstance(value, list):
                    bucket = self._buckets.get((name, value), {})
                    found.update(item.destination for item in bucket.values() if item.fits(offered))
        return found

    def route_all(self, routing_keys: Sequence[str], message: Offered) -> Collection[Destination]:
        return self.route(routing_keys[0], message)


def comparable_table(table: Table) -> dict[str, Any]:
    """The table with values that compare as the exchange compares them."""
    return {name: comparable(field) for name, field in table.items()}


def comparable(field: Field) -> Any:
    """A value of which `==` is the exchange's idea of equal; never None, hashable if no list.

    Types do not count, as Erlang compares values: a long 5 equals a signedint 5, a timestamp 5
    and a double 5.0, a longstr equals a binary of the same bytes. But true is not 1, and inside
    tables and arrays, whose order counts, types have to be the same (all observed: 3.10.8).
    """
    kind, value = field
    if kind == "bool":
        return ("bool", value)
    if kind == "void":
        return ("void",)
    if kind == "table":
        return [(name, item[0], comparable(item)) for name, item in value.items()]
    if kind == "array":
        return [(item[0], comparable(item)) for item in value]
    return value
