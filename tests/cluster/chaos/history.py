"""What was asked of the cluster and answered, with times: for the linearizability check.

Decides how an operation is written down. An operation whose answer never came has no end: it may
have happened at any time after its start, or never. Never judges.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Operation:
    """`result` is None while unknown."""

    process: str
    key: str
    name: str
    value: Any
    start: float
    end: float | None = None
    result: Any = None


@dataclass(frozen=True, slots=True)
class Behind:
    """Members that did not hear of all changes, by their numbers, and when that was."""

    members: frozenset[int]
    start: float
    end: float

    def concerns(self, one: Operation) -> bool:
        """Whether the operation was asked of one of them then. Processes end in its number."""
        end = float("inf") if one.end is None else one.end
        return int(one.process[1:]) in self.members and one.start < self.end and end > self.start


@dataclass
class History:
    """Operations in the order of their starts."""

    operations: list[Operation] = field(default_factory=list)

    @contextmanager
    def operation(
        self, process: str, key: str, name: str, value: Any = None
    ) -> Iterator[Operation]:
        """One that ends when its block ends with `result` set; without, its end is unknown."""
        made = Operation(process, key, name, value, time.monotonic())
        self.operations.append(made)
        try:
            yield made
        finally:
            if made.result is not None:
                made.end = time.monotonic()

    def of(self, key: str) -> list[Operation]:
        return [one for one in self.operations if one.key == key]

    def write(self, path: Path) -> None:
        """One JSON object a line."""
        with path.open("w") as file:
            for one in self.operations:
                file.write(json.dumps(asdict(one)) + "\n")
