"""What stands for an exchange whose type is not there: its plugin is not enabled any more.

Decides that the exchange stays, with its bindings, and that publishing to it is an error until the
plugin is back (observed: 3.10.8). Never routes anything.
"""

from __future__ import annotations

from collections.abc import Collection

from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.broker.definitions import BindingDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered


class MissingType(Exchange):
    """Keeps an exchange's place."""

    type_name = ""
    needs_headers = True  # so that every publish finds out
    is_there = False

    __slots__ = ()

    def bind(self, binding: BindingDefinition) -> None:
        """The table of bindings remembers it."""

    def unbind(self, binding: BindingDefinition) -> None:
        """Nothing was indexed."""

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            f"Cannot route message through {self.definition.resource}: "
            f"exchange type {self.definition.type} not found",
        )
