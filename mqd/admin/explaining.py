"""What an explanation consists of, and the words that all of them share.

Decides the shape only: an outcome and reasons, each with the command that helps. Never looks at
the broker: `explain_queue` and its siblings do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from shlex import quote

from mqd.admin.values import text
from mqd.rpc.v1 import explain_pb2 as pb

NEAR_MAX = 3  # names like the one meant


@dataclass(frozen=True, slots=True)
class Reason:
    """kind and the outcome of an answer are for programs, and stay."""

    kind: str
    says: str
    command: str = ""


@dataclass(slots=True)
class Answer:
    """Of one question. queues: where a publish would go."""

    subject: str
    name: str
    vhost: str
    outcome: str
    says: str
    reasons: list[Reason] = field(default_factory=list)
    queues: Sequence[str] = ()

    def message(self) -> pb.Explanation:
        """As it is sent."""
        rows = [
            pb.ExplanationReason(kind=r.kind, says=text(r.says), command=text(r.command))
            for r in self.reasons
        ]
        return pb.Explanation(
            subject=self.subject,
            name=text(self.name),
            vhost=text(self.vhost),
            outcome=self.outcome,
            says=text(self.says),
            reasons=rows,
            queues=[text(name) for name in self.queues],
        )


def many(count: int, noun: str) -> str:
    """1 message, 2 messages."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def at(vhost: str) -> str:
    """The option that names a virtual host."""
    return f"-p {quote(vhost)}"


def near(name: str, names: Iterable[str]) -> str:
    """A half sentence on names like it; empty when there are none."""
    folded = [other for other in names if other.casefold() == name.casefold()]
    found = folded or get_close_matches(name, list(names), NEAR_MAX, 0.7)
    shown = ", ".join(f"'{other}'" for other in found[:NEAR_MAX])
    return f"; there is {shown}" if shown else ""
