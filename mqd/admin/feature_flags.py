"""Feature flags: RabbitMQ's way to tell which abilities all nodes of a cluster have.

Decides the list: those that 3.10 has, all enabled, since mqd never lacks one of them. Never
changes anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

from mqd.admin.context import AdminContext
from mqd.admin.listing import batches, columns, fields_of
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import feature_flags_pb2 as pb
from mqd.rpc.v1 import values_pb2


class Flag(NamedTuple):
    """One flag, as 3.10.8 describes it."""

    name: str
    desc: str
    doc_url: str = ""


FLAGS: Final = (
    Flag("classic_mirrored_queue_version", "Support setting version for classic mirrored queues"),
    Flag(
        "implicit_default_bindings",
        "Default bindings are now implicit, instead of being stored in the database",
    ),
    Flag("maintenance_mode_status", "Maintenance mode status"),
    Flag(
        "quorum_queue",
        "Support queues of type `quorum`",
        "https://www.rabbitmq.com/quorum-queues.html",
    ),
    Flag("stream_queue", "Support queues of type `stream`", "https://www.rabbitmq.com/stream.html"),
    Flag("user_limits", "Configure connection and channel limits for a user"),
    Flag("virtual_host_metadata", "Virtual host metadata (description, tags, etc)"),
)

_COLUMNS: Final[dict[str, Callable[[Flag], str]]] = {
    "name": lambda flag: flag.name,
    "state": lambda flag: "enabled",
    "stability": lambda flag: "stable",
    "provided_by": lambda flag: "rabbit",
    "desc": lambda flag: flag.desc,
    "doc_url": lambda flag: flag.doc_url,
}


def rows(chosen: dict[str, Callable[[Flag], str]] | None = None) -> list[pb.FeatureFlagRow]:
    """A row for each flag; all columns unless some are chosen."""
    return [fields_of(pb.FeatureFlagRow, chosen or _COLUMNS, flag) for flag in FLAGS]


async def list_(
    ctx: AdminContext, request: pb.ListFeatureFlags
) -> AsyncIterator[pb.FeatureFlagRows]:
    """Rows of all flags, by name."""
    chosen = columns(request.columns, _COLUMNS)
    for batch in batches(rows(chosen), lambda chunk: pb.FeatureFlagRows(rows=chunk)):
        yield batch


async def enable(ctx: AdminContext, request: pb.EnableFeatureFlag) -> values_pb2.Done:
    """Nothing to do: every flag is enabled. Raises NOT_FOUND for one that does not exist."""
    if request.name != "all" and request.name not in {flag.name for flag in FLAGS}:
        raise MqdError(
            ErrorCode.NOT_FOUND, f"there is no feature flag '{request.name}' on {ctx.node.name}"
        )
    return values_pb2.Done()
