"""Plugins that do more than route: they come and go with the plugin, and with the application."""

from __future__ import annotations

from pathlib import Path

import pika
import pika.exceptions
import pytest

import mqd.embedded
from tests.waiting import PATIENCE_S

EVENTS = "rabbitmq_event_exchange"


def declared(url: str) -> list[str]:
    """Listens to events, declares a queue, returns what was heard of it."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("heard", durable=True)
        channel.queue_bind("heard", "amq.rabbitmq.event", "queue.*")
        channel.queue_declare("made", exclusive=True)
        for method, _, _ in channel.consume("heard", inactivity_timeout=PATIENCE_S):
            assert method is not None, "nothing was heard"
            return [method.exchange, method.routing_key]
    return []


def test_the_event_exchange_over_a_restart(tmp_path: Path) -> None:
    for plugins in ([EVENTS], None):  # what was enabled is enabled still
        with mqd.embedded.Broker(tmp_path, plugins=plugins) as broker:
            assert declared(broker.url) == ["amq.rabbitmq.event", "queue.created"]


def test_it_lives_where_the_configuration_says(tmp_path: Path) -> None:
    config = {"event_exchange.vhost": "none"}
    with mqd.embedded.Broker(tmp_path, plugins=[EVENTS], config=config) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        with connection, pytest.raises(pika.exceptions.ChannelClosedByBroker, match="404"):
            connection.channel().exchange_declare("amq.rabbitmq.event", passive=True)
