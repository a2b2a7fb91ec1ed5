"""Several brokers in one process, joined by links that deliver when the test says so.

Decides how the parts of a cluster that queues need are stood in for: durable declarations reach all
running nodes at once; a quorum queue lives where `quorum_at` says; timers run when told. Each node
is a `tests.harness.World` with real sessions. Never waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mqd.broker.broker import Broker
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.ports import Done
from mqd.broker.settings import Settings
from mqd.cluster.queues.remote_queues import RemoteQueues
from mqd.names import NodeName, PidSource
from tests.cluster.fake_mesh import FakeMeshes
from tests.harness import Client, SlowTopology, World

Client = Client


class Member(World):
    """One node."""

    def __init__(self, cluster: Cluster, name: str, settings: Settings | None) -> None:
        self.cluster = cluster
        self.name = name
        super().__init__(settings, commit_at_once=False)
        self.broker.node = NodeName(name)
        self.broker.pids = PidSource(name, 1)
        self.later: list[Callable[[], None]] = []
        self.queues = RemoteQueues(
            self.broker,
            cluster.meshes[name],
            lambda seconds, call: self.later.append(call),
            lambda definition: cluster.quorum_at,
        )
        self.queues.start()

    def own_turns(self) -> None:
        """Of this node alone."""
        super().end_turns()

    def end_turns(self) -> None:
        """Finish the turns of all nodes and deliver what they send, unless it is held."""
        super().end_turns()
        if hasattr(self, "queues"):
            self.cluster.run()


class Everywhere(SlowTopology):
    """Durable changes reach all nodes that run; the first one has made them."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[str, Broker] = {}
        self.deleted: list[str] = []  # exchanges

    def _all(self, call: Callable[[Broker], None], done: Done) -> None:
        def step(ended: Done) -> None:
            first, *others = self.nodes.values()
            call(first)
            for broker in others:
                with broker.following():
                    call(broker)
            ended(None)

        self._propose(step, done)

    def put_exchange(self, definition: ExchangeDefinition, done: Done) -> None:
        self._all(lambda broker: broker.apply_put_exchange(definition), done)

    def delete_exchange(
        self, vhost: str, name: str, done: Done, *, if_unused: bool = False
    ) -> None:
        self.deleted.append(name)
        self._all(lambda broker: broker.apply_delete_exchange(vhost, name), done)

    def put_queue(self, definition: QueueDefinition, done: Done) -> None:
        self._all(lambda broker: broker.apply_put_queue(definition), done)

    def delete_queue(self, definition: QueueDefinition, done: Done) -> None:
        self._all(lambda broker: broker.apply_delete_queue(definition.vhost, definition.name), done)

    def put_binding(self, definition: BindingDefinition, done: Done) -> None:
        self._all(lambda broker: broker.apply_put_binding(definition), done)

    def delete_binding(self, definition: BindingDefinition, done: Done) -> None:
        self._all(lambda broker: broker.apply_delete_binding(definition), done)


class Cluster:
    """Nodes "a", "b", …; `self["a"]`."""

    def __init__(
        self, *names: str, seed: int | None = None, settings: Settings | None = None
    ) -> None:
        self.meshes = FakeMeshes(*names, seed=seed)
        self.topology = Everywhere()
        self.quorum_at = names[0]
        self.paused = False
        self._running = False
        self.nodes = {name: Member(self, name, settings) for name in names}
        for name, node in self.nodes.items():
            node.broker.topology = self.topology
            node.topology = self.topology
            self.topology.nodes[name] = node.broker

    def __getitem__(self, name: str) -> Member:
        return self.nodes[name]

    def run(self, steps: int = -1) -> None:
        """Turns and deliveries, until nothing is left."""
        if self.paused or self._running:
            return
        self._running = True
        try:
            while True:
                for node in self.nodes.values():
                    node.own_turns()
                if not self.meshes.run(steps):
                    return
        finally:
            self._running = False

    def cut(self, one: str, other: str, **how: Any) -> None:
        """The link between two is gone."""
        self.meshes.cut(one, other, **how)
        self.run()

    def heal(self) -> None:
        """Links come back."""
        self.meshes.heal()
        self.run()

    def commit(self) -> None:
        """All stores have what they were given on disc."""
        for node in self.nodes.values():
            for store in node.stores.values():
                store.commit()
        self.run()
