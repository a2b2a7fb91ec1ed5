"""mqctl explain connection against a real node: a publisher that an alarm holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pika

from tests.nodes import Node


def explain(node: Node, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        node.ctl("explain", "connection", name, "--formatter", "json")
    )
    return found


def test_a_blocked_connection(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.await_control()
        parameters = pika.ConnectionParameters(
            *node.address, client_properties={"connection_name": "billing"}
        )
        connection = pika.BlockingConnection(parameters)
        blocked: list[object] = []
        connection.add_on_connection_blocked_callback(lambda *_: blocked.append(1))
        channel = connection.channel()
        channel.queue_declare("q")
        assert explain(node, "billing")["outcome"] == "running"

        node.ctl("set_vm_memory_high_watermark", "0")
        found = explain(node, "billing")
        assert found["outcome"] == "blocking"
        channel.basic_publish("", "q", b"x")
        while not blocked:
            connection.process_data_events(0.1)
        found = explain(node, "billing")
        assert found["outcome"] == "blocked"
        assert found["says"].startswith("connection billing of user 'guest' is blocked")
        assert [reason["kind"] for reason in found["reasons"]] == ["memory_alarm"]
        assert explain(node, found["name"])["outcome"] == "blocked"

        node.ctl("set_vm_memory_high_watermark", "0.4")
        assert explain(node, "billing")["outcome"] == "running"
        connection.close()
