"""Real nodes: who was told that the third disc node has started may lose the first one at once."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest

from tests.cluster.trio import Member, Trio


def _link(member: Member) -> pika.BlockingConnection:
    parameters = pika.ConnectionParameters(member.address, member.port, heartbeat=0)
    return pika.BlockingConnection(parameters)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_confirmed_message_survives_the_loss_of_the_first_node_right_after_the_joins(
    tmp_path: Path,
) -> None:
    trio = Trio("mqd", tmp_path / "nodes")
    try:
        trio.start()
        first, second, _ = trio
        with _link(first) as link:
            channel = link.channel()
            channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
            channel.confirm_delivery()
            channel.basic_publish("", "q", b"kept", pika.BasicProperties(delivery_mode=2))
        first.kill()
        with _link(second) as link:
            channel = link.channel()
            method, _, body = channel.basic_get("q", auto_ack=True)
            assert method is not None
            assert body == b"kept"
            channel.exchange_declare("x", "direct", durable=True)  # ordered without the first one
    finally:
        trio.end()
