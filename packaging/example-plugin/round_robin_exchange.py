"""A plugin for mqd, as an example: the exchange type x-round-robin.

Each message goes to one destination, to each in its turn, whatever the routing key. Install it
where mqd runs, then switch it on; no restart is needed:

    pip install .        (or: pip install --target /usr/lib/mqd/plugins .)
    mq-plugins enable round_robin_exchange
"""

from __future__ import annotations

from collections.abc import Collection

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Surroundings
from mqd.plugins.contribution import Contribution


class RoundRobinExchange(Exchange):
    """Destinations in order of their first binding."""

    type_name = "x-round-robin"
    needs_headers = True  # the same key leads elsewhere each time: routes must not be remembered

    __slots__ = ("_counted", "_next")

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._counted: dict[Destination, int] = {}  # with the number of their bindings
        self._next = 0

    def bind(self, binding: BindingDefinition) -> None:
        destination = (binding.destination_kind, binding.destination)
        self._counted[destination] = self._counted.get(destination, 0) + 1

    def unbind(self, binding: BindingDefinition) -> None:
        destination = (binding.destination_kind, binding.destination)
        self._counted[destination] -= 1
        if not self._counted[destination]:
            del self._counted[destination]

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        if not self._counted:
            return ()
        destinations = list(self._counted)
        self._next = (self._next + 1) % len(destinations)
        return (destinations[self._next],)


PLUGIN = Contribution(exchange_types=(RoundRobinExchange,))
