"""How the generations of a cluster follow each other, and when two of them do not.

Theory. A cluster begins a new generation when members are shut out: by force_boot, and when a disc
member is struck out that is down. Each gets a random id, its *fork*, from whoever begins it, and a
cluster remembers the forks that led to its own. So of two records of one cluster it is decided,
from either side alike and without asking anybody, what they are to each other: one follows the
other when its history holds the other's fork at the other's generation; when it holds a different
one, the two parted before, whichever number is larger. Two members that were forced to go on, each
without having heard of the other, are apart in that way: neither's history holds what the other was
promised, so neither may give way by itself.

Decides that, and what a record is after a step: members' numbers included. Never decides what a
member does then (`mqd.cluster.membership.start`, `mqd.daemon.generations`).
"""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import Final

from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import ClusterRecord

FORKS_MAX: Final = 256  # remembered; who was away for more of them is taken for an ancestor


class Relation(enum.Enum):
    """What another record of this cluster is to ours."""

    SAME = "same"
    LATER = "later"  # it follows ours: whatever ours was shut out of
    EARLIER = "earlier"  # it has not heard of ours yet
    APART = "apart"  # neither follows the other


def begun(cluster: ClusterRecord, fork: str) -> ClusterRecord:
    """The next generation."""
    forks = (*cluster.forks, fork)[-FORKS_MAX:]
    return replace(cluster, generation=cluster.generation + 1, forks=forks)


def fork_of(cluster: ClusterRecord) -> str:
    """Of its generation. "": of the first, and of one that an mqd began which knew no forks."""
    return _fork_at(cluster, cluster.generation)


def relation(mine: ClusterRecord, theirs: ClusterRecord) -> Relation:
    """Of two records with one id."""
    is_later = theirs.generation > mine.generation
    low, high = (mine, theirs) if is_later else (theirs, mine)
    theirs_then = _fork_at(high, low.generation)
    is_forgotten = not theirs_then and len(high.forks) == FORKS_MAX
    if theirs_then != fork_of(low) and not is_forgotten:
        return Relation.APART
    if is_later:
        return Relation.LATER
    return Relation.SAME if mine.generation == theirs.generation else Relation.EARLIER


def precedence(cluster: ClusterRecord) -> tuple[int, str]:
    """Of two that are apart and start at the same time the greater goes first."""
    return cluster.generation, fork_of(cluster)


def put_over(old: ClusterRecord | None, new: ClusterRecord) -> ClusterRecord:
    """What a put of `new` leaves: whoever made it may not have heard of a step that came between,
    nor of a member that was given a number."""
    if old is None or old.id != new.id:
        return new
    kept = replace(new, numbers=max(old.numbers, new.numbers))
    if relation(old, new) is Relation.EARLIER:
        return replace(kept, generation=old.generation, forks=old.forks)
    return kept


def numbered(cluster: ClusterRecord, number: int) -> ClusterRecord:
    """A new member has it: two nodes that are admitted at the same time do not get one number.
    Raises MqdError."""
    if number <= cluster.numbers:
        text = f"the number {number} was given to another member: ask again"
        raise MqdError(ErrorCode.ALREADY_EXISTS, text)
    return replace(cluster, numbers=number)


def _fork_at(cluster: ClusterRecord, generation: int) -> str:
    at = len(cluster.forks) - 1 - (cluster.generation - generation)
    return cluster.forks[at] if at >= 0 else ""
