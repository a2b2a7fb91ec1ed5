"""Whether a recorded history of a queue can have been a FIFO queue's.

Theory (Henzinger, Sezgin, Vafeiadis: Aspect-Oriented Linearizability Proofs, 2013). A history in
which all values differ and every dequeue has ended is linearizable as a queue's if and only if it
has none of four: a value that was never put in, or only after it came out (fresh); a value that
comes out twice (repeat); two values put in one after the other that come out the other way round,
or of which the first never comes out although the second does (order); an `empty` while some value
was in the queue all the time (witness). Here an enqueue without an end may have happened at any
time from its start on or never; a dequeue without an end may have taken any one value. So a value
that is missing is lost only when there are more of them than dequeues without an end, and those
that such a dequeue may have taken prove nothing about order. A value whose delivery says that it
was delivered before (a get that the broker could not finish) may come out again, later than its
place.

Decides that. Never asks a broker, and knows no time but the history's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from tests.cluster.chaos.history import Operation
from tests.cluster.chaos.sampled import EMPTY


def check(operations: Sequence[Operation], *, drained: bool) -> list[str]:
    """What is wrong. drained: the queue was found empty in the end, after all operations."""
    puts = {one.value: one for one in operations if one.name == "enqueue"}
    takes = [one for one in operations if one.name == "dequeue"]
    unknown = sum(one.end is None for one in takes)
    taken: dict[str, Operation] = {}
    empties, wrong = [], []
    for one in takes:
        if one.end is None:
            continue
        if one.result == EMPTY:
            empties.append(one)
            continue
        put = puts.get(one.result)
        if put is None or one.end < put.start:
            wrong.append(f"{one.result} came out and was not put in before")
        elif one.result in taken and one.value != "redelivered":
            wrong.append(f"{one.result} came out twice")
        else:
            taken.setdefault(one.result, one)
    missing = [value for value, put in puts.items() if put.end is not None and value not in taken]
    if drained and len(missing) > unknown:
        wrong.append(
            f"{len(missing)} put in and never came out, {unknown} gets unknown: {missing[:5]}"
        )
    return wrong + _order(puts, taken) + _witness(puts, taken, empties)


def _order(puts: dict[str, Operation], taken: dict[str, Operation]) -> list[str]:
    """b, put in after a, was out before a's dequeue began."""
    wrong = []
    out = sorted(
        (value for value in taken if taken[value].value != "redelivered"),
        key=lambda value: _end(puts[value]),
    )
    # For each b the a's put in wholly before: the latest start of their dequeues decides.
    ends = [_end(puts[value]) for value in out]
    latest, latest_value, at = -inf, "", 0
    for value in sorted(out, key=lambda each: puts[each].start):
        while at < len(out) and ends[at] < puts[value].start:
            if taken[out[at]].start > latest:
                latest, latest_value = taken[out[at]].start, out[at]
            at += 1
        if _end(taken[value]) < latest:
            wrong.append(f"{value} came out before {latest_value}, which was put in before it")
    return wrong


def _witness(
    puts: dict[str, Operation], taken: dict[str, Operation], empties: Sequence[Operation]
) -> list[str]:
    wrong = []
    stays = sorted((_end(puts[value]), one.start, value) for value, one in taken.items())
    best, best_value, at = -inf, "", 0
    for empty in sorted(empties, key=lambda one: one.start):
        while at < len(stays) and stays[at][0] < empty.start:
            if stays[at][1] > best:
                best, best_value = stays[at][1], stays[at][2]
            at += 1
        if best > _end(empty):
            wrong.append(f"empty at {empty.start:.3f} while {best_value} was in the queue")
    return wrong


def _end(one: Operation) -> float:
    return inf if one.end is None else one.end
