"""An exchange that the broker itself publishes to: amq.rabbitmq.event, amq.rabbitmq.log.

Decides when such a message goes out: in the next turn, for what it tells of comes in the middle of
something, and a queue that serves its consumers must not be given a message from within. Never
decides what it tells.
"""

from __future__ import annotations

import logging

from mqd.amqp.properties import Properties, encode
from mqd.broker.broker import Broker
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.events import INTERNAL
from mqd.broker.exchanges.base import Exchange, Offered
from mqd.broker.message import content_of, names_of
from mqd.broker.routing import route
from mqd.broker.vhost import VHost

_PERSISTENT = 2

_log = logging.getLogger(__name__)


class OwnExchange:
    """A durable, internal topic exchange, while it is open; its bindings outlive the process."""

    def __init__(self, broker: Broker, vhost: str, name: str) -> None:
        self._broker = broker
        self._vhost = vhost
        self._name = name
        self._waiting: list[tuple[str, Properties, bytes]] = []

    def open(self) -> bool:
        """Harmless where it is there already. Returns whether its vhost is there."""
        if self._vhost not in self._broker.vhosts:
            return False
        definition = ExchangeDefinition(self._vhost, self._name, "topic", internal=True)
        with self._broker.events.by(INTERNAL):
            self._broker.topology.put_exchange(definition, self._settled)
        return True

    def delete(self) -> None:
        """With its bindings."""
        self._waiting.clear()
        if self._vhost in self._broker.vhosts:
            with self._broker.events.by(INTERNAL):
                self._broker.topology.delete_exchange(self._vhost, self._name, self._settled)

    def _settled(self, error: Exception | None) -> None:
        if error is not None:
            _log.error("the exchange %s: %s", self._name, error)

    def _found(self) -> tuple[VHost, Exchange] | None:
        vhost = self._broker.vhosts.get(self._vhost)
        exchange = vhost.exchanges.get(self._name) if vhost is not None else None
        return (vhost, exchange) if vhost is not None and exchange is not None else None

    @property
    def is_heard(self) -> bool:
        """Whether a message could go anywhere."""
        found = self._found()
        if found is None:
            return False
        vhost, exchange = found
        return bool(vhost.bindings.has_source(self._name) or exchange.alternate_exchange)

    def post(self, routing_key: str, told: Properties, body: bytes = b"") -> None:
        """Publish it soon."""
        if not self._waiting:
            self._broker.turn.later.append(self._publish)
            self._broker.turn.end_soon()
        self._waiting.append((routing_key, told, body))

    def _publish(self) -> None:
        waiting, self._waiting = self._waiting, []
        found = self._found()
        if found is None or self._broker.ending:
            return
        vhost, exchange = found
        for key, told, body in waiting:
            persistent = told.delivery_mode == _PERSISTENT
            content = content_of(encode(told, len(body)), body, 1, 0)
            names = names_of(self._name, key)
            offered = Offered(names, content, persistent, told.headers)
            queues = vhost.reach(route(vhost.exchanges, exchange, [key], offered))
            vhost.dead_letters.publish(queues, names, content, persistent)
