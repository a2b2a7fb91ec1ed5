"""What administration needs to know, and to ask, of queues that have copies on several members.

Decides the port (`ClusterQueues`, which the shards implement) and when a queue would lose its
quorum. Never copies, votes or moves anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mqd.broker.definitions import QueueDefinition


@dataclass(frozen=True, slots=True)
class Copy:
    """A member's copy of a queue's log. state: "leader", "follower" or "noproc" (it does not run or
    does not answer); then the numbers, which are those of the log, are not known."""

    node: str
    state: str
    log_index: int = 0
    commit_index: int = 0
    term: int = 0


@dataclass(frozen=True, slots=True)
class Copies:
    """Of one queue. leader: None while nobody leads. members: all copies that have a vote, the
    leader's first; online: those of them whose node runs."""

    leader: str | None
    members: Sequence[str]
    online: Sequence[str]

    @property
    def has_quorum(self) -> bool:
        return len(self.online) > len(self.members) // 2

    def would_lose_quorum(self, node: str) -> bool:
        """Whether the queue stops when that node does."""
        return node in self.online and len(self.online) - 1 <= len(self.members) // 2


class ClusterQueues(Protocol):
    """Copies of quorum queues. A queue whose log this cluster does not have has none."""

    def copies(self, queue: QueueDefinition) -> Copies:
        """As last heard; asks nobody."""

    async def look(self, queue: QueueDefinition) -> Sequence[Copy]:
        """How far each copy is. Waits a bounded time for those that run."""

    def may_hold(self, node: str) -> bool:
        """Whether copies can be there: disc members only."""

    async def lead(self, queue: QueueDefinition, node: str) -> None:
        """Have that member lead it. Raises MqdError."""

    async def rebalance(self) -> None:
        """As many logs led by each member that runs, or one more; none by one in maintenance."""

    async def hand_over(self) -> None:
        """What this member leads is led by others, where there are any; it takes nothing back
        until `take_back`."""

    def take_back(self) -> None:
        """It may lead again."""
