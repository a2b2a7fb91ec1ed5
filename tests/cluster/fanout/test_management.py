"""The management API of one member tells of both, and acts on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pika
import pika.exceptions
import pytest

from tests.cluster.trio import Member
from tests.ports import free_ports
from tests.unit.management.api import Api
from tests.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MESSAGE = {"properties": {}, "payload": "hello", "payload_encoding": "string"}
GET = {"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[list[Member], list[Api]]]:
    ports = free_ports(2)
    members = [Member("mqd", tmp_path / f"n{index}", index, None) for index in (1, 2)]
    try:
        for member, port in zip(members, ports, strict=True):
            member.configure(f"management.tcp.port = {port}\nmanagement.tcp.ip = 127.0.0.1\n")
            (member.directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
            member.start()
        members[1].join(members[0])
        yield members, [Api(port) for port in ports]
    finally:
        for member in members:
            member.kill()


def test_each_knows_both(pair: tuple[list[Member], list[Api]]) -> None:
    members, apis = pair
    names = [member.name for member in members]
    for api, queue in zip(apis, ("here", "there"), strict=True):
        assert api("PUT", f"/queues/%2F/{queue}", {"durable": True}).status == 201
    placed = [("here", names[0]), ("there", names[1])]
    running = dict.fromkeys(names, True)
    for api in apis:
        eventually(lambda api=api: [(q["name"], q["node"]) for q in api.get("/queues")] == placed)
        eventually(lambda api=api: running_by_name(api) == running)
        for queue in ("here", "there"):
            publish = MESSAGE | {"routing_key": queue}
            assert api("POST", "/exchanges/%2F/amq.default/publish", publish).json == {
                "routed": True
            }
    first = apis[0]
    for queue in ("here", "there"):
        got: list[object] = []

        def came(queue: str = queue, got: list[object] = got) -> bool:
            got += first("POST", f"/queues/%2F/{queue}/get", GET).json
            return len(got) == 2

        eventually(came)
    parameters = pika.ConnectionParameters("127.0.0.1", members[1].port)
    connection = pika.BlockingConnection(parameters)
    try:
        connection.channel().basic_consume("here", lambda *_: None)
        rows = first.get("/connections")
        assert [row["node"] for row in rows] == [names[1]]
        assert [row["queue"]["name"] for row in first.get("/consumers")] == ["here"]
        # members tell each other of their clients some moments later
        eventually(lambda: first.get("/overview")["object_totals"]["connections"] == 1)
        path = f"/connections/{quote(rows[0]['name'], safe='')}"
        assert first("DELETE", path, headers={"X-Reason": "because"}).status == 204
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="because"):
            connection.process_data_events(PATIENCE_S)
    finally:
        if connection.is_open:
            connection.close()
    for queue in ("here", "there"):
        assert first("DELETE", f"/queues/%2F/{queue}/contents").status == 204
        assert apis[1]("DELETE", f"/queues/%2F/{queue}").status == 204
    members[1].stop()
    eventually(lambda: running_by_name(first) == {names[0]: True, names[1]: False})


def running_by_name(api: Api) -> dict[str, bool]:
    return {row["name"]: row["running"] for row in api.get("/nodes")}
