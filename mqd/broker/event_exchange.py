"""The exchange amq.rabbitmq.event: what happens in the broker, as messages.

Decides what such a message looks like: its routing key is the event, its headers what is told of
it, without a body (RabbitMQ: rabbitmq_event_exchange; observed: 3.10.8). Never decides what an
event is: `mqd.broker.events` does.

Events come in the middle of what causes them. They are published in the next turn: a queue that
serves its consumers must not be given a message from within.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mqd.amqp import properties
from mqd.broker.broker import Broker
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.events import INTERNAL, Facts
from mqd.broker.exchanges.base import Offered
from mqd.broker.message import content_of, names_of
from mqd.broker.routing import route

EVENT_EXCHANGE = "amq.rabbitmq.event"
_PERSISTENT = 2

_log = logging.getLogger(__name__)


class EventExchange:
    """While it is started, the exchange is there and is told everything."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._vhost = broker.settings.events_vhost
        self._waiting: list[tuple[str, Facts]] = []
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Harmless where the exchange is there already, from the run before."""
        broker = self._broker
        if self._vhost not in broker.vhosts:
            _log.error(
                "there is no virtual host '%s' for the exchange %s: add it or set "
                "event_exchange.vhost, then disable and enable rabbitmq_event_exchange",
                self._vhost,
                EVENT_EXCHANGE,
            )
            return
        definition = ExchangeDefinition(self._vhost, EVENT_EXCHANGE, "topic", internal=True)
        with broker.events.by(INTERNAL):
            broker.topology.put_exchange(definition, _settled)
        self._stop = broker.events.subscribe(self._hear)

    def stop(self) -> None:
        """The exchange goes with its bindings."""
        if self._stop is None:
            return
        self._stop()
        self._stop = None
        self._waiting.clear()
        if self._vhost in self._broker.vhosts:
            with self._broker.events.by(INTERNAL):
                self._broker.topology.delete_exchange(self._vhost, EVENT_EXCHANGE, _settled)

    def _hear(self, event: str, facts: Facts) -> None:
        vhost = self._broker.vhosts.get(self._vhost)
        if vhost is None or EVENT_EXCHANGE not in vhost.exchanges:
            return
        if not (
            vhost.bindings.has_source(EVENT_EXCHANGE)
            or vhost.exchanges[EVENT_EXCHANGE].alternate_exchange
        ):
            return  # nobody would hear
        if not self._waiting:
            self._broker.turn.later.append(self._publish)
            self._broker.turn.end_soon()
        self._waiting.append((event, facts))

    def _publish(self) -> None:
        waiting, self._waiting = self._waiting, []
        vhost = self._broker.vhosts.get(self._vhost)
        exchange = vhost.exchanges.get(EVENT_EXCHANGE) if vhost is not None else None
        if vhost is None or exchange is None or self._broker.ending:
            return
        for event, facts in waiting:
            headers = dict(facts)
            told = properties.Properties(
                headers=headers,
                delivery_mode=_PERSISTENT,
                timestamp=headers["timestamp_in_ms"][1] // 1000,
            )
            content = content_of(properties.encode(told), b"", 1, 0)
            names = names_of(EVENT_EXCHANGE, event)
            offered = Offered(names, content, True, headers)
            found = route(vhost.exchanges, exchange, [event], offered)
            vhost.dead_letters.publish(vhost.reach(found), names, content, True)


def _settled(error: Exception | None) -> None:
    if error is not None:
        _log.error("the exchange %s: %s", EVENT_EXCHANGE, error)
