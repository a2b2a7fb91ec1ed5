"""kombu and py-amqp, what Celery and OpenStack stand on."""

from __future__ import annotations

import socket
import uuid
from typing import Any

import amqp
import kombu
import pytest
from kombu import pools
from kombu.pools import producers

from tests.waiting import PATIENCE_S


def test_kombu_work_queue_and_routing(url: str) -> None:
    exchange = kombu.Exchange(f"k-{uuid.uuid4()}", "direct", auto_delete=True)
    queue = kombu.Queue(f"k-{uuid.uuid4()}", exchange, routing_key="work", auto_delete=True)
    seen: list[Any] = []
    with kombu.Connection(url) as connection:
        with producers[connection].acquire(block=True) as producer:
            for number in range(10):
                producer.publish(
                    {"number": number},
                    exchange=exchange,
                    routing_key="work",
                    serializer="json",
                    declare=[exchange, queue],
                    retry=True,
                )

        def take(body: Any, message: kombu.Message) -> None:
            seen.append(body["number"])
            message.ack()

        with connection.Consumer(queue, callbacks=[take]):
            while len(seen) < 10:
                connection.drain_events(timeout=PATIENCE_S)
    pools.reset()
    assert seen == list(range(10))


def test_kombu_fanout_topic_and_simple_queue(url: str) -> None:
    with kombu.Connection(url) as connection:
        channel = connection.channel()
        topic = kombu.Exchange(f"t-{uuid.uuid4()}", "topic", auto_delete=True)
        queues = [kombu.Queue("", topic, routing_key=key, exclusive=True) for key in ("a.#", "*.b")]
        bound = [queue(channel) for queue in queues]
        for queue in bound:
            queue.declare()
        kombu.Producer(channel, topic).publish("x", routing_key="a.b")
        kombu.Producer(channel, topic).publish("y", routing_key="a.c.d")
        bodies = []
        for queue in bound:
            while (message := queue.get(no_ack=True)) is not None:
                bodies.append(message.payload)
        assert bodies == ["x", "y", "x"]
        simple = connection.SimpleQueue(f"s-{uuid.uuid4()}")
        simple.put({"a": [1, 2]})
        message = simple.get(timeout=PATIENCE_S)
        assert message.payload == {"a": [1, 2]}
        message.ack()
        simple.close()
        simple.queue(channel).delete()


def test_kombu_confirms(url: str) -> None:
    options = {"confirm_publish": True}
    with kombu.Connection(url, transport_options=options) as connection:
        simple = connection.SimpleQueue(f"c-{uuid.uuid4()}", queue_opts={"durable": True})
        for number in range(20):
            simple.put(number)
        assert simple.qsize() == 20
        simple.queue.delete()
        simple.close()


@pytest.fixture
def link(address: tuple[str, int], request: pytest.FixtureRequest) -> Any:
    """parameter: the heartbeat in seconds; none, unless a test asks for it."""
    heartbeat = getattr(request, "param", 0)
    connection = amqp.Connection(
        f"{address[0]}:{address[1]}", confirm_publish=True, heartbeat=heartbeat
    )
    connection.connect()
    yield connection
    connection.close()


def test_amqp_every_method_answers(link: Any) -> None:
    channel = link.channel()
    exchange, queue = f"x-{uuid.uuid4()}", f"q-{uuid.uuid4()}"
    channel.exchange_declare(exchange, "direct", durable=True, auto_delete=False)
    channel.queue_declare(queue, durable=True, auto_delete=False)
    channel.queue_bind(queue, exchange, "k")
    channel.basic_qos(0, 10, False)
    channel.basic_publish(amqp.Message("one", delivery_mode=2), exchange, "k")
    channel.basic_publish_confirm(amqp.Message("two"), exchange, "k")
    assert channel.queue_declare(queue, passive=True).message_count == 2
    message = channel.basic_get(queue)
    channel.basic_reject(message.delivery_tag, True)
    channel.basic_recover(True)
    seen = []

    def take(received: Any) -> None:
        seen.append(received.body)
        channel.basic_ack(received.delivery_tag)

    tag = channel.basic_consume(queue, callback=take)
    while len(seen) < 2:
        link.drain_events(timeout=PATIENCE_S)
    channel.basic_cancel(tag)
    assert seen == ["one", "two"]
    channel.queue_unbind(queue, exchange, "k")
    assert channel.queue_purge(queue) == 0
    channel.queue_delete(queue)
    channel.exchange_delete(exchange)
    channel.close()


@pytest.mark.parametrize("link", [2], indirect=True)
def test_amqp_heartbeats(link: Any) -> None:
    """The server beats every second of the two agreed, and keeps a client that beats too."""
    before = link.bytes_recv
    for _ in range(6):
        link.send_heartbeat()
        with pytest.raises(socket.timeout):
            link.drain_events(timeout=0.7)
    assert link.bytes_recv >= before + 2
    assert link.channel().is_open


def test_amqp_channel_error_then_goes_on(link: Any) -> None:
    channel = link.channel()
    with pytest.raises(amqp.NotFound, match="no exchange 'nope' in vhost '/'"):
        channel.queue_bind(channel.queue_declare("").queue, "nope", "k")
    assert link.channel().queue_declare("", exclusive=True).queue.startswith("amq.gen-")
