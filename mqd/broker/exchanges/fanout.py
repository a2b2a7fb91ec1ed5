"""The fanout exchange: a message goes wherever a binding leads.

Decides nothing by key or header. Source: AMQP 0-9-1 §3.1.3.2.
"""

from __future__ import annotations

from collections.abc import Collection

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import (
    Counted,
    Destination,
    Exchange,
    Offered,
    Surroundings,
    count_down,
    count_up,
)


class FanoutExchange(Exchange):
    """One set of destinations."""

    type_name = "fanout"

    __slots__ = ("_destinations",)

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._destinations: Counted = {}

    def bind(self, binding: BindingDefinition) -> None:
        count_up(self._destinations, binding)

    def unbind(self, binding: BindingDefinition) -> None:
        count_down(self._destinations, binding)

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        return self._destinations
