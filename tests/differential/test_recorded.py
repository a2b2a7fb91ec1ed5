"""mqd answers every recorded program as RabbitMQ 3.10.8 did.

Bounded: some hundreds of programs on one daemon. Without a bound, and against RabbitMQ itself:
`make differential`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.differential import brokers, recorded, search
from tests.differential.compare import ALLOWED, Difference, allowed, difference
from tests.differential.runner import StuckError, play

WHO, RECORDS = recorded.load()
MANUAL = Path(__file__).parents[2] / "man" / "mqd-differences.7"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Mqd]:
    with brokers.mqd(tmp_path_factory.mktemp("mqd")) as running:
        yield running


def test_the_judge_was_rabbitmq() -> None:
    assert WHO == {"product": "RabbitMQ", "version": brokers.VERSION}


def test_the_record_is_complete_and_small() -> None:
    """Every set of features has its share, and the file stays a file one can read."""
    kept = dict.fromkeys(recorded.SETS, 0)
    for record in RECORDS:
        kept[record.features] += 1
    assert [name for name, count in kept.items() if count < recorded.SETS[name] // 2] == []
    assert os.path.getsize(recorded.FILE) < 800_000


@pytest.mark.parametrize("features", sorted(recorded.SETS))
def test_as_recorded(broker: brokers.Mqd, features: str) -> None:
    told = []
    for record in RECORDS:
        if record.features == features:
            found = difference(record.program, record.said, play(broker, record.program))
            if found is not None and allowed(found) is None:
                told.append(found.report())
    assert not told, "\n\n".join(told[:5])


def test_a_wrong_answer_is_noticed(broker: brokers.Mqd) -> None:
    """With one line of one step missing, or said twice, the program differs at that step."""
    record = max(RECORDS, key=lambda one: sum(map(len, one.said)))
    ours = play(broker, record.program)
    for index, part in enumerate(ours):
        for wrong in ([*part, "a/1 basic.cancel c0"], part[1:]):
            changed = [*ours[:index], wrong, *ours[index + 1 :]]
            found = difference(record.program, changed, ours)
            assert (found.index if found else None) == (index if wrong != part else None)


def test_what_is_allowed_is_in_the_manual() -> None:
    entries = MANUAL.read_text().replace("\\-", "-").splitlines()
    assert [row.entry for row in ALLOWED if row.entry not in entries] == []


DEATH = "x q {headers={x-death=[{count=l:1, reason='maxlen', queue='q', time=T:$now}]}}"
GETTING = ("a/1: queue.declare queue=q0 durable=true arguments={x-queue-type='quorum'}",)
REFUSING = (f"{GETTING[0][:-1]}, x-overflow='reject-publish'}}",)
LEAVING = ("a/1: basic.consume queue=q0", "a/2: basic.consume queue=q0 no_ack=true")
DYING = ("a/1: basic.consume queue=q0", "a/2: basic.consume queue=q0")
DEAD = "a connection.close 530 NOT_ALLOWED 60 20\na closed"


@pytest.mark.parametrize(
    ("program", "theirs", "ours", "entry"),
    [
        (
            (*GETTING, "a/1: basic.get queue=q0", "a/1: queue.declare queue=q0 passive=true"),
            "a/1 queue.declare-ok q0 0 1",
            "a/1 queue.declare-ok q0 0 0",
            "consumer count of a quorum queue",
        ),
        (
            (*GETTING, "a/1: basic.get queue=q0", "a/1: queue.declare queue=q0 passive=true"),
            "a/1 queue.declare-ok q0 1 1",
            "a/1 queue.declare-ok q0 0 0",
            None,
        ),
        (
            LEAVING,
            "z/1 queue.declare-ok q0 0 0",
            "z/1 queue.declare-ok q0 1 0\nz/1 got #1* '' q0 m left=0",
            "a connection that ends",
        ),
        (
            LEAVING,
            "z/1 queue.declare-ok q0 1 0\nz/1 got #1* '' q0 m left=0",
            "z/1 queue.declare-ok q0 0 0",
            None,
        ),
        (
            DYING,
            f"{DEAD}\na/2 > c0 #1* '' q0 m",
            DEAD,
            "a connection that ends",
        ),
        (
            DYING,
            f"{DEAD}\na/2 > c0 #1 '' q0 m",  # nobody had it before
            DEAD,
            None,
        ),
        (
            DYING,
            DEAD,
            f"{DEAD}\na/2 > c0 #1* '' q0 m",
            None,
        ),
        (
            DYING,
            f"{DEAD}\nb/2 > c0 #1* '' q0 m",
            DEAD,
            None,
        ),
        (
            (*GETTING, *DYING),
            "z/1 got #1* '' q0 {headers={x-delivery-count=l:2}} m left=0",
            "z/1 got #1* '' q0 {headers={x-delivery-count=l:1}} m left=0",
            "a connection that ends",
        ),
        (
            (*GETTING, *DYING),
            "z/1 got #1* '' q0 {headers={x-delivery-count=l:1}} m left=0",
            "z/1 got #1* '' q0 {headers={x-delivery-count=l:2}} m left=0",
            None,
        ),
        (
            (*REFUSING, "a/1: publish routing_key=q0 count=3", "a/1: queue.declare queue=q0"),
            "a/1 queue.declare-ok q0 3 0",
            "a/1 queue.declare-ok q0 2 0",
            "a quorum queue that is full and refuses",
        ),
        (
            (*REFUSING, "a/1: publish routing_key=q0 count=3", "a/1: queue.declare queue=q0"),
            "a/1 queue.declare-ok q0 2 0",
            "a/1 queue.declare-ok q0 3 0",
            None,
        ),
        (
            (*REFUSING, "a/1: confirm.select", "a/1: publish routing_key=q0 count=3"),
            "a/1 ack 1,2,3",
            "a/1 ack 1\na/1 nack 2,3",
            "a quorum queue that is full and refuses",
        ),
        (
            (*REFUSING, "a/1: confirm.select", "a/1: publish routing_key=q0 count=3"),
            "a/1 ack 1\na/1 nack 2,3",
            "a/1 ack 1,2,3",
            None,
        ),
        (
            (*REFUSING, "a/1: confirm.select", "a/1: publish routing_key=q0 count=3"),
            "a/1 ack 1,2,3",
            "a/1 ack 1\na/1 nack 2",
            None,
        ),
        (
            (*GETTING, "a/1: publish routing_key=q0"),
            f"z/1 got #1 {DEATH} m2 left=1\nz/1 got #2 {DEATH} m1 left=0",
            f"z/1 got #1 {DEATH} m1 left=1\nz/1 got #2 {DEATH} m2 left=0",
            "a quorum queue that lets go of several messages at once",
        ),
        (
            (*GETTING, "a/1: publish routing_key=q0"),
            "z/1 got #1 '' q m2 left=1\nz/1 got #2 '' q m1 left=0",
            "z/1 got #1 '' q m1 left=1\nz/1 got #2 '' q m2 left=0",
            None,
        ),
        (
            ("a/1: basic.consume queue=q0", "b/1: basic.consume queue=q0 no_ack=true"),
            "z/1 queue.declare-ok q0 0 0",
            "z/1 queue.declare-ok q0 1 0\nz/1 got #1* '' q0 m left=0",
            None,
        ),
    ],
)
def test_only_what_an_entry_says_is_allowed(
    program: tuple[str, ...], theirs: str, ours: str, entry: str | None
) -> None:
    found = Difference(
        program, len(program) - 1, tuple(theirs.split("\n")), tuple(ours.split("\n"))
    )
    row = allowed(found)
    assert (row.entry if row else None) == entry


@pytest.mark.parametrize(
    ("program", "left", "holds"),
    [
        (DYING, ["z/1 queue.declare-ok q0 1 0", "z/1 got #1* '' q0 m left=0"], True),
        (DYING, ["z/1 queue.declare-ok q0 0 0"], False),
        (LEAVING, ["z/1 queue.declare-ok q0 0 0"], True),
    ],
)
def test_what_a_dying_connection_was_sent_is_left_unless_it_needs_no_acknowledgement(
    program: tuple[str, ...], left: list[str], holds: bool
) -> None:
    """The answers to the second step differ, and what is left afterwards may."""
    dead = DEAD.split("\n")
    theirs = [[], [*dead, "a/2 > c0 #1* '' q0 m"], [], left]
    ours = [[], dead, [], ["z/1 queue.declare-ok q0 1 0", "z/1 got #1* '' q0 m left=0"]]
    found = difference(list(program), theirs, ours)
    assert found is not None
    assert found.index == 1
    assert (allowed(found) is not None) == holds


STREAM = "a/1: queue.declare durable=true arguments={x-queue-type='stream'} queue=q0"


def test_no_policy_stops_the_runner(broker: brokers.Mqd) -> None:
    """What tells that a stream is on disc is a queue, too, and the policies are for every queue."""
    refuse = """'{"max-length": 0, "overflow": "reject-publish"}'"""
    program = [STREAM, f"ctl: set_policy -p / p1 '' {refuse}", "a/1: publish routing_key=q0 body=m"]
    for _ in range(2):
        said = play(broker, program)
        assert said[0] == ["a/1 queue.declare-ok q0 '?' '?'"]
        assert len(said) == len(program) + 2


def test_a_program_that_got_stuck_leaves_nothing(
    broker: brokers.Mqd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object) -> None:
        raise StuckError("for the test")

    with monkeypatch.context() as patched:
        patched.setattr("tests.differential.runner.Runner._written", stuck)
        assert play(broker, [STREAM]) == [["stuck: for the test"]]
    said = play(broker, ["a/1: queue.declare queue=q0 passive=true"])
    assert "404" in said[0][0]


def test_a_search_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though Hypothesis, to which programs are played only once, calls it flaky."""
    broker = cast("brokers.Broker", None)

    def fail(*_: object) -> None:
        raise RuntimeError("for the test")

    monkeypatch.setattr(search, "play", fail)
    with pytest.raises(RuntimeError, match="for the test"):
        search.Search(broker, broker, [["classic"]]).run(5, 1)
