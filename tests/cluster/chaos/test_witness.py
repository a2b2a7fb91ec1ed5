"""The witness of chaos finds what is wrong, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.chaos.witness import Witness, body_of


def _sent(witness: Witness, queue: int = 0, line: int = 1) -> int:
    number = witness.sent(queue, line)
    witness.confirmed(number)
    return number


def _taken(witness: Witness, number: int, *, redelivered: bool = False, link: int = 7) -> None:
    assert witness.received(0, body_of(number), redelivered, link) == number
    witness.acking(number)


def test_a_round_in_which_all_is_well() -> None:
    witness = Witness(["q", "c"])
    numbers = [_sent(witness) for _ in range(5)]
    unconfirmed = witness.sent(0, 1)
    for number in (*numbers, unconfirmed):
        _taken(witness, number)
    _taken(witness, numbers[0], redelivered=True)
    assert not witness.broken
    assert witness.owed == [0, 0]
    assert witness.figures["back after ack"] == 1


def _loses(witness: Witness) -> None:
    _sent(witness)
    witness.lost(0)


def _repeats(witness: Witness) -> None:
    number = _sent(witness)
    _taken(witness, number)
    _taken(witness, number)


def _forgets_the_flag(witness: Witness) -> None:
    number = _sent(witness)
    for _ in range(2):
        witness.received(0, body_of(number), False, 7)


def _invents(witness: Witness) -> None:
    witness.received(0, body_of(99), False, 7)


def _mixes_queues(witness: Witness) -> None:
    witness.received(1, body_of(_sent(witness)), False, 7)


def _mixes_the_order(witness: Witness) -> None:
    first, second = _sent(witness), _sent(witness)
    _taken(witness, second)
    _taken(witness, first)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (_loses, "confirmed and lost"),
        (_repeats, "acknowledged twice, not flagged"),
        (_forgets_the_flag, "delivered twice, not flagged"),
        (_invents, "never sent there"),
        (_mixes_queues, "never sent there"),
        (_mixes_the_order, "out of order"),
    ],
)
def test_what_is_broken_is_said(broken: Callable[[Witness], None], kind: str) -> None:
    witness = Witness(["q", "c"])
    broken(witness)
    assert [name for name, _ in witness.broken] == [kind]


def test_the_first_delivery_may_reach_us_last() -> None:
    witness = Witness(["q"])
    number = _sent(witness)
    _taken(witness, number, redelivered=True, link=8)
    _taken(witness, number, link=7)
    assert not witness.broken


def test_what_was_returned_is_not_owed() -> None:
    witness = Witness(["q"])
    number = witness.sent(0, 1)
    witness.refused(number)
    witness.confirmed(number)
    assert witness.owed == [0]


def test_a_home_that_is_given_up_takes_its_messages() -> None:
    witness = Witness(["q", "c"])
    _sent(witness, queue=1)
    pending = witness.sent(1, 1)
    witness.give_up(1)
    witness.confirmed(pending)
    assert witness.owed == [0, 0]
    assert witness.missing(1) == []
    assert witness.figures["given up"] == 1
