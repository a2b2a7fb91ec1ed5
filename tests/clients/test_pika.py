"""pika, the client of RabbitMQ's own tutorials: each tutorial's story."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pika
import pika.exceptions
import pytest

from tests.waiting import PATIENCE_S

Channel = Any  # pika's own name for it is private


@pytest.fixture
def connection(url: str) -> Iterator[pika.BlockingConnection]:
    link = pika.BlockingConnection(pika.URLParameters(url))
    yield link
    if link.is_open:
        link.close()


@pytest.fixture
def channel(connection: pika.BlockingConnection) -> Channel:
    return connection.channel()


def drain(channel: Channel, queue: str, count: int) -> list[bytes]:
    """The next `count` bodies, acknowledged one by one."""
    bodies = []
    for method, _, body in channel.consume(queue, inactivity_timeout=PATIENCE_S):
        if method is None:
            break
        channel.basic_ack(method.delivery_tag)
        bodies.append(body)
        if len(bodies) == count:
            break
    channel.cancel()
    return bodies


def test_work_queue_shares_fairly(connection: pika.BlockingConnection) -> None:
    first, second, publisher = (connection.channel() for _ in range(3))
    queue = f"work-{uuid.uuid4()}"
    publisher.queue_declare(queue, durable=True)
    done: dict[str, list[bytes]] = {"first": [], "second": []}
    for name, worker in (("first", first), ("second", second)):
        worker.basic_qos(prefetch_count=1)

        def work(ch: Channel, method: Any, _: Any, body: bytes, name: str = name) -> None:
            done[name].append(body)
            ch.basic_ack(method.delivery_tag)

        worker.basic_consume(queue, work)
    properties = pika.BasicProperties(delivery_mode=2)
    for number in range(40):
        publisher.basic_publish("", queue, str(number).encode(), properties)
    while sum(map(len, done.values())) < 40:
        connection.process_data_events(time_limit=1)
    assert sorted(int(b) for b in done["first"] + done["second"]) == list(range(40))
    assert min(len(bodies) for bodies in done.values()) >= 10
    publisher.queue_delete(queue)


def test_unacked_work_goes_to_the_next_worker(url: str) -> None:
    queue = f"redo-{uuid.uuid4()}"
    one, two = (pika.BlockingConnection(pika.URLParameters(url)) for _ in range(2))
    channel = one.channel()
    channel.queue_declare(queue)
    channel.basic_publish("", queue, b"job")
    method, _, _ = channel.basic_get(queue)
    assert method is not None
    assert not method.redelivered
    one.close()
    method, _, body = two.channel().basic_get(queue, auto_ack=True)
    assert method is not None
    assert (method.redelivered, body) == (True, b"job")
    two.channel().queue_delete(queue)
    two.close()


def test_publish_subscribe(channel: Channel) -> None:
    exchange = f"logs-{uuid.uuid4()}"
    channel.exchange_declare(exchange, "fanout")
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
    for queue in queues:
        channel.queue_bind(queue, exchange)
    channel.basic_publish(exchange, "", b"news")
    assert [drain(channel, queue, 1) for queue in queues] == [[b"news"]] * 3
    channel.exchange_delete(exchange)


def test_routing(channel: Channel) -> None:
    exchange = f"severity-{uuid.uuid4()}"
    channel.exchange_declare(exchange, "direct")
    errors = channel.queue_declare("", exclusive=True).method.queue
    everything = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(errors, exchange, "error")
    for severity in ("info", "warning", "error"):
        channel.queue_bind(everything, exchange, severity)
        channel.basic_publish(exchange, severity, severity.encode())
    assert drain(channel, errors, 1) == [b"error"]
    assert channel.basic_get(errors)[0] is None
    assert drain(channel, everything, 3) == [b"info", b"warning", b"error"]
    channel.exchange_delete(exchange)


def test_topics(channel: Channel) -> None:
    exchange = f"animals-{uuid.uuid4()}"
    channel.exchange_declare(exchange, "topic")
    orange = channel.queue_declare("", exclusive=True).method.queue
    lazy = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(orange, exchange, "*.orange.*")
    channel.queue_bind(lazy, exchange, "*.*.rabbit")
    channel.queue_bind(lazy, exchange, "lazy.#")
    keys = ("quick.orange.rabbit", "lazy.orange.elephant", "quick.orange.fox", "lazy", "orange")
    for key in keys:
        channel.basic_publish(exchange, key, key.encode())
    assert drain(channel, orange, 3) == [b"quick.orange.rabbit", b"lazy.orange.elephant",
                                         b"quick.orange.fox"]  # fmt: skip
    assert drain(channel, lazy, 3) == [b"quick.orange.rabbit", b"lazy.orange.elephant", b"lazy"]
    channel.exchange_delete(exchange)


@pytest.mark.parametrize("direct", [False, True], ids=["reply queue", "direct reply-to"])
def test_rpc(connection: pika.BlockingConnection, direct: bool) -> None:
    client, server = connection.channel(), connection.channel()
    requests = server.queue_declare("", exclusive=True).method.queue

    def answer(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        ch.basic_publish("", properties.reply_to, str(int(body) ** 2).encode(), reply)
        ch.basic_ack(method.delivery_tag)

    server.basic_consume(requests, answer)
    replies = "amq.rabbitmq.reply-to"
    if not direct:
        replies = client.queue_declare("", exclusive=True).method.queue
    answers: dict[str, bytes] = {}
    client.basic_consume(
        replies,
        lambda _ch, _method, properties, body: answers.update({properties.correlation_id: body}),
        auto_ack=True,
    )
    for number in range(10):
        question = pika.BasicProperties(reply_to=replies, correlation_id=str(number))
        client.basic_publish("", requests, str(number).encode(), question)
    while len(answers) < 10:
        connection.process_data_events(time_limit=1)
    assert answers == {str(n): str(n * n).encode() for n in range(10)}


def test_confirms_and_returns(channel: Channel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.confirm_delivery()
    for number in range(20):
        channel.basic_publish("", queue, str(number).encode(), mandatory=True)
    assert channel.queue_declare(queue, passive=True).method.message_count == 20
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("", f"nowhere-{uuid.uuid4()}", b"back", mandatory=True)
    assert caught.value.messages[0].body == b"back"


def test_transaction(channel: Channel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.tx_select()
    channel.basic_publish("", queue, b"dropped")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"kept")
    channel.tx_commit()
    assert drain(channel, queue, 1) == [b"kept"]
    assert channel.basic_get(queue)[0] is None


def test_channel_error_names_the_thing(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        channel.queue_declare("no-such-queue", passive=True)
    assert caught.value.reply_code == 404
    assert caught.value.reply_text == "NOT_FOUND - no queue 'no-such-queue' in vhost '/'"
    assert connection.channel().is_open


def test_wrong_password_is_refused(address: tuple[str, int]) -> None:
    credentials = pika.PlainCredentials("guest", "wrong")
    parameters = pika.ConnectionParameters(address[0], address[1], "/", credentials)
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


def test_large_message(channel: Channel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    body = bytes(range(256)) * 4096 * 4  # 4 MiB
    channel.basic_publish("", queue, body)
    assert drain(channel, queue, 1) == [body]


def test_consumer_is_cancelled_with_its_queue(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    queue = channel.queue_declare("").method.queue
    cancelled: list[Any] = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume(queue, lambda *_: None)
    connection.channel().queue_delete(queue)
    while not cancelled:
        connection.process_data_events(time_limit=1)
    assert len(cancelled) == 1
