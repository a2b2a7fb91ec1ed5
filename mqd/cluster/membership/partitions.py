"""What a member makes of losing sight of others: whether it pauses, and who is partitioned from it.

Theory. A link that ends after its member said that its app stops is an orderly parting; one that
ends without a word is a loss: of the member or of the network, which look alike from here. Both
count as a loss for cluster_partition_handling, as with RabbitMQ. Only somebody else can tell them
apart: a member that is lost and answers the handshake, or is linked to a third member, runs, and
is partitioned from this one. A member is looked at twice before it is called so, because every
link takes a moment to come to be.

A member pauses at a loss only, and goes on once it sees enough of the members again, whoever they
are. One that started with few others (they had stopped before) has lost nobody and serves.

Decides that, from what it is told; no I/O, no clock. Never closes or asks anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Final

from mqd.cluster.membership.start import majority

IGNORE: Final = "ignore"
PAUSE_MINORITY: Final = "pause_minority"
PAUSE_IF_ALL_DOWN: Final = "pause_if_all_down"
AUTOHEAL: Final = "autoheal"


@dataclass(frozen=True, slots=True)
class Handling:
    """cluster_partition_handling. listed: the nodes of pause_if_all_down."""

    mode: str = IGNORE
    listed: tuple[str, ...] = ()


class Horizon:
    """Of one member, while its app runs. members: all of the cluster, with this one."""

    def __init__(self, node: str, handling: Handling, members: Iterable[str]) -> None:
        self.node = node
        self.paused = False
        self.partitions: tuple[str, ...] = ()
        self._handling = handling
        self._members = frozenset(members) | {node}
        self._linked: set[str] = set()
        self._lost: set[str] = set()
        self._suspects: Set[str] = frozenset()

    # -- what it is told ----------------------------------------------------------------------

    def use_members(self, members: Iterable[str]) -> None:
        """These from now on."""
        self._members = frozenset(members) | {self.node}
        self._settle()

    def linked(self, node: str) -> None:
        """It runs, and is reached."""
        self._linked.add(node)
        self._lost.discard(node)
        self.partitions = tuple(name for name in self.partitions if name != node)
        self._suspects -= {node}
        self._settle()

    def parted(self, node: str, orderly: bool) -> None:
        """It is reached no more. orderly: because its app stopped."""
        self._linked.discard(node)
        if not orderly:
            self._lost.add(node)
        self._settle()

    def looked(self, running: Set[str]) -> None:
        """These run, others or they themselves say."""
        found = running & frozenset(self.out_of_sight)
        self.partitions = tuple(sorted(found & (self._suspects | frozenset(self.partitions))))
        self._suspects = found

    # -- what it makes of it ------------------------------------------------------------------

    @property
    def out_of_sight(self) -> Sequence[str]:
        """Members that are not reached, for whatever reason."""
        return sorted(self._members - self._linked - {self.node})

    @property
    def in_sight(self) -> Sequence[str]:
        """The others that are."""
        return sorted(self._members & self._linked)

    def _settle(self) -> None:
        away = frozenset(self.out_of_sight)
        self.partitions = tuple(name for name in self.partitions if name in away)
        match self._handling.mode:
            case "pause_minority":
                wanted = len(self._members) - len(away) < majority(len(self._members))
                lost = self._lost & away
            case "pause_if_all_down":
                listed = self._members & frozenset(self._handling.listed)
                wanted = bool(listed) and listed <= away
                lost = self._lost & listed
            case _:
                return
        self.paused = wanted and (self.paused or bool(lost))
