"""`mqd.daemon.log_exchange`: lines of the log as messages."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pika
import pika.exceptions
import pytest

import mqd.embedded
from tests.waiting import PATIENCE_S

ON = {"log.exchange": "true", "log.exchange.level": "warning"}


def test_lines_are_published_by_level(tmp_path: Path) -> None:
    with mqd.embedded.Broker(tmp_path, config=ON) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        channel = connection.channel()
        channel.queue_declare("lines", exclusive=True)
        channel.queue_bind("lines", "amq.rabbitmq.log", "#")
        logging.getLogger("mqd").info("too low")
        logging.getLogger("mqd").error("two\nlines")
        method, properties, body = next(channel.consume("lines", inactivity_timeout=PATIENCE_S))
        assert method is not None, "nothing came"
        assert (method.exchange, method.routing_key) == ("amq.rabbitmq.log", "error")
        assert (properties.content_type, properties.delivery_mode) == ("text/plain", None)
        assert list(properties.headers) == ["node"]
        first, second, end = body.decode().split("\n")
        assert re.fullmatch(r"[-0-9]+ [:.0-9]+[+-]\d\d:\d\d \[error\] <[.0-9]+> two", first)
        assert (second.endswith("> lines"), end) == (True, "")
        connection.close()
    assert not [h for h in logging.getLogger("mqd").handlers if "Exchange" in type(h).__name__]


def test_it_is_not_there_unless_it_is_wanted(tmp_path: Path) -> None:
    with mqd.embedded.Broker(tmp_path) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        with connection, pytest.raises(pika.exceptions.ChannelClosedByBroker, match="404"):
            connection.channel().exchange_declare("amq.rabbitmq.log", passive=True)
