"""The exchange x-modulus-hash: one of its bindings, chosen by the hash of the routing keys.

Decides by the remainder of that hash over the number of bindings, in order of their keys, then of
what they lead to (RabbitMQ: plugin rabbitmq_sharding; observed: 3.10.8, and the same keys go to the
same place). Another binding moves most keys: x-consistent-hash does not.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Sequence

from mqd.broker.bindings import key_of
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Surroundings
from mqd.broker.exchanges.erlang_hash import portable_hash_of_all

# (binding key, kind, name, arguments): "exchange" sorts before "queue", as in RabbitMQ
_Place = tuple[bytes, str, bytes, bytes]


class ModulusHashExchange(Exchange):
    """All bindings in order."""

    type_name = "x-modulus-hash"

    __slots__ = ("_places",)

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._places: list[_Place] = []

    def bind(self, binding: BindingDefinition) -> None:
        insort(self._places, _place(binding))

    def unbind(self, binding: BindingDefinition) -> None:
        del self._places[bisect_left(self._places, _place(binding))]

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        return self.route_all((routing_key,), message)

    def route_all(self, routing_keys: Sequence[str], message: Offered) -> Collection[Destination]:
        places = self._places
        if not places:
            return ()
        _, kind, name, _ = places[portable_hash_of_all(_all(routing_keys)) % len(places)]
        return ((kind, name.decode("utf-8", "surrogateescape")),)


def _all(keys: Sequence[str]) -> list[bytes]:
    return [key.encode("utf-8", "surrogateescape") for key in keys]


def _place(binding: BindingDefinition) -> _Place:
    key, name = _all((binding.binding_key, binding.destination))
    return key, binding.destination_kind, name, key_of(binding)[4]
