"""What every exchange type has in common.

Decides the shape of a live exchange: its definition, its policy, its alternate exchange, and the
calls by which bindings enter and leave and by which a routing key becomes destinations. Never
walks from one exchange to the next: that is `mqd.broker.routing`. Never checks permissions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, Protocol

from mqd.amqp.fields import Table
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition

Destination = tuple[str, str]  # ("queue" | "exchange", name)
Headers = Callable[[], Table]  # decodes the headers table of the message, when somebody asks
Counted = dict[Destination, int]  # destination → number of bindings that lead there

ALTERNATE_EXCHANGE = "alternate-exchange"  # argument and policy key


class AppliedPolicy(Protocol):
    """The policy that applies to an exchange."""

    @property
    def name(self) -> str: ...

    @property
    def definition(self) -> Mapping[str, object]: ...


def no_headers() -> Table:
    """`Headers` of a message without any."""
    return {}


class Exchange(ABC):
    """A live exchange. Subclasses index their bindings for the fastest `route`.

    type_name: what exchange.declare calls the type. needs_headers: `route` depends on more than
    the routing key, so that its result must not be cached by key.
    """

    type_name: ClassVar[str]
    needs_headers: ClassVar[bool] = False

    __slots__ = ("definition", "policy")

    def __init__(self, definition: ExchangeDefinition) -> None:
        self.definition = definition
        self.policy: AppliedPolicy | None = None

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def arguments(self) -> Table:
        return self.definition.arguments

    @property
    def alternate_exchange(self) -> str | None:
        """Where a message goes that this exchange cannot route; the argument beats the policy."""
        field = self.definition.arguments.get(ALTERNATE_EXCHANGE)
        if field is not None and field[0] == "longstr":
            name: str = field[1].decode("utf-8", "surrogateescape")
            return name
        if self.policy is not None:
            value = self.policy.definition.get(ALTERNATE_EXCHANGE)
            if isinstance(value, str):
                return value
        return None

    def validate_binding(self, binding: BindingDefinition) -> None:  # noqa: B027
        """Refuse a binding this type cannot hold, before it is made permanent.

        Raises ChannelError. Most types take anything.
        """

    @abstractmethod
    def bind(self, binding: BindingDefinition) -> None:
        """Start routing by a binding that is not there yet (`BindingTable.add` said so)."""

    @abstractmethod
    def unbind(self, binding: BindingDefinition) -> None:
        """Stop routing by a binding that is there (`BindingTable.remove` said so)."""

    @abstractmethod
    def route(self, routing_key: str, headers: Headers) -> Collection[Destination]:
        """Where a message goes from here, each destination once, in no promised order.

        The result is the exchange's own: read it before the next bind or unbind, never change it.
        """


def count_up(counted: Counted, binding: BindingDefinition) -> None:
    """One binding more for its destination."""
    destination = (binding.destination_kind, binding.destination)
    counted[destination] = counted.get(destination, 0) + 1


def count_down(counted: Counted, binding: BindingDefinition) -> None:
    """One binding less; the destination goes with its last one."""
    destination = (binding.destination_kind, binding.destination)
    left = counted[destination] - 1
    if left:
        counted[destination] = left
    else:
        del counted[destination]
