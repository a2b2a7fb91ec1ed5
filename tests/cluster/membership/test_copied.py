"""Real nodes: who was told that the third disc node has started may lose the first one at once."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest

from tests.cluster.trio import Member, Trio
from tests.waiting import eventually


def _link(member: Member) -> pika.BlockingConnection:
    parameters = pika.ConnectionParameters(member.address, member.port, heartbeat=0)
    return pika.BlockingConnection(parameters)


@pytest.mark.slow
@pytest.mark.timeout(300)
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


def _stores(member: Member) -> set[Path]:
    return set(member.directory.glob("mnesia/*/engine/*/jetstream"))


def _some_of_a_copy(stores: set[Path]) -> bool:
    """On its disc; 100 kB are much less than there is."""
    blocks = [block for store in stores for block in store.glob("*/streams/Q*/msgs/*.blk")]
    return any(block.stat().st_size > 100_000 for block in blocks)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_survivor_that_was_being_copied_to_goes_on_with_what_it_has(tmp_path: Path) -> None:
    """The one that had everything is lost; nothing waits for it."""
    queues = [f"q{number}" for number in range(8)]
    trio = Trio("mqd", tmp_path / "nodes")
    try:
        trio.start()
        first, second, third = trio
        with _link(first) as link:
            channel = link.channel()
            channel.confirm_delivery()
            for queue in queues:
                channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
                for _ in range(40):
                    channel.basic_publish("", queue, b"0" * 100_000)
        for member in trio:
            member.kill()
        before = _stores(third)
        first.ctl("force_boot")
        first.start()
        second.launch()
        third.launch()
        eventually(lambda: _some_of_a_copy(_stores(third) - before))
        for member in trio:
            member.kill()
        third.ctl("force_boot")
        third.start()
        log = (third.directory / "log" / f"{third.name}.log").read_text()
        assert "copies of quorum queues were not whole when it ran last" in log
        with _link(third) as link:
            channel = link.channel()
            channel.confirm_delivery()
            for queue in queues:
                channel.basic_publish("", queue, b"new")
    finally:
        trio.end()
