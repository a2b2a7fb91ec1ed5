"""Replicated logs that are only told of: `ClusterQueues` without a cluster.

Decides nothing: a test says who has copies, who runs and who leads.
"""

from __future__ import annotations

from collections.abc import Sequence

from mqd.broker.definitions import QueueDefinition
from mqd.cluster.fanout.copies import Copies, Copy


class Logs:
    """leaders: of each shard. down: members that do not run."""

    def __init__(self, *members: str, leaders: Sequence[str | None]) -> None:
        self.members = list(members)
        self.leaders = list(leaders)
        self.down: set[str] = set()
        self.calls: list[str] = []

    def copies(self, queue: QueueDefinition) -> Copies:
        assert queue.shard is not None
        leader = self.leaders[queue.shard]
        online = [node for node in self.members if node not in self.down]
        return Copies(leader, self.members, online)

    async def look(self, queue: QueueDefinition) -> Sequence[Copy]:
        assert queue.shard is not None
        leader = self.leaders[queue.shard]
        return [
            Copy(node, "noproc")
            if node in self.down
            else Copy(node, "leader" if node == leader else "follower", 6, 6, 1)
            for node in self.members
        ]

    def may_hold(self, node: str) -> bool:
        return node in self.members

    async def lead(self, queue: QueueDefinition, node: str) -> None:
        assert queue.shard is not None
        self.leaders[queue.shard] = node

    async def rebalance(self) -> None:
        self.leaders = [
            self.members[place % len(self.members)] for place in range(len(self.leaders))
        ]

    async def hand_over(self) -> None:
        self.calls.append("hand_over")

    def take_back(self) -> None:
        self.calls.append("take_back")
