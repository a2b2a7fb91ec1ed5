"""What is defined on a broker so that its export has something of everything, and how two exports
are compared.

    python -m tests.ctl.exchanged

writes definitions-3.10.8.json anew, from the RabbitMQ that is installed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pika

from tests.suites.brokers import Running, rabbitmq, rabbitmq_folder

RECORDED = Path(__file__).parent / "definitions-3.10.8.json"
OPERATOR = ("set_operator_policy", "-p", "v", "op", "^o", '{"max-length":100,"expires":999999}')
WORDS: tuple[tuple[str, ...], ...] = (
    ("add_vhost", "v", "--description", "Of tests", "--tags", "a,b"),
    ("add_vhost", "typed", "--default-queue-type", "quorum", "--tags", "x,y"),
    ("add_vhost", "bare"),
    ("add_user", "bob", "secret"),
    ("set_user_tags", "bob", "administrator", "own"),
    ("add_user", "nobody", "x"),
    ("clear_password", "nobody"),
    ("set_user_limits", "bob", '{"max-connections":5,"max-channels":-1}'),
    ("set_permissions", "-p", "v", "bob", "^a", "^b", ".*"),
    ("set_topic_permissions", "-p", "v", "bob", "amq.topic", "^w", "^{username}"),
    ("set_vhost_limits", "-p", "v", '{"max-queues":500,"max-connections":-1}'),
    ("set_policy", "-p", "v", "pol", "^p", '{"max-length":3,"overflow":"reject-publish"}'),
    ("set_policy", "alt", "^x", '{"alternate-exchange":"xd"}', "--apply-to", "exchanges"),
    ("set_global_parameter", "object", '{"a":1,"b":[1,{"c":true}]}'),
    ("set_global_parameter", "list", '[1,"two",3.5,{"x":"y"}]'),
    ("set_global_parameter", "empty", "{}"),
    ("set_cluster_name", "tests"),
)
QUEUES: dict[str, dict[str, Any]] = {
    "classic": {
        "x-max-length": 10,
        "x-message-ttl": 5000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "k",
        "x-max-priority": 5,
    },
    "lazy": {"x-queue-mode": "lazy", "x-single-active-consumer": True},
    "quorum": {"x-queue-type": "quorum", "x-delivery-limit": 4},
    "stream": {"x-queue-type": "stream", "x-max-age": "1D"},
    '\u00fc\u00f1\u00ed "\\': {},
}
ARGUMENTS = {
    "x-match": "all",
    "n": 5,
    "big": 2**40,
    "s": "t",
    "l": [1, "x"],
    "b": True,
    "t": {"k": 1},
}


def define(broker: Running) -> None:
    """All of it on a virgin broker."""
    for words in (*WORDS, OPERATOR):
        broker.control("-q", *words)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port))
    channel = connection.channel()
    for name, arguments in QUEUES.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    channel.queue_declare("transient")
    channel.queue_declare("auto", durable=True, auto_delete=True)
    channel.exchange_declare("xd", "direct", durable=True)
    channel.exchange_declare("xt", "topic")
    channel.exchange_declare("xf", "fanout", durable=True, auto_delete=True)
    channel.exchange_declare("xh", "headers", durable=True, arguments={"alternate-exchange": "xd"})
    channel.queue_bind("classic", "xd", "k1")
    channel.queue_bind("classic", "xh", "", arguments=ARGUMENTS)
    channel.queue_bind("transient", "xt", "k.#")
    channel.exchange_bind("xf", "xd", "f")
    channel.exchange_bind("xd", "amq.topic", "*.t")
    connection.close()


def compared(text: str) -> dict[str, Any]:
    """An export without the order of what has none, and with every vhost's tags as a list."""
    document: dict[str, Any] = json.loads(text)
    for vhost in document["vhosts"]:
        tags = vhost["metadata"]["tags"]
        if isinstance(tags, str):
            vhost["metadata"]["tags"] = [tag for tag in tags.split(",") if tag]
    return ordered(document)


def ordered(document: dict[str, Any]) -> dict[str, Any]:
    """The same with tags as they are."""
    return {
        key: sorted(value, key=lambda one: json.dumps(one, sort_keys=True))
        if isinstance(value, list)
        else value
        for key, value in document.items()
    }


def main() -> None:
    """Record."""
    folder = rabbitmq_folder()
    assert folder is not None, "no RabbitMQ is installed"
    with (
        tempfile.TemporaryDirectory() as directory,
        rabbitmq(folder, Path(directory), None) as broker,
    ):
        define(broker)
        broker.control("-q", "export_definitions", str(RECORDED))


if __name__ == "__main__":
    main()
