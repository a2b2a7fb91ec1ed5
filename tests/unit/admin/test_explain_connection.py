"""Why a connection is blocked or slow."""

from __future__ import annotations

import pytest

from mqd.admin.context import DiskSpace
from mqd.admin.explain_connection import explain, find
from mqd.admin.explaining import Answer
from mqd.amqp.fields import Table
from mqd.broker.entries import ConnectionEntry
from tests.unit.admin.stand import Stand

CAPABLE: Table = {
    "capabilities": ("table", {"connection.blocked": ("bool", True)}),
    "connection_name": ("longstr", b"billing"),
}


@pytest.fixture
def stand() -> Stand:
    return Stand()


def ask(stand: Stand, entry: ConnectionEntry) -> Answer:
    disk = DiskSpace(free_bytes=5, limit_bytes=50)
    return explain(entry, stand.broker.alarms, stand.node.memory(), disk)


def kinds(answer: Answer) -> list[str]:
    return [reason.kind for reason in answer.reasons]


def test_found_by_what_people_know(stand: Stand) -> None:
    stand.connect()
    entry = stand.connect(properties=CAPABLE)
    entries = stand.broker.connections.values()
    for wanted in (entry.pid, entry.name, "billing", "127.0.0.1:40001"):
        assert find(entries, wanted) is entry
    assert find(entries, "nobody") is None


def test_nothing_is_wrong(stand: Stand) -> None:
    answer = ask(stand, stand.connect(properties=CAPABLE))
    assert (answer.outcome, answer.reasons) == ("running", [])
    assert answer.says == "connection billing of user 'guest' is not blocked"


@pytest.mark.parametrize(
    ("alarm", "text"),
    [
        ("memory", "uses 1000 bytes of memory, and may use 4000"),
        ("disk", "5 bytes are free on the disc, and 50 have to be"),
        ("other", "the alarm other is on"),
    ],
)
def test_alarms(stand: Stand, alarm: str, text: str) -> None:
    entry = stand.connect(properties=CAPABLE)
    stand.broker.set_alarm(alarm, True)
    assert ask(stand, entry).outcome == "blocking"
    entry.hold(alarm)
    answer = ask(stand, entry)
    assert answer.outcome == "blocked"
    assert text in answer.reasons[0].says
    assert answer.reasons[0].command


def test_a_client_that_cannot_be_told(stand: Stand) -> None:
    entry = stand.connect()
    stand.broker.set_alarm("memory", True)
    entry.hold("memory")
    assert kinds(ask(stand, entry)) == ["memory_alarm", "client_not_told"]


def test_flow(stand: Stand) -> None:
    entry = stand.connect()
    entry.slowed = True
    answer = ask(stand, entry)
    assert (answer.outcome, kinds(answer)) == ("flow", ["flow"])


def test_a_client_that_does_not_read(stand: Stand) -> None:
    entry = stand.connect()
    entry.outlet.congested = True
    answer = ask(stand, entry)
    assert (answer.outcome, kinds(answer)) == ("congested", ["client_does_not_read"])


def test_its_own_queue(stand: Stand) -> None:
    queue = stand.queue("q")
    stand.publish(queue)
    entry = stand.connect()
    stand.consume(stand.channel(entry), queue, "c", prefetch=1)
    reason = ask(stand, entry).reasons[0]
    assert (reason.kind, reason.command) == ("prefetch_exhausted", "mqctl explain queue -p / q")


def test_one_that_closes(stand: Stand) -> None:
    entry = stand.connect()
    entry.state = "closing"
    assert ask(stand, entry).outcome == "closing"
