"""Whether the recorded history of the register exchange can have been one machine's.

Decides what its operations mean: `declare` of a type is done when nothing or that very type is
there and refused otherwise, `delete` is always done, `exists` only looks. A refusal without an
effect tells as much as a success, but where links are cut: a member that the others do not reach
answers what has no effect out of the table it has, which may be old. Never searches:
`tests.cluster.linearizability` does.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from tests.cluster.chaos.history import Operation
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


def wrong(operations: Sequence[Operation], *, old_tables: bool = False) -> list[str]:
    """What is wrong with it, in words; empty when there is an order that explains it. old_tables:
    operations without an effect do not count."""
    history = [
        Op(
            one.process,
            one.key,
            "read" if one.name == "exists" else one.name,
            one.value,
            UNKNOWN if one.end is None else one.result,
            one.start,
            one.end,
        )
        for one in operations
        if not old_tables or (one.name != "exists" and one.result is not False)
    ]
    try:
        check(history, exchange, reads_apart=True)
    except NotLinearizable as error:
        return [str(error)[-1500:]]
    return []
