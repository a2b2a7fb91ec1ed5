"""Which exchange types there are, and which exchanges every vhost is born with.

Decides what a type name means and what arguments every type refuses. Never decides how a type
routes. Plugins add their types to a registry of their own, made from this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mqd.amqp.fields import Table
from mqd.amqp.replies import ChannelError, ConnectionError_, ReplyCode
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.exchanges.base import (
    ALTERNATE_EXCHANGE,
    Destination,
    Exchange,
    Offered,
    Surroundings,
    Taker,
)
from mqd.broker.exchanges.direct import DirectExchange
from mqd.broker.exchanges.fanout import FanoutExchange
from mqd.broker.exchanges.headers import HeadersExchange
from mqd.broker.exchanges.missing import MissingType
from mqd.broker.exchanges.topic import TopicExchange
from mqd.names import Resource

Registry = Mapping[str, type[Exchange]]

BUILT_IN: Registry = MappingProxyType(
    {
        kind.type_name: kind
        for kind in (DirectExchange, FanoutExchange, HeadersExchange, TopicExchange)
    }
)

# observed: 3.10.8, `rabbitmqctl list_exchanges` on a new vhost
_PREDECLARED = (
    ("", "direct", False),
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    ("amq.rabbitmq.trace", "topic", True),
    ("amq.topic", "topic", False),
)


def predeclared(vhost: str) -> list[ExchangeDefinition]:
    """The exchanges of a new vhost; the one of the empty name is the default exchange."""
    return [
        ExchangeDefinition(vhost, name, kind, durable=True, internal=internal)
        for name, kind, internal in _PREDECLARED
    ]


def check_type(
    type_name: str,
    types: Registry = BUILT_IN,
    is_known: Callable[[str], bool] = lambda type_name: False,
) -> type[Exchange]:
    """The class of that type.

    is_known: whether there has been an exchange of a type, while its plugin was enabled. Raises
    ConnectionError_ when there is no such type; observed: 3.10.8, the whole connection goes, and a
    word that is known for another reason makes the type "invalid".
    """
    found = types.get(type_name)
    if found is None:
        what = "invalid" if not type_name or is_known(type_name) else "unknown"
        raise ConnectionError_(ReplyCode.COMMAND_INVALID, f"{what} exchange type '{type_name}'")
    return found


def check_arguments(resource: Resource, arguments: Table) -> None:
    """Refuse an alternate exchange that is no name. Raises ChannelError."""
    field = arguments.get(ALTERNATE_EXCHANGE)
    if field is not None and field[0] != "longstr":
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            f"invalid type '{field[0]}' for arg '{ALTERNATE_EXCHANGE}' in {resource}",
        )


class Alone(Surroundings):
    """Surroundings of an exchange that is in no virtual host: enough for the built-in types."""

    def choose(self, count: int) -> int:
        return count - 1

    def make_exchange(self, definition: ExchangeDefinition) -> Exchange:
        return make_exchange(definition, around=self)

    def deliver(self, destination: Destination, message: Offered) -> None:
        raise AssertionError("nothing is delivered from nowhere")

    def keeper(self, exchange: str, durable: bool) -> Taker:
        raise AssertionError("nothing is kept nowhere")


ALONE = Alone()


def make_exchange(
    definition: ExchangeDefinition, types: Registry = BUILT_IN, around: Surroundings = ALONE
) -> Exchange:
    """A live exchange without bindings; one whose type is not there keeps its place."""
    return types.get(definition.type, MissingType)(definition, around)
