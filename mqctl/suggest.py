"""Did you mean ...: Jaro distance, as Elixir's String.jaro_distance/2."""

from __future__ import annotations

from collections.abc import Iterable

LIMIT = 0.77  # Elixir's own for "did you mean"


def jaro(left: str, right: str) -> float:
    """Similarity from 0.0 to 1.0."""
    shorter, longer = (left, right) if len(left) < len(right) else (right, left)
    if not shorter:
        return 1.0 if left == right else 0.0
    window = len(longer) // 2 - 1
    free = list(longer)
    common, moved, former = 0, 0, -1
    for pos, letter in enumerate(shorter):
        first = max(0, pos - window)
        if letter not in free[first : pos + window + 1]:
            continue
        found = free.index(letter, first)
        free[found] = ""
        common += 1
        moved += found < former  # stands before the one that was found last
        former = found
    if not common:
        return 0.0
    return (common / len(left) + common / len(right) + (common - moved) / common) / 3


def suggest(typed: str, names: Iterable[str]) -> str | None:
    """The nearest name, when it is near enough; of equals the first in order."""
    best, distance = None, 0.0
    for name in sorted(names):
        current = jaro(name, typed)
        if current > distance:
            best, distance = name, current
    return best if distance >= LIMIT else None
