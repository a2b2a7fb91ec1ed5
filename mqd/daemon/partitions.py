"""Members out of sight: asked after, told of, and paused for where that is wanted.

Decides when others are asked about those that this node does not reach, and carries out a pause:
clients are sent away and their ports closed, links and tools stay. What follows from what is seen
is decided by `mqd.cluster.membership.partitions`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection

from mqd.cluster.membership.partitions import AUTOHEAL, IGNORE, Handling, Horizon
from mqd.cluster.membership.start import RUNNING
from mqd.cluster.ports import Mesh
from mqd.config.settings import ClusterSettings
from mqd.daemon.membership import Membership
from mqd.daemon.peers import cluster_of
from mqd.errors import MqdError
from mqd.limits import PARTITION_LOOK_S
from mqd.metadata.generations import Relation, relation
from mqd.rpc.v1 import membership_pb2 as pb

_log = logging.getLogger(__name__)


class PartitionWatch:
    """Of one app. mesh: all links; gate: to members whose app runs. pause() sends the clients away
    and takes no more, resume() takes them again; hear(name, facts) of members without a link."""

    def __init__(
        self,
        membership: Membership,
        settings: ClusterSettings,
        mesh: Mesh,
        gate: Mesh,
        pause: Callable[[], Awaitable[None]],
        resume: Callable[[], Awaitable[None]],
        hear: Callable[[str, pb.MemberFacts], None],
    ) -> None:
        mode = settings.partition_handling or IGNORE
        self._mode = mode
        self._membership = membership
        self._mesh, self._gate = mesh, gate
        self._pause, self._resume, self._tell = pause, resume, hear
        self._horizon = Horizon(gate.node, Handling(mode, settings.pause_unless), ())
        self._away = asyncio.Event()
        self._turn = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._end = gate.on_change(self._hear)

    def begin(self, members: Collection[str]) -> None:
        """The app runs, and clients are served."""
        if self._tasks:
            return
        if self._mode == AUTOHEAL:
            _log.info(
                "cluster_partition_handling = autoheal: who has no majority of the disc nodes "
                "makes no durable change, so nothing is to be healed but the links"
            )
        for node in self._gate.up:
            self._horizon.linked(node)
        self.use_members(members)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._look()), loop.create_task(self._keep_turning())]

    def close(self) -> None:
        """Also when it has not begun, and again."""
        self._end()
        self._membership.partitions = ()
        for task in self._tasks:
            task.cancel()

    def use_members(self, members: Collection[str]) -> None:
        """Of the cluster."""
        self._horizon.use_members(members)
        self._settle()

    def _hear(self, node: str, is_up: bool) -> None:
        if is_up:
            self._horizon.linked(node)
        else:  # the link outlives an app that stops in order
            self._horizon.parted(node, orderly=node in self._mesh.up)
        self._settle()

    def _settle(self) -> None:
        self._membership.partitions = self._horizon.partitions
        if self._horizon.out_of_sight:
            self._away.set()
        else:
            self._away.clear()
        self._turn.set()

    # -- pausing ------------------------------------------------------------------------------

    async def _keep_turning(self) -> None:
        """Pause and resume, one after the other."""
        paused = False
        while True:
            await self._turn.wait()
            self._turn.clear()
            if self._horizon.paused == paused:
                continue
            paused = not paused
            try:
                if paused:
                    _log.warning("Cluster minority/secondary status detected - awaiting recovery")
                    await self._pause()
                else:
                    _log.warning("Cluster minority/secondary status is over: clients are served")
                    await self._resume()
            except MqdError as error:
                _log.error("%s: %s", "pause" if paused else "recovery", error.detail)

    # -- asking after them --------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await self._away.wait()
            with contextlib.suppress(MqdError):
                self._note(await self._running())
            await asyncio.sleep(PARTITION_LOOK_S)

    async def _running(self) -> set[str]:
        """Names of those that run, as they or those that are linked to them say."""
        record = self._membership.record
        if record is None:
            return set()
        others = [each for name, each in record.members.items() if name != record.node]
        answers = await self._membership.peers.ask_all(others)
        await self._membership.tell_where(answers)
        found: set[str] = set()
        for name, facts in answers.items():
            if name not in self._mesh.up:
                self._tell(name, facts)
            if facts.cluster_id != record.cluster.id or facts.state != RUNNING:
                continue
            match relation(record.cluster, cluster_of(facts)):
                case Relation.SAME:
                    found.add(name)
                    if name in self._gate.up:
                        found.update(facts.running)
                case Relation.APART:  # both were forced to go on: no link will come by itself
                    found.add(name)
                case _:
                    pass
        return found

    def _note(self, running: set[str]) -> None:
        before = self._horizon.partitions
        self._horizon.looked(running)
        now = self._horizon.partitions
        for node in now:
            if node not in before:
                _log.error("Network partition: %s runs, and there is no link to it", node)
        self._membership.partitions = now
