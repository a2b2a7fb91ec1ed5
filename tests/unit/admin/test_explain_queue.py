"""Why a queue does not drain."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.admin.explain_queue import explain
from mqd.admin.explaining import Answer
from mqd.amqp.fields import Table
from mqd.metadata.commands import PutParameter
from tests.unit.admin.stand import Stand


@pytest.fixture
def stand() -> Stand:
    return Stand()


def kinds(answer: Answer) -> list[str]:
    return [reason.kind for reason in answer.reasons]


def fill(stand: Stand, queue: Any, count: int) -> None:
    for _ in range(count):
        stand.publish(queue)


def test_an_empty_queue(stand: Stand) -> None:
    answer = explain(stand.queue("q"), ())
    assert (answer.outcome, kinds(answer)) == ("empty", [])


def test_nobody_consumes(stand: Stand) -> None:
    queue = stand.queue("q")
    fill(stand, queue, 1)
    answer = explain(queue, ())
    assert (answer.outcome, kinds(answer)) == ("stuck", ["no_consumers"])
    assert answer.says == "queue 'q' does not drain: 1 message waits and it has no consumer"
    assert "nobody consumes" in answer.reasons[0].says
    consumer = stand.consume(stand.channel(stand.connect()), queue, "c", prefetch=1)
    queue.remove_consumer(consumer)
    fill(stand, queue, 2)
    assert "which have gone" in explain(queue, ()).reasons[0].says


def test_an_exhausted_prefetch(stand: Stand) -> None:
    queue = stand.queue("q")
    fill(stand, queue, 3)
    entry = stand.connect()
    stand.consume(stand.channel(entry), queue, "c", prefetch=2)
    answer = explain(queue, ())
    assert (answer.outcome, kinds(answer)) == ("stuck", ["prefetch_exhausted"])
    assert answer.reasons[0].says == (
        f"consumer 'c' of {entry.name} holds 2 messages that it has not acknowledged, and its "
        "prefetch is 2"
    )
    assert answer.reasons[0].command == (
        f"mqctl close_connection '{entry.pid}' 'does not acknowledge'"
    )


def test_an_exhausted_channel(stand: Stand) -> None:
    queue = stand.queue("q")
    fill(stand, queue, 3)
    channel = stand.channel(stand.connect())
    channel.global_prefetch_count = 1
    stand.consume(channel, queue, "c")
    assert kinds(explain(queue, ())) == ["channel_prefetch_exhausted"]


def test_all_is_given_out(stand: Stand) -> None:
    queue = stand.queue("q")
    stand.consume(stand.channel(stand.connect()), queue, "c")
    fill(stand, queue, 1)
    answer = explain(queue, ())
    assert answer.outcome == "unacknowledged"
    assert answer.says.endswith("1 message is not acknowledged")


def test_a_connection_that_does_not_read(stand: Stand) -> None:
    queue = stand.queue("q")
    entry = stand.connect()
    entry.outlet.congested = True
    stand.consume(stand.channel(entry), queue, "c")
    fill(stand, queue, 1)
    assert kinds(explain(queue, ())) == ["consumer_unreachable"]


def test_a_blocked_connection_and_an_alarm(stand: Stand) -> None:
    queue = stand.queue("q")
    entry = stand.connect()
    stand.consume(stand.channel(entry), queue, "c", prefetch=1)
    fill(stand, queue, 2)
    entry.held = True
    answer = explain(queue, {"memory"})
    assert kinds(answer) == ["consumer_blocked", "alarm"]
    assert answer.reasons[0].command == f"mqctl explain connection '{entry.pid}'"


def test_a_single_active_consumer(stand: Stand) -> None:
    queue = stand.queue("q", arguments={"x-single-active-consumer": ("bool", True)})
    channel = stand.channel(stand.connect())
    stand.consume(channel, queue, "one", prefetch=1)
    stand.consume(channel, queue, "two", prefetch=1)
    fill(stand, queue, 2)
    answer = explain(queue, ())
    assert answer.outcome == "stuck"
    assert answer.says.endswith("none of its 2 consumers takes more")
    assert kinds(answer) == ["prefetch_exhausted", "single_active_consumer"]
    assert "a single active consumer, 'one'" in answer.reasons[1].says


def test_priorities(stand: Stand) -> None:
    queue = stand.queue("q")
    channel = stand.channel(stand.connect())
    stand.consume(channel, queue, "low")
    stand.consume(channel, queue, "high", arguments={"x-priority": ("signedint", 5)})
    fill(stand, queue, 1)
    assert "consumer_priority" in kinds(explain(queue, ()))


def test_many_consumers_are_not_all_told(stand: Stand) -> None:
    queue = stand.queue("q")
    channel = stand.channel(stand.connect())
    for number in range(12):
        stand.consume(channel, queue, str(number), prefetch=1)
    fill(stand, queue, 13)
    answer = explain(queue, ())
    assert len(answer.reasons) == 11
    assert answer.reasons[10].says == "2 more consumers take nothing"


def test_messages_that_were_got(stand: Stand) -> None:
    queue = stand.queue("q")
    fill(stand, queue, 1)
    entry = stand.connect()
    channel = stand.channel(entry)
    position, message, _ = queue.get()
    channel.unacked[1] = (queue, message, position, None)
    answer = explain(queue, ())
    assert (answer.outcome, kinds(answer)) == ("unacknowledged", ["got_unacknowledged"])
    assert entry.pid in answer.reasons[0].says


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"x-message-ttl": ("long", 60_000)}, "message_ttl"),
        ({"x-max-length": ("long", 2)}, "full"),
        (
            {"x-max-length": ("long", 2), "x-overflow": ("longstr", b"reject-publish")},
            "full",
        ),
        ({"x-dead-letter-exchange": ("longstr", b"gone")}, "dead_letter_exchange_missing"),
    ],
)
def test_rules(stand: Stand, arguments: Table, kind: str) -> None:
    queue = stand.queue("q", arguments=arguments)
    fill(stand, queue, 2)
    assert kind in kinds(explain(queue, ()))


def test_a_policy_is_named(stand: Stand) -> None:
    queue = stand.queue("q")
    fill(stand, queue, 1)
    value = {"pattern": "q", "apply-to": "all", "definition": {"max-length": 1}, "priority": 0}
    stand.metadata.propose_now(PutParameter("/", "policy", "short", value))
    reason = explain(queue, ()).reasons[-1]
    assert reason.kind == "full"
    assert "(policy 'short', or its arguments)" in reason.says


def test_an_exclusive_queue(stand: Stand) -> None:
    entry = stand.connect()
    queue = stand.queue("q", owner=entry, durable=False)
    fill(stand, queue, 1)
    stand.consume(stand.channel(entry), queue, "c", exclusive=True, prefetch=1)
    assert {"exclusive", "exclusive_consumer"} <= set(kinds(explain(queue, ())))
