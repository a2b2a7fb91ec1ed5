"""A broker inside this process: the daemon's composition without the daemon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import aio_pika
import pika
import pytest

from mqd.config.parse import ConfigError
from mqd.embedded import AsyncBroker, Broker
from mqd.errors import MqdError
from tests.waiting import PATIENCE_S


def publish_and_get(url: str, body: bytes) -> bytes | None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
        _, _, got = channel.basic_get("q", auto_ack=True)
        return got


def test_a_synchronous_broker_on_a_free_port() -> None:
    with Broker() as broker:
        assert broker.port > 0
        assert broker.url == f"amqp://guest:guest@127.0.0.1:{broker.port}/%2F"
        assert publish_and_get(broker.url, b"hello") == b"hello"


def test_two_at_once_do_not_meet() -> None:
    with Broker() as one, Broker() as other:
        assert one.port != other.port


def test_it_can_be_started_again_on_the_same_data(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with broker:
        parameters = pika.URLParameters(broker.url)
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.queue_declare("kept", durable=True)
            channel.confirm_delivery()
            channel.basic_publish("", "kept", b"m", pika.BasicProperties(delivery_mode=2))
    with broker, pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        _, _, body = connection.channel().basic_get("kept", auto_ack=True)
        assert body == b"m"


def test_an_orderly_stop_remembers_what_was_delivered(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with broker, pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.confirm_delivery()
        for body in (b"seen", b"unseen"):
            channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
        channel.basic_get("q")
    with broker, pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        found = [channel.basic_get("q", auto_ack=True) for _ in range(2)]
    assert [(method.redelivered, body) for method, _, body in found] == [
        (True, b"seen"),
        (False, b"unseen"),
    ]


def test_an_asynchronous_broker_on_the_running_loop() -> None:
    async def scenario() -> bytes:
        async with AsyncBroker() as broker:
            connection = await aio_pika.connect(broker.url)
            async with connection:
                channel = await connection.channel()
                queue = await channel.declare_queue(exclusive=True)
                message = aio_pika.Message(b"hello")
                await channel.default_exchange.publish(message, queue.name)
                got = await queue.get(timeout=PATIENCE_S)
                await got.ack()
                return got.body

    assert asyncio.run(scenario()) == b"hello"


def test_configuration_is_rabbitmqs() -> None:
    config = {
        "default_user": "al ice",
        "default_pass": "p/w",
        "default_vhost": "v",
        "heartbeat": "7",
    }
    with Broker(config=config) as broker:
        assert broker.url.startswith("amqp://al%20ice:p%2Fw@127.0.0.1:")
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            assert connection.is_open
    with pytest.raises(ConfigError, match="unknown key 'heartbeet'; did you mean 'heartbeat'"):
        Broker(config={"heartbeet": "7"})


def test_what_hinders_is_raised_where_it_was_started(tmp_path: Path) -> None:
    with Broker(tmp_path) as running:
        with pytest.raises(MqdError, match="in use by another node"):
            Broker(tmp_path).start()
        with pytest.raises(MqdError, match="cannot listen on 127"):
            Broker(port=running.port).start()


def test_stopping_twice_and_unstarted_is_harmless() -> None:
    broker = Broker()
    broker.stop()
    broker.start()
    broker.stop()
    broker.stop()


def test_a_control_socket_on_request(tmp_path: Path) -> None:
    with Broker(control=tmp_path / "run" / "c.sock"):
        assert (tmp_path / "run" / "c.sock").is_socket()
    assert not (tmp_path / "run" / "c.sock").exists()


def test_importing_it_does_not_import_grpc() -> None:
    code = "import sys, mqd.embedded; sys.exit('grpc' in sys.modules or 'pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_fixture_of_the_plugin(mqd_broker: Broker) -> None:
    assert publish_and_get(mqd_broker.url, b"x") == b"x"


def test_the_plugin_costs_other_test_runs_nothing() -> None:
    code = (
        "import sys, mqd.pytest_plugin; "
        "sys.exit(any(m.startswith('mqd.') and m != 'mqd.pytest_plugin' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
