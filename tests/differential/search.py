"""Looks for differences: draws programs, plays each on both brokers, shrinks what differs.

Decides how many programs are enough and when a difference is the same as one already found.
Hypothesis draws and shrinks; every batch has a seed of its own, made of the one given, and one of
the sets of features. A program that was played is not played again, and not counted again; so
Hypothesis calls a failure of the search itself flaky, which must not hide it.

Where RabbitMQ itself answers differently when it is asked again, the order is nobody's promise:
such a program counts as `unsettled`, and says nothing.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

from tests.differential.brokers import Broker
from tests.differential.compare import Difference, allowed, difference
from tests.differential.programs import programs
from tests.differential.runner import play

_BATCH = 50
_AGAIN = 3  # how often RabbitMQ is asked again before a difference is believed
_SHRINKS_MAX = 40  # programs Hypothesis may play to make one smaller; then steps are left out


class DifferenceFound(Exception):
    """Tells Hypothesis to shrink."""


@dataclass
class Outcome:
    """What a search has to tell."""

    played: int = 0
    of_set: Counter[str] = field(default_factory=Counter)  # played, by set of features
    steps: int = 0
    unsettled: int = 0
    named: Counter[str] = field(default_factory=Counter)
    differences: dict[tuple[str, ...], Difference] = field(default_factory=dict)
    again: Counter[tuple[str, ...]] = field(default_factory=Counter)


@dataclass
class Search:
    """One search on two running brokers. sets: of features; each has its turn."""

    theirs: Broker
    ours: Broker
    sets: Sequence[Sequence[str]]
    outcome: Outcome = field(default_factory=Outcome)
    _seen: set[tuple[str, ...]] = field(default_factory=set)
    _last: Difference | None = None
    _shrinks: int = 0

    def run(self, sequences: int, first_seed: int, differences_max: int = 20) -> Outcome:
        """Play this many different programs, or until that many differences are found."""
        batch = 0
        while self.outcome.played < sequences and len(self.outcome.differences) < differences_max:
            features = self.sets[batch % len(self.sets)]
            before = self.outcome.played
            self._batch(features, first_seed * 1_000_000 + batch, sequences)
            self.outcome.of_set[",".join(features)] += self.outcome.played - before
            batch += 1
        return self.outcome

    def _batch(self, features: Sequence[str], number: int, sequences: int) -> None:
        broken: list[Exception] = []  # the search itself is

        @seed(number)
        @settings(
            max_examples=_BATCH,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            report_multiple_bugs=False,
        )
        @given(programs(features))
        def judge(program: list[str]) -> None:
            try:
                found = self._judge(program, sequences)
            except Exception as error:
                broken.append(error)
                raise
            if found is not None:
                raise DifferenceFound

        self._last, self._shrinks = None, 0
        try:
            judge()
        except (DifferenceFound, Flaky):  # flaky: no more was played, which is no difference
            if broken:
                raise broken[0] from None
        except BaseExceptionGroup as errors:
            if not all(isinstance(error, DifferenceFound) for error in errors.exceptions):
                raise
        if self._last is not None:
            found = self._shortened(self._last)
            self.outcome.differences[found.signature] = found
            print(f"\n{found.report()}\n", flush=True)

    def _shortened(self, found: Difference) -> Difference:
        """The same difference without the steps it does not need, from the end."""
        for index in reversed(range(len(found.program))):
            program = [*found.program[:index], *found.program[index + 1 :]]
            smaller = difference(program, play(self.theirs, program), play(self.ours, program))
            if smaller is not None and smaller.signature == found.signature:
                found = smaller
        return found

    def _judge(self, program: list[str], sequences: int) -> Difference | None:
        """A difference that is new; while shrinking, the same as was found."""
        key = tuple(program)
        is_shrinking = self._last is not None
        if not is_shrinking:
            if key in self._seen or self.outcome.played >= sequences:
                return None
            self._seen.add(key)
        else:
            self._shrinks += 1
            if self._shrinks > _SHRINKS_MAX:
                return None
        found = self._compare(program, is_shrinking)
        if found is None or found.signature in self.outcome.differences:
            return None
        if self._last is not None and found.signature != self._last.signature:
            return None
        self._last = found
        return found

    def _compare(self, program: list[str], is_shrinking: bool) -> Difference | None:
        ours, theirs = play(self.ours, program), play(self.theirs, program)
        count = self.outcome
        if not is_shrinking:
            count.played += 1
            count.steps += len(program)
            if count.played % 100 == 0:
                print(f"{time.strftime('%H:%M:%S')} {count.played} sequences", file=sys.stderr)
        found = difference(program, theirs, ours)
        if found is None:
            return None
        if found.signature in count.differences:
            count.again[found.signature] += 1
            return found
        row = allowed(found)
        if row is not None:
            count.named[row.entry] += not is_shrinking
            return None
        for _ in range(0 if is_shrinking else _AGAIN):
            if play(self.theirs, program)[: found.index + 1] != theirs[: found.index + 1]:
                count.unsettled += not is_shrinking
                return None
        return found
