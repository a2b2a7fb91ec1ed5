"""What a policy is, and which queues and exchanges one may apply to.

Decides the shape of a policy, as a value and as it is kept among the runtime parameters. Never
decides which of several wins: `mqd.policies.book` does; never checks a definition:
`mqd.policies.validation` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Json = Any  # what json.loads returns
Kind = Literal["queue", "exchange"]

POLICY: Final = "policy"  # components among the runtime parameters
OPERATOR_POLICY: Final = "operator_policy"
APPLY_TO: Final[Mapping[str, frozenset[str]]] = {
    "all": frozenset(("queue", "exchange")),
    "queues": frozenset(("queue",)),
    "exchanges": frozenset(("exchange",)),
    # of later versions, which their definitions bring along: one type of queue alone
    "classic_queues": frozenset(("classic queue",)),
    "quorum_queues": frozenset(("quorum queue",)),
    "streams": frozenset(("stream queue",)),
}
KINDS: Final = ("queues", "exchanges", "all")  # those that 3.10.8 takes
_OF_STREAMS: Final = frozenset(("initial-cluster-size", "max-age", "stream-max-segment-size-bytes"))
_OF_MIRRORS: Final = frozenset(("ha-mode", "queue-master-locator", "queue-mode"))
# type of queue -> settings that keep a policy that has one of them from it (observed: 3.10.8)
REFUSED_BY: Final[Mapping[str, frozenset[str]]] = {
    "classic": _OF_STREAMS | {"dead-letter-strategy", "delivery-limit", "queue-leader-locator"},
    "quorum": _OF_STREAMS | _OF_MIRRORS,
    "stream": _OF_MIRRORS
    | {
        "dead-letter-exchange",
        "dead-letter-routing-key",
        "dead-letter-strategy",
        "delivery-limit",
        "expires",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "message-ttl",
        "overflow",
    },
}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy or an operator policy of a vhost. pattern: searched for in names, not anchored."""

    name: str
    pattern: str
    definition: Mapping[str, Json]
    priority: int = 0
    apply_to: str = "all"

    def value(self) -> dict[str, Json]:
        """As a runtime parameter keeps it (RabbitMQ's definition files have the same keys)."""
        return {
            "pattern": self.pattern,
            "apply-to": self.apply_to,
            "definition": dict(sorted(self.definition.items())),
            "priority": self.priority,
        }


def policy_of(name: str, value: Mapping[str, Json]) -> Policy:
    """Inverse of `Policy.value`; what is missing takes its default."""
    return Policy(
        name,
        value["pattern"],
        value["definition"],
        value.get("priority", 0),
        value.get("apply-to", "all"),
    )
