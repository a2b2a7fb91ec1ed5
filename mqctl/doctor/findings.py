"""What a doctor says: findings, and what each check came to.

Decides the words for how bad a thing is. Judges nothing: `checks.py` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

ERROR, WARNING, FINE, SKIPPED = "error", "warning", "ok", "skipped"


class Finding(NamedTuple):
    """what is wrong, why that matters, and the command that mends it."""

    severity: str
    what: str
    why: str
    fix: str


class Seen(NamedTuple):
    """What the tool saw for itself. answered: the node did. reason: why it did not. offline: it was
    not asked. is_here: the facts are of this machine. cookie_hash: of the tool's own cookie, empty
    when it has none."""

    answered: bool
    reason: str = ""
    offline: bool = False
    is_here: bool = True
    cookie_hash: str = ""
    now_ms: int = 0


class Check(NamedTuple):
    """look: what is wrong, judged by the facts alone. says: a sentence when nothing is; empty when
    there was nothing to look at."""

    name: str
    look: Callable[[Any, Seen], Iterable[Finding]]  # Any: doctor_pb2.Facts
    says: Callable[[Any, Seen], str]


class Outcome(NamedTuple):
    """Of one check."""

    check: str
    says: str
    findings: list[Finding]

    @property
    def status(self) -> str:
        """The worst of it."""
        found = {finding.severity for finding in self.findings}
        if found:
            return ERROR if ERROR in found else WARNING
        return FINE if self.says else SKIPPED


def examine(checks: Iterable[Check], facts: Any, seen: Seen) -> list[Outcome]:
    """Every check, in order."""
    outcomes = []
    for check in checks:
        found = list(check.look(facts, seen))
        outcomes.append(Outcome(check.name, "" if found else check.says(facts, seen), found))
    return outcomes
