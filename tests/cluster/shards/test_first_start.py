"""Real nodes: a queue in use goes into a shard when a second disc member comes, and out of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from tests.cluster.trio import Member, Trio
from tests.waiting import eventually

WITHIN_S = 60.0


class Publisher(threading.Thread):
    """Numbers what it sends, one after the other, and has each confirmed; on a link of its own."""

    def __init__(self, member: Member, line: int, room: threading.Semaphore) -> None:
        super().__init__()
        self.line = line
        self.confirmed = 0
        self.member = member
        self.ends = threading.Event()
        self.room = room
        self.start()

    def run(self) -> None:
        channel = connected(self.member).channel()
        channel.confirm_delivery()
        while not self.ends.is_set():
            if self.room.acquire(timeout=1):
                body = f"{self.line}.{self.confirmed}".encode()
                channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
                self.confirmed += 1
        channel.connection.close()


class Consumer(threading.Thread):
    """Hears and acknowledges, most of the time in no hurry, so that the queue has messages."""

    def __init__(self, member: Member, room: threading.Semaphore) -> None:
        super().__init__()
        self.heard: list[tuple[int, int, bool]] = []
        self.member = member
        self.ends = threading.Event()
        self.room = room
        self.start()

    def run(self) -> None:
        channel = connected(self.member).channel()
        channel.basic_qos(prefetch_count=20)
        for method, _, body in channel.consume("q", inactivity_timeout=0.2):
            if method is not None:
                line, number = body.split(b".")
                self.heard.append((int(line), int(number), method.redelivered))
                channel.basic_ack(method.delivery_tag)
                self.room.release()
            elif self.ends.is_set():
                break
        channel.connection.close()


def connected(member: Member) -> pika.BlockingConnection:
    return pika.BlockingConnection(
        pika.ConnectionParameters(member.address, member.port, heartbeat=0)
    )


@contextmanager
def trio(path: Path) -> Iterator[Trio]:
    made = Trio("mqd", path)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def ended() -> Iterator[list[Publisher | Consumer]]:
    """Whatever happens they have ended before their nodes do: who came first ends last."""
    parties: list[Publisher | Consumer] = []
    try:
        yield parties
    finally:
        for one in reversed(parties):
            one.ends.set()
            one.join(WITHIN_S)


def is_replicated(member: Member, *others: Member) -> bool:
    """As soon as others have copies they can be made members."""
    for other in others:
        member.ctl("--script-name", "rabbitmq-queues", "grow", other.name, "all")
    found = member.ctl("-q", "list_queues", "name", "members", "--formatter", "json")
    return found.count("@") > 1


@pytest.mark.timeout(300)
def test_a_queue_in_use_keeps_its_order(tmp_path: Path) -> None:
    with trio(tmp_path) as three:
        first, second, _ = three.members
        for member in (first, second):
            member.launch()
            member.await_up()
        arguments: dict[str, Any] = {"x-queue-type": "quorum"}
        link = connected(first)
        link.channel().queue_declare("q", durable=True, arguments=arguments)
        link.close()
        room = threading.Semaphore(300)  # so many messages are in the queue
        with ended() as parties:
            parties.append(consumer := Consumer(first, room))
            publishers = [Publisher(first, line, room) for line in range(4)]
            parties += publishers
            eventually(lambda: publishers[0].confirmed > 50)
            second.join(first)
            others = [Publisher(second, line, room) for line in range(4, 6)]
            parties += others
            eventually(lambda: is_replicated(first, second))
            count = publishers[0].confirmed
            eventually(lambda: publishers[0].confirmed > count + 50)
            for one in others:
                one.ends.set()
                one.join()
            second.ctl("stop_app")
            second.ctl("reset")
            eventually(lambda: not is_replicated(first))
            count = publishers[0].confirmed
            eventually(lambda: publishers[0].confirmed > count + 50)
            for one in publishers:
                one.ends.set()
                one.join()
            publishers += others
            sent = {(one.line, n) for one in publishers for n in range(one.confirmed)}
            eventually(lambda: sent <= {(line, n) for line, n, _ in consumer.heard.copy()})
        heard = consumer.heard
        for publisher in publishers:
            numbers = [n for line, n, _ in heard if line == publisher.line]
            assert set(numbers) == set(range(publisher.confirmed)), "lost"
            fresh = [n for line, n, again in heard if line == publisher.line and not again]
            assert fresh == sorted(set(fresh)), f"{publisher.line}: out of order, or twice"
        again = sum(again for *_, again in heard)
        print(f"{len(heard)} deliveries, {again} of them redelivered")
