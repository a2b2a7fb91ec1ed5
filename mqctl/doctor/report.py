"""What mqctl doctor prints, without colours: for pipes, files and small terminals.

Decides the layout of the text and the keys of the JSON, which stay. Never judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mqctl.doctor.findings import ERROR, WARNING, Outcome
from mqctl.output.terms import Atom, Row


def verdict(outcomes: Sequence[Outcome]) -> str:
    """The last line."""
    found = [finding.severity for outcome in outcomes for finding in outcome.findings]
    wrong, doubtful = found.count(ERROR), found.count(WARNING)
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((wrong, "error"), (doubtful, "warning"))
        if count
    ]
    return " and ".join(counts) if counts else "Nothing is wrong"


def is_well(outcomes: Sequence[Outcome]) -> bool:
    """Warnings alone leave it so."""
    return all(outcome.status != ERROR for outcome in outcomes)


def lines(outcomes: Sequence[Outcome], quiet: bool) -> Iterator[str]:
    """quiet: findings alone."""
    width = max(len(outcome.check) for outcome in outcomes)
    for outcome in outcomes:
        if outcome.says and not quiet:
            yield f"{'ok':<8} {outcome.check:<{width}}  {outcome.says}"
        for finding in outcome.findings:
            yield f"{finding.severity:<8} {outcome.check:<{width}}  {finding.what}"
            yield f"{'':<9}{'':<{width}}  why: {finding.why}"
            yield f"{'':<9}{'':<{width}}  fix: {finding.fix}"
    if not quiet:
        yield ""
        yield f"{verdict(outcomes)}."


def rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """For csv, erlang and tables: a row for each finding."""
    for outcome in outcomes:
        for finding in outcome.findings:
            yield [
                (Atom("check"), Atom(outcome.check)),
                (Atom("severity"), Atom(finding.severity)),
                (Atom("what"), finding.what),
                (Atom("why"), finding.why),
                (Atom("fix"), finding.fix),
            ]


def term(node: str, state: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The object of --formatter json."""
    return {
        "result": "ok" if is_well(outcomes) else "error",
        "node": node,
        "state": state,
        "checks": [
            {"check": outcome.check, "status": outcome.status, "says": outcome.says}
            for outcome in outcomes
        ],
        "findings": [
            {
                "check": outcome.check,
                "severity": finding.severity,
                "what": finding.what,
                "why": finding.why,
                "fix": finding.fix,
            }
            for outcome in outcomes
            for finding in outcome.findings
        ],
    }
