"""Messages put off by an x-delayed-message exchange, over an orderly end and over kill -9."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.nodes import Node
from tests.waiting import PATIENCE_S

_PLUGINS = ("rabbitmq_delayed_message_exchange",)


@contextlib.contextmanager
def channel_to(node: Node) -> Iterator[BlockingChannel]:
    """The node may be gone when it is left."""
    parameters = pika.ConnectionParameters(*node.address, blocked_connection_timeout=PATIENCE_S)
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()


def prepare(channel: BlockingChannel) -> None:
    channel.exchange_declare(
        "x", "x-delayed-message", durable=True, arguments={"x-delayed-type": "topic"}
    )
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "x", "a.#")
    channel.confirm_delivery()


def publish(channel: BlockingChannel, body: str, delay_ms: int, mode: int = 2) -> None:
    """Returns when it is confirmed."""
    properties = pika.BasicProperties(headers={"x-delay": delay_ms}, delivery_mode=mode)
    channel.basic_publish("x", "a.b", body.encode(), properties, mandatory=True)


def consumed(channel: BlockingChannel, count: int) -> list[tuple[str, int]]:
    """(body, x-delay) of so many messages, in order; one may come again after a crash."""
    found: dict[str, int] = {}
    for method, properties, body in channel.consume("q", inactivity_timeout=PATIENCE_S):
        assert body is not None, f"only {found} came"
        channel.basic_ack(method.delivery_tag)
        found.setdefault(body.decode(), properties.headers["x-delay"])
        if len(found) == count:
            break
    channel.cancel()
    return list(found.items())


@pytest.mark.parametrize("end", [Node.stop, Node.kill], ids=["stop", "kill -9"])
def test_nothing_confirmed_is_lost_or_early(tmp_path: Path, end: Callable[[Node], object]) -> None:
    with Node(tmp_path, plugins=_PLUGINS) as node:
        with channel_to(node) as channel:
            prepare(channel)
            began = time.monotonic()
            for number, delay_ms in enumerate((7000, 1, 5500, 1, 4000, 86_400_000)):
                publish(channel, str(number), delay_ms, mode=1 + number % 2)
            assert [body for body, _ in consumed(channel, 2)] == ["1", "3"]
            publish(channel, "past", 1)  # may stand in the queue by then, or still wait
        end(node)
        node.start()
        with channel_to(node) as channel:
            wanted = [("past", -1), ("4", -4000), ("2", -5500), ("0", -7000)]
            assert consumed(channel, 4) == wanted
        assert time.monotonic() - began >= 7.0


def test_a_crash_while_they_come_due(tmp_path: Path) -> None:
    """Every one of them is there afterwards, at least once."""
    with Node(tmp_path, plugins=_PLUGINS) as node:
        with channel_to(node) as channel:
            prepare(channel)
            for number in range(400):
                publish(channel, str(number), 1 + number)
            node.kill()
        node.start()
        with channel_to(node) as channel:
            found = {body for body, _ in consumed(channel, 400)}
        assert found == {str(number) for number in range(400)}
