"""The exchange x-random: one of its destinations, another one every time.

Decides nothing by key or header, and makes no numbers of its own: its surroundings choose
(RabbitMQ: plugin rabbitmq_random_exchange; observed: 3.10.8).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Surroundings


class RandomExchange(Exchange):
    """A destination is as likely as it has bindings."""

    type_name = "x-random"
    needs_headers = True  # not that it looked at them, but no two messages are the same

    __slots__ = ("_around", "_destinations")

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._around = around
        self._destinations: list[Destination] = []

    def bind(self, binding: BindingDefinition) -> None:
        self._destinations.append((binding.destination_kind, binding.destination))

    def unbind(self, binding: BindingDefinition) -> None:
        self._destinations.remove((binding.destination_kind, binding.destination))

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        destinations = self._destinations
        if not destinations:
            return ()
        return (destinations[self._around.choose(len(destinations))],)

    def route_all(self, routing_keys: Sequence[str], message: Offered) -> Collection[Destination]:
        return self.route(routing_keys[0], message)
