"""`mqd.plugins.catalogue`: what each plugin brings, and that only an enabled one brings it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

import mqd.embedded
from mqd.config.parse import ConfigError
from mqd.plugins.catalogue import exchange_types
from mqd.plugins.table import PLUGINS

HASH, RANDOM = "rabbitmq_consistent_hash_exchange", "rabbitmq_random_exchange"


def test_types_come_with_their_plugin() -> None:
    assert set(exchange_types(())) == {"direct", "fanout", "headers", "topic"}
    assert set(exchange_types([HASH])) - set(exchange_types(())) == {"x-consistent-hash"}
    assert set(exchange_types(PLUGINS)) - set(exchange_types(())) == {
        "x-consistent-hash",
        "x-delayed-message",
        "x-modulus-hash",
        "x-random",
        "x-recent-history",
    }


def declare(broker: mqd.embedded.Broker, kind: str) -> str:
    """Declare the durable exchange "x"; how that ended."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    try:
        connection.channel().exchange_declare("x", kind, durable=True)
    except pika.exceptions.AMQPError as error:
        return str(error)
    finally:
        if connection.is_open:
            connection.close()
    return "ok"


@contextlib.contextmanager
def channel_to(broker: mqd.embedded.Broker) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    yield connection.channel()
    connection.close()


def test_an_exchange_outlives_its_plugin(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """observed: 3.10.8. It stays with its bindings, and nothing can be published to it."""
    caplog.set_level(logging.INFO, "mqd.daemon")
    with mqd.embedded.Broker(tmp_path, plugins=[RANDOM, "nosuch"]) as broker:
        assert declare(broker, "x-random") == "ok"
        assert "unknown exchange type 'x-consistent-hash'" in declare(broker, "x-consistent-hash")
        with channel_to(broker) as channel:
            channel.queue_declare("q", durable=True)
            channel.queue_bind("q", "x", "k")
    assert f"1 plugins started.\n * {RANDOM}" in caplog.text
    assert "plugin 'nosuch' is not started: there is no such plugin" in caplog.text

    with mqd.embedded.Broker(tmp_path, plugins=[]) as broker:
        assert "invalid exchange type 'x-random'" in declare(broker, "x-random")
        assert "received 'fanout' but current is ''x-random''" in declare(broker, "fanout")
        with channel_to(broker) as channel:
            channel.exchange_declare("x", passive=True)
            channel.queue_bind("q", "x", "other")
            channel.queue_unbind("q", "x", "other")
            channel.exchange_bind("x", "amq.fanout")
            for exchange in ("x", "amq.fanout"):
                with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
                    publish(channel.connection.channel(), exchange)
                assert caught.value.reply_text == (
                    "PRECONDITION_FAILED - Cannot route message through exchange 'x' in vhost '/': "
                    "exchange type x-random not found"
                )

    (tmp_path / "enabled_plugins").write_text(f"[{RANDOM}].")
    with mqd.embedded.Broker(tmp_path) as broker, channel_to(broker) as channel:
        publish(channel, "x")
        assert channel.basic_get("q", auto_ack=True)[2] == b"m"


def publish(channel: BlockingChannel, exchange: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, "k", b"m", mandatory=True)


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "enabled_plugins").write_text("rabbitmq_random_exchange\n")
    with (
        pytest.raises(ConfigError, match=r"enabled_plugins:1: '\[' expected"),
        mqd.embedded.Broker(tmp_path),
    ):
        pass


def test_a_hash_ring_is_the_same_after_a_restart(tmp_path: Path) -> None:
    def places(channel: BlockingChannel) -> list[int]:
        channel.confirm_delivery()
        for number in range(200):
            channel.basic_publish("x", f"key.{number}", str(number).encode())
        found = dict.fromkeys(range(200), -1)
        for queue in range(5):
            while (body := channel.basic_get(f"q{queue}", auto_ack=True)[2]) is not None:
                found[int(body)] = queue
        return list(found.values())

    with mqd.embedded.Broker(tmp_path, plugins=[HASH]) as broker, channel_to(broker) as channel:
        channel.exchange_declare("x", "x-consistent-hash", durable=True)
        for queue in (3, 0, 4, 1, 2):
            channel.queue_declare(f"q{queue}", durable=True)
            channel.queue_bind(f"q{queue}", "x", str(queue + 1))
        channel.queue_unbind("q0", "x", "1")
        channel.queue_bind("q0", "x", "2")
        channel.queue_bind("q3", "x", "9")
        before = places(channel)
    assert set(before) == set(range(5))
    with mqd.embedded.Broker(tmp_path) as broker, channel_to(broker) as channel:
        assert places(channel) == before
