"""Did you mean ...: Jaro distance, as Elixir's String.jaro_distance/2."""

from __future__ import annotations

from collections.abc import Iterable

LIMIT = 0.77  # Elixir's own for "did you mean"


def jaro(left: str, right: str) -> float:
    """Similarity from 0.0 to 1.0."""
    if left == right:
        return 1.0
    if not left or not right:
        return 0.0
    window = max(len(left), len(right)) // 2 - 1
    taken = [False] * len(right)
    matched: list[str] = []
    for pos, letter in enumerate(left):
        for other in range(max(0, pos - window), min(len(right), pos + window + 1)):
            if not taken[other] and right[other] == letter:
                taken[other] = True
                matched.append(letter)
                break
    if not matched:
        return 0.0
    counterpart = [letter for letter, used in zip(right, taken, strict=True) if used]
    moved = sum(a != b for a, b in zip(matched, counterpart, strict=True)) / 2
    count = len(matched)
    return (count / len(left) + count / len(right) + (count - moved) / count) / 3


def suggest(typed: str, names: Iterable[str]) -> str | None:
    """The nearest name, when it is near enough; of equals the first in order."""
    best, distance = None, 0.0
    for name in sorted(names):
        current = jaro(name, typed)
        if current > distance:
            best, distance = name, current
    return best if distance >= LIMIT else None
