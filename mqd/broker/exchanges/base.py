"""What every exchange type has in common.

Decides the shape of a live exchange: its definition, its policy, its alternate exchange, and the
calls by which bindings enter and leave and by which a routing key becomes destinations. Never
walks from one exchange to the next: that is `mqd.broker.routing`. Never checks permissions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Protocol

from mqd.amqp import properties
from mqd.amqp.fields import Table
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.policies.applied import Applied

Destination = tuple[str, str]  # ("queue" | "exchange", name)
Counted = dict[Destination, int]  # destination → number of bindings that lead there

ALTERNATE_EXCHANGE = "alternate-exchange"  # argument and policy key


class Offered:
    """A message that an exchange is to route: what it may look at beside the routing keys.

    names, content, persistent: as in `mqd.broker.message.Message`.
    """

    __slots__ = ("_headers", "content", "names", "persistent")

    def __init__(
        self,
        names: bytes = b"\0\0",
        content: bytes = b"",
        persistent: bool = False,
        headers: Table | None = None,
    ) -> None:
        self.names = names
        self.content = content
        self.persistent = persistent
        self._headers = headers  # where they are known already

    def headers(self) -> Table:
        """The headers table, empty when there is none. Raises FieldError."""
        if self._headers is None:
            header = self.header
            self._headers = (properties.headers(header) if header else None) or {}
        return self._headers

    @property
    def header(self) -> bytes:
        """The content-header payload."""
        return self.content[7 : 7 + int.from_bytes(self.content[3:7], "big")]


class Taker(Protocol):
    """What takes a message that was routed to it: a queue, or what stands for one."""

    @property
    def deleted(self) -> bool: ...

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int: ...


class Surroundings(Protocol):
    """What an exchange may ask of the virtual host it lives in."""

    def choose(self, count: int) -> int:
        """A random index below count."""

    def make_exchange(self, definition: ExchangeDefinition) -> Exchange:
        """An exchange of any type there is, which is not in the virtual host."""

    def deliver(self, destination: Destination, message: Offered) -> None:
        """Put a message there, as if a binding had led to it."""

    def keeper(self, exchange: str, durable: bool) -> Taker:
        """What keeps messages until it is time for that exchange to route them."""


class Exchange(ABC):
    """A live exchange. Subclasses index their bindings for the fastest `route`.

    type_name: what exchange.declare calls the type. needs_headers: `route` depends on more than
    the routing key, so that its result must not be cached by key.
    """

    type_name: ClassVar[str]
    needs_headers: bool = False
    is_there: bool = True  # False while the plugin of its type is not enabled

    __slots__ = ("definition", "policy")

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        del around  # most types get along with their bindings
        self.definition = definition
        self.policy: Applied | None = None

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

    @classmethod  # noqa: B027
    def validate(cls, definition: ExchangeDefinition, types: Mapping[str, type[Exchange]]) -> None:
        """Refuse arguments that this type cannot work with, before the exchange is made.

        types: those there are, by name. Raises AmqpError. Most types look at no argument.
        """

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

    def welcome(self, binding: BindingDefinition) -> None:  # noqa: B027
        """A client made this binding, and is about to be told that it is there."""

    @abstractmethod
    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        """Where a message goes from here, each destination once, in no promised order.

        The result is the exchange's own: read it before the next bind or unbind, never change it.
        """

    def keeper(self, message: Offered) -> Taker | None:
        """Who takes the message for now, if it is not to be routed yet. Asked of types that need
        headers."""
        return None

    def route_all(self, routing_keys: Sequence[str], message: Offered) -> Collection[Destination]:
        """As `route` for a message of several keys: its own, then those of CC and BCC. A
        destination may come more than once."""
        if len(routing_keys) == 1:
            return self.route(routing_keys[0], message)
        return [hit for key in routing_keys for hit in self.route(key, message)]


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
