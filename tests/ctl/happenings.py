"""Things done to a broker, and the events that consume_event_stream tells of them, made comparable.

    python -m tests.ctl.happenings PORT >tests/ctl/events-3.10.8.txt

records them from a RabbitMQ 3.10.8 without plugins, whose tools are found on PATH and reach it by
the environment.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pika
import pika.exceptions

RECORDED = Path(__file__).with_name("events-3.10.8.txt")
DURATION_S = "25"
_VHOST = """
add_vhost v --description d --tags a,b
add_user u secret
set_user_tags u management monitoring
set_permissions -p v u a b c
set_topic_permissions -p v u amq.topic x y
clear_topic_permissions -p v u amq.topic
clear_topic_permissions -p v u
change_password u other
clear_password u
set_user_limits u {"max-connections":5}
clear_user_limits u max-connections
set_policy -p v --priority 3 --apply-to queues p ^q {"max-length":10}
clear_policy -p v p
set_operator_policy -p v o ^q {"max-length":10}
clear_operator_policy -p v o
set_vhost_limits -p v {"max-queues":7}
clear_vhost_limits -p v
set_global_parameter g {"a":[1,2,"x"]}
clear_global_parameter g
set_vhost_tags v t
set_policy -p v left ^q {"max-length":10}
delete_vhost v
delete_user u
set_vm_memory_high_watermark 0.000001
set_vm_memory_high_watermark 0.9
"""


def _connect(port: int, password: str = "guest", vhost: str = "/") -> pika.BlockingConnection:
    credentials = pika.PlainCredentials("guest", password)
    named = {"connection_name": "named"}
    parameters = pika.ConnectionParameters(
        "127.0.0.1", port, vhost, credentials, client_properties=named
    )
    return pika.BlockingConnection(parameters)


def _refused(port: int, password: str, vhost: str) -> None:
    try:
        _connect(port, password, vhost)
    except pika.exceptions.AMQPConnectionError:
        return
    raise AssertionError("let in")


def happen(
    port: int, ctl: Callable[..., object], settle: Callable[[], None] = lambda: None
) -> None:
    """Do it all. settle: gives the broker time to look at its memory."""
    for line in _VHOST.split("\n"):
        if line:
            ctl(*line.split())
            if "watermark" in line:
                settle()
    _refused(port, "wrong", "/")
    _refused(port, "guest", "none")
    with _connect(port) as connection:
        channel = connection.channel()
        channel.exchange_declare("x", "topic", durable=True, arguments={"foo": "bar", "n": 1})
        channel.exchange_declare("auto", "fanout", auto_delete=True)
        channel.queue_declare("q", durable=True, arguments={"x-max-length": 5})
        channel.queue_declare("q", durable=True, arguments={"x-max-length": 5})
        channel.queue_declare("own", exclusive=True)
        for kind in ("quorum", "stream"):
            channel.queue_declare(kind, durable=True, arguments={"x-queue-type": kind})
        channel.queue_bind("q", "x", "a.*", {"k": "v"})
        channel.queue_bind("q", "x", "a.*", {"k": "v"})
        channel.queue_bind("own", "auto", "")
        channel.exchange_bind("auto", "x", "#")
        channel.basic_qos(prefetch_count=3)
        priority = {"x-priority": 2}
        channel.basic_consume("own", print, consumer_tag="t", exclusive=True, arguments=priority)
        channel.basic_consume("quorum", print, consumer_tag="t2", auto_ack=True)
        channel.basic_cancel("t2")
        channel.queue_unbind("own", "auto", "")
        channel.queue_bind("own", "x", "key")
        channel.queue_delete("quorum")
        channel.queue_delete("stream")
        channel.exchange_delete("x")
        failing = connection.channel()
        with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            failing.queue_declare("none", passive=True)
        channel.queue_delete("q")
        channel.queue_declare("auto", auto_delete=True)
        channel.queue_bind("auto", "amq.topic", "r")
        channel.basic_consume("auto", print, consumer_tag="t3")


_CHANGING = (
    (r"<[^<>]*@[^<>]*>", "PID"),
    (r"[\w-]+@[\w.-]+", "NODE"),
    (r'"client_properties":\[.*?\}"\]', '"client_properties":[]'),
    (r'_(ms|at)":\d{10,}', r'_\1":TIME'),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r'port":\d+', 'port":PORT'),
)


def comparable(lines: Iterable[str]) -> list[str]:
    """In the order of the alphabet, without what is different every time and without what mqd
    does not tell (`mqd.broker.events`)."""
    found = []
    for line in lines:
        told = line.strip()
        for pattern, word in _CHANGING:
            told = re.sub(pattern, word, told)
        marks = "exchange-delete-in-progress" in told
        twice = "consumer.deleted" in told and "user_who" not in told
        if told and not marks and not twice:
            found.append(told)
    return sorted(found)


def _record(port: int) -> None:
    stream = subprocess.Popen(
        ["rabbitmq-diagnostics", "consume_event_stream", "-d", DURATION_S],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(3)
    happen(
        port,
        lambda *words: subprocess.run(["rabbitmqctl", "-q", *words], check=True),
        lambda: time.sleep(2),
    )
    print("\n".join(comparable(stream.communicate()[0].splitlines())))


if __name__ == "__main__":
    _record(int(sys.argv[1]))
