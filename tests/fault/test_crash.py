"""kill -9 of the daemon under everything clients can ask of it: a few rounds of `make crash`, and
how long a node works to come back with 100,000 messages (what else the machine does meanwhile says
nothing of the node).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.crash_link import Confirmed, connect, message, play
from tests.fault.crash_rounds import Rounds
from tests.nodes import Node

_ROUNDS_MIN, _ROUNDS_MAX = 4, 40
_MESSAGES = 100_000
_RECOVERY_MAX_S = 2.0


@pytest.mark.slow
def test_nothing_confirmed_is_lost_and_nothing_acknowledged_comes_back(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rounds = Rounds(tmp_path, seed)
    try:
        rounds.start()
        for number in range(_ROUNDS_MAX):
            rounds.round()
            if number >= _ROUNDS_MIN and _has_seen_enough(rounds):
                break
        rounds.take_stock()
    finally:
        rounds.node.kill()
    print(rounds.report())
    figures = rounds.witness.figures
    features = rounds.features
    assert figures.lost == figures.back == features.lost == features.streams.lost == 0
    assert _has_seen_enough(rounds), rounds.report()


def _has_seen_enough(rounds: Rounds) -> bool:
    """How much a life of so many seconds has in it is the machine's affair."""
    figures, features = rounds.witness.figures, rounds.features
    seen = (figures.confirmed, figures.proven, figures.recovered, sum(features.dead.values()))
    return min(*seen, features.streams.confirmed_count) > 50


@pytest.mark.slow
def test_a_hundred_thousand_messages_are_back_within_two_seconds(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    node = Node(tmp_path)
    try:
        node.start()
        empty_s = node.cpu_s
        play(_fill(node))
        node.kill()
        times_s = []
        for _ in range(3):
            node.start()
            times_s.append(node.cpu_s)
            assert play(_ends(node)) == (_MESSAGES, b"%09d" % 0)
            node.kill()
    finally:
        node.kill()
    recovery_s = sorted(times_s)[1]  # from the start of the process to the first client
    print(f"{_MESSAGES} messages of 1 KiB: {recovery_s:.2f} s, a new node {empty_s:.2f} s, of CPU")
    record_property("recovery_s", recovery_s)
    assert recovery_s < _RECOVERY_MAX_S


async def _fill(node: Node) -> None:
    link = await connect(node.port)
    confirmed = Confirmed(link, 1)
    await confirmed.open()
    await link.call(1, "queue.declare", queue="q", durable=True)
    template = message(1, "", "q", b"%09d" % 0 + bytes(1015), 2)
    head, tail = template.split(b"%09d" % 0)
    for number in range(_MESSAGES):
        confirmed.publish(b"".join((head, b"%09d" % number, tail)), _nothing)
        if number % 500 == 0:
            await confirmed.room(5000)
    await confirmed.room(0)
    link.abort()


async def _ends(node: Node) -> tuple[int, bytes]:
    """How many there are, and the body of the first."""
    link = await connect(node.port)
    await link.open(1)
    count = (await link.call(1, "queue.declare", queue="q", passive=True)).values["message_count"]
    got = await link.call(1, "basic.get", queue="q")
    assert got.values["redelivered"]
    link.abort()
    return count, got.body[:9]


def _nothing() -> None:
    """A confirm like the others."""
