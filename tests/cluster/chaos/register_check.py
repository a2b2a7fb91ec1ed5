"""Whether the recorded history of the register exchange can have been one machine's.

Decides what its operations mean: `declare` of a type is done when nothing or that very type is
there and refused otherwise, `delete` is always done, `exists` only looks. A refusal without an
effect tells as much as a success. Never searches: `tests.cluster.linearizability` does.

What changes nothing (a passive declaration, one of what is there already, a deletion of what is
not, a refusal) a member answers out of its own table, as 3.10.8 does; that is the newest one as
long as the others wait for it. They wait for members that are linked, and no longer than a second.
So one that stood still, and both ends of a link that is cut, goes one way or loses much, may be
behind until they are linked again and have caught up: `behind` says which and when. What such a
member answers without an effect may be old then, but not older than what it answered itself before:
it sees its own writes, and never goes back. What has an effect is made by a majority, and is
checked as everywhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from math import inf, nextafter
from typing import Any

from tests.cluster.chaos.history import Behind, Operation
from tests.cluster.linearizability import IMPOSSIBLE, UNKNOWN, NotLinearizable, Op, check

ABSENT = "absent"


def exchange(state: Hashable, op: Op) -> Any:
    """The model: the state is the type of the exchange."""
    state = state or ABSENT
    if op.name == "read":
        return state if op.result is UNKNOWN or op.result == (state != ABSENT) else IMPOSSIBLE
    if op.name == "delete":
        return ABSENT
    fits = state in (ABSENT, op.value)
    if op.result is UNKNOWN:
        return op.value if fits else state
    if op.result != fits:
        return IMPOSSIBLE
    return op.value if fits else state


def wrong(operations: Sequence[Operation], behind: Sequence[Behind] = ()) -> list[str]:
    """What is wrong with it, in words; empty when there is an order that explains it."""
    try:
        check(_history(operations, behind), exchange, ABSENT, reads_apart=True)
    except NotLinearizable as error:
        return [str(error)[-1500:]]
    return []


def _history(operations: Sequence[Operation], behind: Sequence[Behind]) -> Iterator[Op]:
    before: dict[str, float] = {}  # when a process's last operation was over
    for one in sorted(operations, key=lambda each: each.start):
        since = before.get(one.process, 0.0)
        yield Op(
            one.process,
            one.key,
            "read" if one.name == "exists" else one.name,
            one.value,
            UNKNOWN if one.end is None else one.result,
            one.start,
            one.end,
            since if any(each.concerns(one) for each in behind) else None,
        )
        over = one.start if one.end is None else one.end
        before[one.process] = nextafter(over, inf)
