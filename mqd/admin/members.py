"""What an operation may know of the other members of the cluster, and ask of them.

Decides the port `ClusterView`, which `mqd.cluster.fanout.view` implements. Never links itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mqd.cluster.fanout.copies import ClusterQueues
    from mqd.cluster.fanout.standings import Standing
    from mqd.metadata.commands import Member


class ClusterView(Protocol):
    """The cluster as this member sees it."""

    @property
    def members(self) -> Mapping[str, Member]:
        """By name, this one included."""

    @property
    def running(self) -> Sequence[str]:
        """Those whose broker application runs and is linked; this one last."""

    @property
    def queues(self) -> ClusterQueues | None:
        """None while no queue has copies elsewhere: there is one disc member."""

    def standing(self, node: str) -> Standing:
        """Alarms and maintenance of a member that runs."""

    def tell_standing(self) -> None:
        """This member's is another one."""

    def replies(
        self, node: str, rpc: str, request: bytes, actor: str, idle_s: float
    ) -> AsyncIterator[bytes]:
        """What another member that runs answers to an rpc of the catalogue, for itself alone.

        Raises PeerDown, TimeoutError when it is silent for idle_s, MqdError as it did."""
