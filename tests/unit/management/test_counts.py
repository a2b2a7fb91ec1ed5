"""message_stats of a queue: every kind of end that a message can have, counted by its clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

import mqd.embedded
from tests.unit.management.api import Api, settings

NAMES = (
    "publish",
    "deliver_get",
    "deliver",
    "deliver_no_ack",
    "get",
    "get_no_ack",
    "ack",
    "redeliver",
)
KINDS: dict[str, dict[str, Any]] = {
    "classic": {},
    "quorum": {"x-queue-type": "quorum"},
    "priorities": {"x-max-priority": 3},
}


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[Api, str]]:
    port, config = settings(collect_statistics_interval="100")
    with mqd.embedded.Broker(plugins=["rabbitmq_management"], config=config) as running:
        yield Api(port), running.url


def counted(api: Api, name: str) -> dict[str, int]:
    found = api.get(f"/queues/%2F/{name}")["message_stats"]
    return {one: found.get(one, 0) for one in NAMES}


@pytest.fixture
def channel(broker: tuple[Api, str]) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(broker[1])) as connection:
        yield connection.channel()


@pytest.mark.parametrize("kind", KINDS)
def test_each_end(broker: tuple[Api, str], channel: BlockingChannel, kind: str) -> None:
    api, _ = broker
    name = f"ends {kind}"
    path = name.replace(" ", "%20")
    channel.queue_declare(name, durable=True, arguments=KINDS[kind])
    expected = dict.fromkeys(NAMES, 0)
    assert counted(api, path) == expected

    def publish(count: int) -> None:
        for _ in range(count):
            channel.basic_publish("", name, b"x")
        channel.queue_declare(name, passive=True)
        expected["publish"] += count

    publish(10)
    assert counted(api, path) == expected
    channel.basic_get(name, auto_ack=True)
    expected["get_no_ack"] += 1
    expected["deliver_get"] += 1
    method, _, _ = channel.basic_get(name)
    channel.basic_ack(method.delivery_tag)
    expected["get"] += 1
    expected["ack"] += 1
    expected["deliver_get"] += 1
    method, _, _ = channel.basic_get(name)
    channel.basic_nack(method.delivery_tag, requeue=False)
    expected["get"] += 1
    expected["deliver_get"] += 1
    method, _, _ = channel.basic_get(name)
    channel.basic_nack(method.delivery_tag, requeue=True)
    expected["get"] += 1
    expected["deliver_get"] += 1
    channel.basic_qos(prefetch_count=2)
    taken: list[int] = []
    tag = channel.basic_consume(name, lambda c, m, p, b: taken.append(m.delivery_tag))
    while len(taken) < 2:
        channel.connection.process_data_events(0.05)
    expected["deliver"] += 2
    expected["deliver_get"] += 2
    found = counted(api, path)
    assert {k: v for k, v in found.items() if k != "redeliver"} == {
        k: v for k, v in expected.items() if k != "redeliver"
    }
    channel.basic_cancel(tag)
    channel.basic_ack(taken[-1], multiple=True)
    expected["ack"] += 2
    purged = channel.queue_purge(name).method.message_count
    assert purged == 5
    silent: list[int] = []
    tag = channel.basic_consume(name, lambda c, m, p, b: silent.append(1), auto_ack=True)
    publish(4)
    while len(silent) < 4:
        channel.connection.process_data_events(0.05)
    channel.basic_cancel(tag)
    expected["deliver_no_ack"] += 4
    expected["deliver_get"] += 4
    expected["redeliver"] += 1
    assert counted(api, path) == expected


def test_what_expires_or_is_too_much_was_never_delivered(
    broker: tuple[Api, str], channel: BlockingChannel
) -> None:
    api, _ = broker
    channel.queue_declare("short", arguments={"x-max-length": 2})
    channel.queue_declare("brief", arguments={"x-message-ttl": 0})
    for _ in range(5):
        channel.basic_publish("", "short", b"x")
        channel.basic_publish("", "brief", b"x")
    channel.queue_declare("brief", passive=True)
    for name in ("short", "brief"):
        assert counted(api, name) == dict.fromkeys(NAMES, 0) | {"publish": 5}


def test_rates_and_history(broker: tuple[Api, str], channel: BlockingChannel) -> None:
    api, _ = broker
    channel.queue_declare("rated")
    sent = 0
    for _ in range(200):
        channel.basic_publish("", "rated", b"x" * 100)
        sent += 1
        found = api.get("/queues/%2F/rated?msg_rates_age=60&msg_rates_incr=1")["message_stats"]
        if found.get("publish_details", {}).get("rate"):
            break
    assert 0 < found["publish"] <= sent
    assert found["publish_details"]["samples"][0]["sample"] <= sent
    totals = api.get("/overview?lengths_age=60&lengths_incr=1")["queue_totals"]
    assert totals["messages_details"]["samples"]
    assert api.get("/overview")["message_stats"]["publish"] >= 1
    assert api("DELETE", "/reset").status == 204
