"""What clients do between two calls of the tool, in a scenario of golden.py.

connect: NAME (user, vhost)     a connection that stays open until the scenario ends
queue: NAME (arguments, ...)    declare over connection `on`, "main" when not said
bind: [EXCHANGE, QUEUE, KEY]    publish: QUEUE (count, body, properties)    get: QUEUE
consume: QUEUE (tag, prefetch)  closed: NAME (reason)           the broker closed it, saying so
refused: NAME                   nobody listens for one more
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPConnectionError, ConnectionClosed

from tests.waiting import PATIENCE_S


class Clients:
    """Connections of one scenario."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: dict[str, pika.BlockingConnection] = {}
        self._channels: dict[str, Any] = {}

    def act(self, action: dict[str, Any]) -> None:
        """One action; its first key names it."""
        options = dict(action)
        kind = next(iter(options))
        getattr(self, f"_{kind}")(options.pop(kind), options)

    def _connect(self, name: str, options: dict[str, Any]) -> None:
        credentials = pika.PlainCredentials(
            options.get("user", "guest"), options.get("password", "guest")
        )
        parameters = pika.ConnectionParameters(
            "127.0.0.1", self._port, options.get("vhost", "/"), credentials
        )
        self._connections[name] = pika.BlockingConnection(parameters)
        self._channels[name] = self._connections[name].channel()

    def _refused(self, name: str, options: dict[str, Any]) -> None:
        with pytest.raises(AMQPConnectionError):
            self._connect(name, options)

    def _channel(self, options: dict[str, Any]) -> Any:
        name = options.pop("on", "main")
        if name not in self._channels:
            self._connect(name, {})
        return self._channels[name]

    def _queue(self, name: str, options: dict[str, Any]) -> None:
        channel = self._channel(options)
        channel.queue_declare(name, **({"durable": True} | options))

    def _bind(self, what: list[str], options: dict[str, Any]) -> None:
        exchange, queue, key = what
        self._channel(options).queue_bind(queue, exchange, key)

    def _publish(self, queue: str, options: dict[str, Any]) -> None:
        channel = self._channel(options)
        properties = pika.BasicProperties(**options.get("properties", {}))
        for _ in range(options.get("count", 1)):
            channel.basic_publish("", queue, options.get("body", "hello").encode(), properties)
        channel.queue_declare(queue, passive=True)  # the broker has seen them all

    def _get(self, queue: str, options: dict[str, Any]) -> None:
        self._channel(options).basic_get(queue)

    def _consume(self, queue: str, options: dict[str, Any]) -> None:
        channel = self._channel(options)
        channel.basic_qos(prefetch_count=options.get("prefetch", 0))
        channel.basic_consume(queue, lambda *_: None, consumer_tag=options.get("tag"))

    def _closed(self, name: str, options: dict[str, Any]) -> None:
        with pytest.raises(ConnectionClosed) as caught:
            self._listen(name)
        assert caught.value.reply_text.startswith(options["reason"])

    def _listen(self, name: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self._connections[name].process_data_events(0.1)

    def close(self) -> None:
        for connection in self._connections.values():
            with contextlib.suppress(AMQPConnectionError):
                connection.close()
