"""Names of things, and how an error message spells them.

Decides how a resource is rendered and what a node name and a process id look like. Never looks
anything up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

NodeName = NewType("NodeName", str)  # rabbit@host
Pid = NewType("Pid", str)  # "<rabbit@host.1795354533.5695.0>": node, creation, id, serial


@dataclass(frozen=True, slots=True)
class Resource:
    """A queue or exchange by its full name."""

    kind: str  # "queue" | "exchange"
    vhost: str
    name: str

    def __str__(self) -> str:
        """As every RabbitMQ error spells it: queue 'q' in vhost '/'."""
        return f"{self.kind} '{self.name}' in vhost '{self.vhost}'"


class PidSource:
    """Hands out process ids that are unique on this node for this run.

    creation: seconds since the epoch at node start, as RabbitMQ's node incarnation.
    """

    def __init__(self, node: str, creation: int, first: int = 500) -> None:
        self.node = node
        self.creation = creation
        self._next = first

    def new(self) -> Pid:
        self._next += 1
        return Pid(f"<{self.node}.{self.creation}.{self._next}.0>")
