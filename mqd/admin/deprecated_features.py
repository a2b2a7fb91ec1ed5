"""Features that RabbitMQ gives up after 3.10, and whether somebody uses them here.

Decides the list: those of RabbitMQ 3.13 that mqd has, all permitted. Never refuses one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, NamedTuple

from mqd.admin.context import AdminContext
from mqd.admin.listing import batches, columns, fields_of
from mqd.broker.queues.base import Queue
from mqd.policies.model import OPERATOR_POLICY, POLICY
from mqd.rpc.v1 import deprecated_features_pb2 as pb


class Feature(NamedTuple):
    """One of them. is_used looks at the node as it is now."""

    name: str
    desc: str
    is_used: Callable[[AdminContext], bool]


def _queues(ctx: AdminContext) -> Iterator[Queue]:
    for vhost in ctx.broker.vhosts.values():
        yield from vhost.queues.values()


def _in_policies(ctx: AdminContext, key: str) -> bool:
    return any(
        key in value.get("definition", ())
        for (_, component, _), value in ctx.metadata.state.parameters.items()
        if component in (POLICY, OPERATOR_POLICY)
    )


def _global_prefetch(ctx: AdminContext) -> bool:
    return any(
        channel.global_prefetch_count
        for entry in ctx.broker.connections.values()
        for channel in entry.channels.values()
    )


def _master_locator(ctx: AdminContext) -> bool:
    return _in_policies(ctx, "queue-master-locator") or any(
        "x-queue-master-locator" in queue.definition.arguments for queue in _queues(ctx)
    )


def _transient(ctx: AdminContext) -> bool:
    return any(
        not queue.definition.durable and not queue.definition.exclusive for queue in _queues(ctx)
    )


FEATURES: Final = (
    Feature(
        "classic_queue_mirroring",
        "Policies that ask for mirrored queues (ha-mode)",
        lambda ctx: _in_policies(ctx, "ha-mode"),
    ),
    Feature("global_qos", "Prefetch for a whole channel (basic.qos with global)", _global_prefetch),
    Feature("queue_master_locator", "Where the master of a queue is placed", _master_locator),
    Feature("ram_node_type", "Nodes that keep metadata in memory only", lambda ctx: False),
    Feature(
        "transient_nonexcl_queues", "Queues that are neither durable nor exclusive", _transient
    ),
)

_COLUMNS: Final[dict[str, Callable[[Feature], str]]] = {
    "name": lambda feature: feature.name,
    "deprecation_phase": lambda feature: "permitted_by_default",
    "state": lambda feature: "permitted",
    "provided_by": lambda feature: "rabbit",
    "desc": lambda feature: feature.desc,
    "doc_url": lambda feature: "",
}


async def list_(
    ctx: AdminContext, request: pb.ListDeprecatedFeatures
) -> AsyncIterator[pb.DeprecatedFeatureRows]:
    """Rows of all, or of those that are used, by name."""
    chosen = columns(request.columns, _COLUMNS)
    found = [each for each in FEATURES if not request.used or each.is_used(ctx)]
    rows = [fields_of(pb.DeprecatedFeatureRow, chosen, each) for each in found]
    for batch in batches(rows, lambda chunk: pb.DeprecatedFeatureRows(rows=chunk)):
        yield batch
