"""The direct exchange: a message goes where its routing key equals the binding key.

Decides nothing else. The default exchange is one too, without stored bindings: `mqd.broker.routing`
takes its keys for queue names. Source: AMQP 0-9-1 §3.1.3.1.
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


class DirectExchange(Exchange):
    """Bindings by key."""

    type_name = "direct"

    __slots__ = ("_by_key",)

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._by_key: dict[str, Counted] = {}

    def bind(self, binding: BindingDefinition) -> None:
        count_up(self._by_key.setdefault(binding.binding_key, {}), binding)

    def unbind(self, binding: BindingDefinition) -> None:
        counted = self._by_key[binding.binding_key]
        count_down(counted, binding)
        if not counted:
            del self._by_key[binding.binding_key]

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        return self._by_key.get(routing_key, ())
