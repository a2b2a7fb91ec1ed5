"""Which member a new queue is to live on.

Decides that, as 3.10.8 does: where its client is, unless the queue or a policy says otherwise
(x-queue-master-locator and x-queue-leader-locator; RabbitMQ: rabbit_queue_master_location_misc,
rabbit_queue_location). Never decides who else has its messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mqd.broker.definitions import QueueDefinition
from mqd.policies.applied import Applied

_ARGUMENTS: Final = {
    "classic": ("x-queue-master-locator", "queue-master-locator"),
    "quorum": ("x-queue-leader-locator", "queue-leader-locator"),
    "stream": ("x-queue-leader-locator", "queue-leader-locator"),
}
_FEWEST: Final = ("min-masters", "least-leaders", "balanced")
_ANY: Final = ("random", "random-leaders")


def place(
    definition: QueueDefinition,
    policy: Applied | None,
    here: str,
    members: Sequence[str],
    queues: Iterable[QueueDefinition],
    choose: Callable[[int], int],
) -> str:
    """The member. members: those that are there, this one among them; queues: all that are."""
    locator = _locator(definition, policy)
    if locator in _ANY:
        return sorted(members)[choose(len(members))]
    if locator in _FEWEST:
        counts = Counter(queue.node or here for queue in queues if queue.durable)
        fewest = min(counts[member] for member in members)
        best = [member for member in sorted(members) if counts[member] == fewest]
        return here if here in best else best[0]
    return here


def _locator(definition: QueueDefinition, policy: Applied | None) -> str:
    argument, key = _ARGUMENTS[definition.type]
    given = definition.arguments.get(argument)
    if given is not None and given[0] == "longstr":
        return str(given[1], "utf-8", "replace")
    value = dict(policy.definition).get(key) if policy is not None else None
    return value if isinstance(value, str) else "client-local"
