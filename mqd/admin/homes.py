"""Which member of the cluster serves a queue, and what is known of one that nobody serves.

Decides which queues this node answers for, and where a request for another one goes. Never moves a
queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from mqd.admin.context import AdminContext
from mqd.admin.copies import all_copies_of
from mqd.admin.everywhere import ask
from mqd.broker.definitions import BindingDefinition
from mqd.broker.queues.base import Queue
from mqd.broker.vhost import VHost
from mqd.errors import ErrorCode, MqdError

_ANSWER_S: Final = 15.0  # a deletion waits for every member to have it


def is_here(ctx: AdminContext, queue: Queue) -> bool:
    """Whether this node answers for it."""
    return ctx.node.cluster is None or queue.home == ctx.node.name


def is_down(ctx: AdminContext, queue: Queue) -> bool:
    """Whether no running member answers for it."""
    cluster = ctx.node.cluster
    return cluster is not None and queue.home not in cluster.running


def is_between_homes(ctx: AdminContext, queue: Queue) -> bool:
    """Whether it has copies and none of them leads: it is new, or its leader went. Whoever is asked
    for queues tells of it, since no member takes it for its own."""
    return is_down(ctx, queue) and (queue.definition.shard is not None or not queue.home)


def state_of(ctx: AdminContext, queue: Queue) -> str:
    """A queue that is about to be led runs; one that cannot be is down."""
    if is_between_homes(ctx, queue) and not all_copies_of(ctx, queue).has_quorum:
        return "down"
    return "running"


def is_lost(ctx: AdminContext, queue: Queue) -> bool:
    """Whether it is listed as down: one with copies elsewhere is not, whoever leads it
    (observed: 3.10.8)."""
    return (
        queue.definition.type == "classic"
        and is_down(ctx, queue)
        and not is_between_homes(ctx, queue)
    )


def homeless(ctx: AdminContext, queues: Iterable[Queue]) -> Iterator[Queue]:
    """Those that are lost."""
    return (queue for queue in list(queues) if is_lost(ctx, queue))


def is_reached(ctx: AdminContext, vhost: VHost, binding: BindingDefinition) -> bool:
    """A binding to a queue that is down routes nothing, and is not listed (observed: 3.10.8)."""
    if ctx.node.cluster is None or binding.destination_kind != "queue":
        return True
    queue = vhost.queues.get(binding.destination)
    return queue is None or not is_lost(ctx, queue)


async def at_home(ctx: AdminContext, queue: Queue, rpc: str, request: Any) -> Any:
    """The answer of the member that serves it. Raises NOT_FOUND when none does, or when it does not
    answer: what became of the request is not known then."""
    if not is_down(ctx, queue) and not ctx.relayed:
        reply = await ask(ctx, queue.home, rpc, request, _ANSWER_S)
        if reply is not None:
            return reply
    word = "not_found" if queue.definition.type == "classic" else "noproc"
    raise MqdError(ErrorCode.NOT_FOUND, word)


def pid_at(queue: Queue, member: str) -> str:
    """Of the process that serves it there, or would."""
    node, creation, number, serial = queue.pid.strip("<>").rsplit(".", 3)
    return f"<{member or node}.{creation}.{number}.{serial}>"


DOWN: Final[Mapping[str, Callable[[Queue], Any]]] = {
    "name": lambda q: q.definition.name,
    "durable": lambda q: q.durable,
    "auto_delete": lambda q: q.definition.auto_delete,
    "arguments": lambda q: q.definition.arguments,
    "pid": lambda q: pid_at(q, q.home),
    "state": lambda q: "down",
    "type": lambda q: f"rabbit_{q.definition.type}_queue",  # observed: 3.10.8 shows the module
}
