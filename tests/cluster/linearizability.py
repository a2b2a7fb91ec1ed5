"""Whether what clients saw can have happened one after the other.

Decides for each key by itself whether there is an order of its operations that a single machine
could have made, that puts none before one that had returned before it was called (Wing and Gong's
search, with memory of what was tried, as Lowe describes it). Knows nothing of what runs the
operations.

    history = [
        Op("c1", "q", "add", 7, result=True, called=1, returned=4),
        Op("c2", "q", "read", result=7, called=5, returned=6),
        Op("c1", "q", "remove", called=7),  # never answered: it may have had its effect, or not
    ]
    check(history, register)  # raises NotLinearizable

What was certainly not done (refused because nobody could decide) does not belong into a history. A
read is an operation for which `is_read` is true. `reads_apart`: reads of different processes are
not ordered among themselves, only against everything else: for nodes that answer reads by
themselves, of which one may have heard of a change that is still under way and another not yet.

`Op.since`: for a node that may be behind and answers out of the table it has what changes nothing.
Such an operation may have been at any time from `since` on, if it had no effect then; what has one
was made by all, and was between call and return as any other. With `since` after the return of
what the process did before, it sees its own writes, and nothing older than it has seen already.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()  # the result of what was never answered
IMPOSSIBLE = object()  # what a model returns when the result cannot be
Model = Callable[[Hashable, "Op"], Any]  # (state, operation) -> state after it, or IMPOSSIBLE


@dataclass(frozen=True, slots=True)
class Op:
    """called, returned: numbers of any clock that all processes share; returned None: never."""

    process: str
    key: Hashable
    name: str
    value: Any = None
    result: Any = UNKNOWN
    called: float = 0
    returned: float | None = None
    since: float | None = None

    @property
    def first(self) -> float:
        """The earliest that it can have been."""
        return self.called if self.since is None else min(self.since, self.called)

    @property
    def is_read(self) -> bool:
        return self.name == "read"

    @property
    def is_inert(self) -> bool:
        """It had no effect; a result of False says so."""
        return self.returned is not None and (self.is_read or self.result is False)

    @property
    def end(self) -> float:
        return float("inf") if self.returned is None else self.returned

    def __str__(self) -> str:
        value = "" if self.value is None else f" {self.value!r}"
        return f"[{self.called}..{self.end}] {self.process}: {self.name}{value} -> {self.result!r}"


class NotLinearizable(AssertionError):
    """With the longest order that was found and what could not follow it."""

    def __init__(self, key: Hashable, order: Sequence[Op], left: Sequence[Op]) -> None:
        lines = [f"no order explains what was seen of {key!r}; as far as it goes:"]
        lines += (f"  {op}" for op in order)
        lines.append("then none of these can be next:")
        lines += (f"  {op}" for op in left)
        super().__init__("\n".join(lines))
        self.order = order


def register(state: Hashable, op: Op) -> Any:
    """A name with a value, or without (None). put and delete always have their effect; add says
    whether there was none, remove whether there was one."""
    match op.name:
        case "read":
            return state if op.result is UNKNOWN or op.result == state else IMPOSSIBLE
        case "put":
            return op.value
        case "delete":
            return None
        case "add":
            done, after = state is None, op.value if state is None else state
        case "remove":
            done, after = state is not None, None
        case _:
            raise ValueError(op.name)
    return after if op.result is UNKNOWN or op.result == done else IMPOSSIBLE


def check(
    history: Iterable[Op],
    model: Model = register,
    initial: Hashable = None,
    *,
    reads_apart: bool = False,
) -> None:
    """Raises NotLinearizable."""
    by_key: dict[Hashable, list[Op]] = {}
    for op in history:
        by_key.setdefault(op.key, []).append(op)
    for key, ops in by_key.items():
        _Search(key, ops, model, reads_apart).run(initial)


@dataclass(slots=True)
class _Step:
    """A place in the search. Operations before `base` are done, and those in `bits` after it."""

    base: int
    bits: int
    left: int  # answered ones that are not done
    state: Hashable
    length: int  # of the order that led here
    next: list[int]  # what can be tried yet


@dataclass(slots=True)
class _Search:
    key: Hashable
    ops: list[Op]
    model: Model
    reads_apart: bool
    order: list[int] = field(default_factory=list)  # that leads to where the search is
    best: list[int] = field(default_factory=list)

    def run(self, initial: Hashable) -> None:
        # an unanswered read says nothing
        self.ops = sorted(
            (op for op in self.ops if not (op.is_read and op.returned is None)),
            key=lambda op: (op.first, op.end),
        )
        left = sum(op.returned is not None for op in self.ops)
        path = [self._step(0, 0, left, initial)]
        seen = set()
        while path:
            step = path[-1]
            if step.left == 0:
                return
            del self.order[step.length :]
            if not step.next:
                path.pop()
                continue
            index = step.next.pop()
            state = self.model(step.state, self.ops[index])
            if state is IMPOSSIBLE or (state != step.state and not self._acts(step, index)):
                continue
            self.order.append(index)
            after = self._after(step.base, step.bits, step.left, index, state)
            place = (after.base, after.bits, after.state)
            if place not in seen:
                seen.add(place)
                path.append(after)
        base, bits = 0, 0
        for index in self.best:
            base, bits = _with(base, bits, index)
        nexts = [self.ops[index] for index in self._candidates(base, bits)]
        raise NotLinearizable(self.key, [self.ops[index] for index in self.best], nexts)

    def _acts(self, step: _Step, index: int) -> bool:
        """Whether it can have an effect next: nothing that is not done returned before its call."""
        called = self.ops[index].called
        for other in range(step.base, len(self.ops)):
            op = self.ops[other]
            if op.first >= called:
                return True
            if op.end < called and not step.bits >> (other - step.base) & 1:
                return False
        return True

    def _after(self, base: int, bits: int, left: int, index: int, state: Hashable) -> _Step:
        base, bits = _with(base, bits, index)
        return self._step(base, bits, left - (self.ops[index].returned is not None), state)

    def _step(self, base: int, bits: int, left: int, state: Hashable) -> _Step:
        """What has no effect anywhere is next as soon as it can be: it hinders nobody."""
        while True:
            candidates = self._candidates(base, bits)
            for index in candidates:
                op = self.ops[index]
                if op.is_inert and self.model(state, op) == state:
                    break
            else:
                break
            self.order.append(index)
            left -= 1
            base, bits = _with(base, bits, index)
        if len(self.order) > len(self.best):
            self.best = list(self.order)
        return _Step(base, bits, left, state, len(self.order), candidates)

    def _candidates(self, base: int, bits: int) -> list[int]:
        """What may be next, tried from the end: unanswered ones last, else the first to return."""
        found = []
        writes_end = reads_end = float("inf")  # of what is not done and was called before
        own_end: dict[str, float] = {}  # the same, of a process's reads
        for index in range(base, len(self.ops)):
            op = self.ops[index]
            if op.first > writes_end or (op.first > reads_end and not self.reads_apart):
                break
            if bits >> (index - base) & 1:
                continue
            reads = reads_end
            if op.is_read and self.reads_apart:
                reads = own_end.get(op.process, float("inf"))
            if op.first <= reads:
                found.append(index)
            if op.is_read:
                reads_end = min(reads_end, op.end)
                own_end[op.process] = min(own_end.get(op.process, op.end), op.end)
            else:
                writes_end = min(writes_end, op.end)
        return sorted(found, key=lambda each: -self.ops[each].end)


def _with(base: int, bits: int, index: int) -> tuple[int, int]:
    bits |= 1 << (index - base)
    while bits & 1:
        bits >>= 1
        base += 1
    return base, bits
