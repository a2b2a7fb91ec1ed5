"""RabbitMQ's tables as schema_info lists them: those whose content mqd keeps.

Decides which table stands for what mqd holds, and what of a table can be said truthfully: mqd has
no Mnesia, so cookies, indexes and locks are left blank. Never changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mqd.admin.context import AdminContext


@dataclass(frozen=True, slots=True)
class Table:
    """durable: kept on disc. count: rows there are now. record: RabbitMQ's name of a row."""

    name: str
    record: str
    attributes: str
    durable: bool
    count: Callable[[AdminContext], int]
    type: str = "set"


def _of_vhosts(measure: Callable[[Any], int]) -> Callable[[AdminContext], int]:
    return lambda ctx: sum(measure(vhost) for vhost in ctx.broker.vhosts.values())


_QUEUE: Final = "name durable auto_delete exclusive_owner arguments policy operator_policy type"
_EXCHANGE: Final = "name type durable auto_delete internal arguments policy operator_policy"

TABLES: Final = (
    Table(
        "rabbit_durable_queue", "amqqueue", _QUEUE, True,
        _of_vhosts(lambda vhost: sum(q.definition.durable for q in vhost.queues.values())),
    ),
    Table("rabbit_queue", "amqqueue", _QUEUE, False, _of_vhosts(lambda vhost: len(vhost.queues))),
    Table(
        "rabbit_runtime_parameters", "runtime_parameters", "key value", True,
        lambda ctx: len(ctx.metadata.state.global_parameters),
    ),
    Table(
        "rabbit_durable_exchange", "exchange", _EXCHANGE, True,
        _of_vhosts(lambda vhost: sum(e.definition.durable for e in vhost.exchanges.values())),
    ),
    Table(
        "rabbit_exchange", "exchange", _EXCHANGE, False,
        _of_vhosts(lambda vhost: len(vhost.exchanges)),
    ),
    Table(
        "rabbit_listener", "listener", "node protocol host ip_address port opts", False,
        lambda ctx: len(ctx.node.listeners()), "bag",
    ),
    Table(
        "rabbit_vhost", "vhost", "virtual_host limits metadata", True,
        lambda ctx: len(ctx.metadata.state.vhosts),
    ),
    Table(
        "rabbit_user_permission", "user_permission", "user_vhost permission", True,
        lambda ctx: len(ctx.metadata.state.permissions),
    ),
    Table(
        "rabbit_user", "internal_user",
        "username password_hash tags hashing_algorithm limits", True,
        lambda ctx: len(ctx.metadata.state.users),
    ),
)  # fmt: skip

Column = Callable[[AdminContext, Table], Any]


def _here(ctx: AdminContext, table: Table) -> list[str]:
    return [ctx.node.name]


COLUMNS: Final[dict[str, Column]] = {
    "name": lambda ctx, table: table.name,
    "load_order": lambda ctx, table: 0,
    "active_replicas": _here,
    "all_nodes": _here,
    "attributes": lambda ctx, table: table.attributes.split(),
    "disc_copies": lambda ctx, table: [ctx.node.name] if table.durable else [],
    "disc_only_copies": lambda ctx, table: [],
    "external_copies": lambda ctx, table: [],
    "master_nodes": lambda ctx, table: [],
    "ram_copies": lambda ctx, table: [] if table.durable else [ctx.node.name],
    "local_content": lambda ctx, table: False,
    "where_to_read": lambda ctx, table: ctx.node.name,
    "where_to_write": _here,
    "access_mode": lambda ctx, table: "read_write",
    "load_by_force": lambda ctx, table: False,
    "load_node": lambda ctx, table: ctx.node.name,
    "record_name": lambda ctx, table: table.record,
    "size": lambda ctx, table: table.count(ctx),
    "storage_type": lambda ctx, table: "disc_copies" if table.durable else "ram_copies",
    "type": lambda ctx, table: table.type,
    "arity": lambda ctx, table: len(table.attributes.split()) + 1,
    "majority": lambda ctx, table: False,
}
