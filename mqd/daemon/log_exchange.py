"""The log as messages: `log.exchange`, the exchange amq.rabbitmq.log.

Decides what such a message looks like: its routing key is the level, its body the line (observed:
3.10.8). Never decides what is logged. Lines may come from any thread and are handed over to the
loop's.
"""

from __future__ import annotations

import asyncio
import logging

from mqd.amqp.properties import Properties
from mqd.broker.broker import Broker
from mqd.broker.events import text
from mqd.broker.own_exchange import OwnExchange
from mqd.daemon.logs import LEVELS, Formatter, level_name

LOG_EXCHANGE = "amq.rabbitmq.log"


class LogExchangeHandler(logging.Handler):
    """Of one broker. Made on its loop, which runs."""

    def __init__(self, broker: Broker, vhost: str, level: str, pid_prefix: str) -> None:
        super().__init__(LEVELS[level])
        self.setFormatter(Formatter(pid_prefix))
        self._exchange = OwnExchange(broker, vhost, LOG_EXCHANGE)
        self._headers = {"node": text(broker.node)}
        self._loop = asyncio.get_running_loop()
        self._root = logging.getLogger("mqd")

    def start(self) -> None:
        """Declare the exchange and follow the log."""
        if self._exchange.open():
            self._root.addHandler(self)

    def close(self) -> None:
        """The exchange stays, with its bindings, for the next run."""
        self._root.removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        if not self._exchange.is_heard:
            return
        line = self.format(record) + "\n"
        told = Properties(
            content_type="text/plain", headers=self._headers, timestamp=int(record.created)
        )
        body = line.encode("utf-8", "backslashreplace")
        try:
            self._loop.call_soon_threadsafe(self._exchange.post, level_name(record), told, body)
        except RuntimeError:  # the loop is closed: the node has ended
            return
