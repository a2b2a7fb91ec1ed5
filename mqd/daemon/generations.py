"""Noticing, while the app runs, that the cluster has begun a new generation.

Theory. Members of another generation show certificates that are no good here, so links to them are
refused. A refusal is a reason to ask, and so is silence: nobody calls a member that was struck out.
Whoever is asked tells over its control port which generation it is of, and what that is to this
node's follows (`mqd.metadata.generations`):

- a later one, with this node still in it and the same authority: a third member was struck out
  while this node was cut off. It goes by the new generation and reads what it missed.
- a later one otherwise: the cluster went on without this node. What it orders or follows counts no
  more; it joins again, or finds at its start that it was forgotten.
- of its own, and without this node: it was struck out, when the other one knows at least as much.
- apart: both were forced to go on. Both do, and say so.

Decides when to ask and which of these it is. Never decides how it is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from mqd.admin import membership_words as words
from mqd.admin.context import AppState
from mqd.cluster.handshake import Unreachable
from mqd.cluster.links.mesh import Refused
from mqd.cluster.membership.start import RUNNING, STOPPED
from mqd.daemon.membership import Membership
from mqd.daemon.peers import cluster_of
from mqd.limits import OVERTAKEN_LOOK_S
from mqd.metadata.commands import ClusterRecord
from mqd.metadata.generations import Relation, relation
from mqd.rpc.v1 import membership_pb2 as pb

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Overtaken:
    """It joins again. generation: the other one's."""

    generation: int


class GenerationWatch:
    """Of one app. overtaken() is called once; adopt(cluster) whenever its generation is to be gone
    by."""

    def __init__(
        self,
        membership: Membership,
        overtaken: Callable[[], None],
        adopt: Callable[[ClusterRecord], None],
    ) -> None:
        self._membership = membership
        self._overtaken = overtaken
        self._adopt = adopt
        self._asking: asyncio.Task[None] | None = None
        self._is_overtaken = False

    def refused(self, _refused: Refused) -> None:
        """A link did not come to be."""
        if self._asking is None:
            loop = asyncio.get_running_loop()
            self._asking = loop.create_task(self._ask())

    def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        record = self._membership.record
        assert record is not None
        linked = self._membership.running()
        for name in record.others:
            if name in linked:
                continue
            try:
                facts = await self._membership.peers.ask(name, record.members[name])
            except Unreachable:
                continue
            self.hear(name, facts)
        await asyncio.sleep(OVERTAKEN_LOOK_S)
        self._asking = None

    def hear(self, name: str, facts: pb.MemberFacts) -> None:
        """What a member says of itself to which there is no link."""
        mine = self._membership.facts(AppState.RUNNING)
        match verdict(mine, facts):
            case Relation.APART:
                self._tell_apart(name)
            case Relation.LATER:
                self._adopt(cluster_of(facts))
            case Overtaken(generation) if not self._is_overtaken:
                self._is_overtaken = True
                _log.error(
                    "%s runs in generation %d of the cluster, this node in %d: the cluster went on "
                    "without it, and it joins again",
                    name,
                    generation,
                    mine.generation,
                )
                self._overtaken()
            case _:
                pass

    def _tell_apart(self, name: str) -> None:
        """Once for each."""
        if name not in self._membership.apart:
            self._membership.apart = tuple(sorted({*self._membership.apart, name}))
            _log.error("%s", words.apart(self._membership.node, (name,)))


def verdict(mine: pb.MemberFacts, theirs: pb.MemberFacts) -> Relation | Overtaken | None:
    """What follows for this node. Relation.LATER: it is still in it."""
    if theirs.cluster_id != mine.cluster_id or theirs.state == STOPPED:
        return None
    listed = {each.name: each.incarnation for each in theirs.members}.get(mine.node)
    found = relation(cluster_of(mine), cluster_of(theirs))
    is_in = listed == mine.incarnation and theirs.authority == mine.authority
    if found is Relation.LATER and is_in:
        return Relation.LATER
    if theirs.state != RUNNING:
        return None
    was_struck_out = listed is None and theirs.number >= mine.number
    if found is Relation.LATER or (found is Relation.SAME and was_struck_out):
        return Overtaken(theirs.generation)
    return found if found is Relation.APART else None
