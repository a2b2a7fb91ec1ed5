"""What a member's administrator needs of the other members, joined to the node.

Decides what `mqd.cluster.fanout` is given: the node's own standing, what carries out others' calls.
Loaded for members alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqd.admin.context import NodeControl
from mqd.admin.reports import standing
from mqd.admin.serving import carrier
from mqd.cluster.fanout.standings import Standing
from mqd.cluster.fanout.view import View

if TYPE_CHECKING:
    from mqd.broker.broker import Broker
    from mqd.cluster.fanout.copies import ClusterQueues
    from mqd.cluster.ports import Mesh
    from mqd.metadata.store import MetadataStore


def view(
    node: NodeControl,
    mesh: Mesh,
    metadata: MetadataStore,
    broker: Broker,
    queues: ClusterQueues | None = None,
) -> View:
    """Of a broker that has recovered. Start it before clients are listened for, stop it when they
    are gone."""

    def own() -> Standing:
        return standing(node, broker)

    return View(mesh, lambda: metadata.state.members, broker, own, carrier(node), queues)
