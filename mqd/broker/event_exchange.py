"""The exchange amq.rabbitmq.event: what happens in the broker, as messages.

Decides what such a message looks like: its routing key is the event, its headers what is told of
it, without a body (RabbitMQ: rabbitmq_event_exchange; observed: 3.10.8). Never decides what an
event is: `mqd.broker.events` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mqd.amqp.properties import Properties
from mqd.broker.broker import Broker
from mqd.broker.events import Facts
from mqd.broker.own_exchange import OwnExchange

EVENT_EXCHANGE = "amq.rabbitmq.event"

_log = logging.getLogger(__name__)


class EventExchange:
    """While it is started, the exchange is there and is told everything."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._exchange = OwnExchange(broker, broker.settings.events_vhost, EVENT_EXCHANGE)
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Harmless where the exchange is there already, from the run before."""
        if self._exchange.open():
            self._stop = self._broker.events.subscribe(self._hear)
            return
        _log.error(
            "there is no virtual host '%s' for the exchange %s: add it or set "
            "event_exchange.vhost, then disable and enable rabbitmq_event_exchange",
            self._broker.settings.events_vhost,
            EVENT_EXCHANGE,
        )

    def stop(self) -> None:
        """The exchange goes with its bindings."""
        if self._stop is not None:
            self._stop()
            self._stop = None
            self._exchange.delete()

    def _hear(self, event: str, facts: Facts) -> None:
        if self._exchange.is_heard:
            headers = dict(facts)
            seconds = headers["timestamp_in_ms"][1] // 1000
            told = Properties(headers=headers, delivery_mode=2, timestamp=seconds)
            self._exchange.post(event, told)
