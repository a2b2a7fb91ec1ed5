"""The exchange x-recent-history: a fanout that tells whoever is bound what was said last.

Decides how many messages it remembers (x-recent-history-length, 20), which it does not (header
x-recent-history-no-store), and that a new binding's destination gets them, oldest first. They are
in memory alone and gone after a restart (RabbitMQ: plugin rabbitmq_recent_history_exchange;
observed: 3.10.8, where a binding to an exchange kills the connection once there is a history).

Two bounds: what the declaration says, and RECENT_HISTORY_BYTES_MAX for the bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from mqd.amqp.fields import Field
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.amqp.terms import format_field
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered, Surroundings
from mqd.broker.exchanges.fanout import FanoutExchange
from mqd.limits import RECENT_HISTORY_BYTES_MAX

_LENGTH = "x-recent-history-length"
_NO_STORE = "x-recent-history-no-store"
_LENGTH_DEFAULT = 20


class RecentHistoryExchange(FanoutExchange):
    """One set of destinations, and the last messages."""

    type_name = "x-recent-history"
    needs_headers = True  # every message passes through

    __slots__ = ("_around", "_bytes", "_history", "_length")

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._around = around
        field = definition.arguments.get(_LENGTH)
        self._length = field[1] if field is not None and _is_length(field) else _LENGTH_DEFAULT
        self._history: deque[Offered] = deque()
        self._bytes = 0

    @classmethod
    def validate(cls, definition: ExchangeDefinition, types: Mapping[str, type[Exchange]]) -> None:
        field = definition.arguments.get(_LENGTH)
        if field is not None and not _is_length(field):
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED,
                f"Invalid argument {format_field(field)}, '{_LENGTH}' must be a positive integer",
            )

    def welcome(self, binding: BindingDefinition) -> None:
        destination = (binding.destination_kind, binding.destination)
        for message in tuple(self._history):
            self._around.deliver(destination, message)

    def route_all(self, routing_keys: Sequence[str], message: Offered) -> Collection[Destination]:
        if message.headers().get(_NO_STORE) != ("bool", True):
            self._remember(message)
        return self.route(routing_keys[0], message)

    def _remember(self, message: Offered) -> None:
        history = self._history
        history.append(message)
        self._bytes += len(message.content)
        while len(history) > self._length or (
            self._bytes > RECENT_HISTORY_BYTES_MAX and len(history) > 1
        ):
            self._bytes -= len(history.popleft().content)


def _is_length(field: Field) -> bool:
    return type(field[1]) is int and field[0] != "timestamp" and field[1] > 0
