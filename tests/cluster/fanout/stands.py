"""Several nodes to administer, linked in one process: a stand for each, one metadata for all.

Decides that what one proposes is applied by all, at once, and that queues of the metadata live
where their definition says. What clients do with queues of other members is the matter of other
tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar, cast

from mqd.admin.reports import standing
from mqd.admin.serving import carrier
from mqd.broker.definitions import QueueDefinition
from mqd.broker.homes import Here, Home
from mqd.broker.queues.base import Queue
from mqd.cluster.fanout.copies import ClusterQueues
from mqd.cluster.fanout.view import View
from mqd.metadata.commands import Command, Member, PutQueue
from mqd.names import NodeName
from tests.cluster.fake_mesh import FakeMesh, FakeMeshes
from tests.unit.admin.stand import Stand

T = TypeVar("T")

A, B, C = NodeName("rabbit@a"), NodeName("rabbit@b"), NodeName("rabbit@c")


class There:
    """A home that is known by its name, and of which nothing is asked."""

    def __init__(self, node: str, mesh: FakeMesh) -> None:
        self.node = node
        self._mesh = mesh

    @property
    def is_up(self) -> bool:
        return self.node in self._mesh.up


class KnownHomes(Here):
    """Queues live where their definition says."""

    def __init__(self, mesh: FakeMesh) -> None:
        self._mesh = mesh

    def elsewhere(self, definition: QueueDefinition) -> Home | None:
        if definition.node in ("", self._mesh.node):
            return None
        return cast("Home", There(definition.node, self._mesh))


class Stands:
    """Members a and b keep their metadata on disc, c in memory."""

    def __init__(self, *names: NodeName, queues: ClusterQueues | None = None) -> None:
        self.meshes = FakeMeshes(*names)
        self.of = {name: Stand(name) for name in names}
        self.views: dict[str, View] = {}
        self._ids = 1000
        for number, name in enumerate(names):
            kind = "ram" if name == C else "disc"
            self.members = {
                **getattr(self, "members", {}),
                name: Member(name, f"{number}", number, kind),
            }
        for name, stand in self.of.items():
            stand.broker.homes = KnownHomes(self.meshes[name])
            self._share(stand)
            self._join(name, stand, queues)

    def _share(self, stand: Stand) -> None:
        here = stand.metadata.propose_now

        def everywhere(command: Command) -> None:
            for other in self.of.values():
                if other is not stand:
                    type(other.metadata).propose_now(other.metadata, command)
            here(command)

        stand.metadata.propose_now = everywhere  # type: ignore[method-assign]

    def _join(self, name: NodeName, stand: Stand, queues: ClusterQueues | None) -> None:
        view = View(
            self.meshes[name],
            self._members,
            stand.broker,
            lambda: standing(stand.node, stand.broker),
            carrier(stand.node),
            queues,
        )
        stand.node.cluster = self.views[name] = view
        view.start()

    def _members(self) -> Mapping[str, Member]:
        return self.members

    def __getitem__(self, name: str) -> Stand:
        return self.of[NodeName(name)]

    def queue(self, home: str, name: str, kind: str = "classic", **options: Any) -> Queue:
        """A durable queue that lives there."""
        self._ids += 1
        command = PutQueue(QueueDefinition(self._ids, "/", name, type=kind, node=home, **options))
        self.of[NodeName(home)].metadata.propose_now(command)
        found = self.of[NodeName(home)].broker.vhosts["/"].queues[name]
        assert isinstance(found, Queue)
        return found

    def stop(self, name: str) -> None:
        """Its application ends."""
        self.views[name].stop()
        self.meshes.stop(name)
        self.meshes.run()

    async def run(self, call: Awaitable[T]) -> T:
        """What it returns, once the members have exchanged what it takes."""
        task = asyncio.ensure_future(call)
        for _ in range(100):
            await self.meshes.settle()
            if task.done():
                break
        return await task

    async def rows(self, listing: Any) -> list[Any]:
        """All rows of a listing."""

        async def gather() -> list[Any]:
            return [row async for batch in listing for row in batch.rows]

        return await self.run(gather())
