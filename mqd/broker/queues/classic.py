"""The classic queue: on one node, durable or not, with priorities where they are asked for.

Decides what a classic queue has that others have not: levels of priority, and what a policy does
that both shortens it and has it refuse messages. Everything else is as in
`mqd.broker.queues.ordered`. x-queue-mode and x-queue-version change nothing that can be seen: a
backlog is paged out as it grows, whatever they say. Never decides who may use it.
"""

from __future__ import annotations

from mqd.broker import expiry
from mqd.broker.backlog import Backlog
from mqd.broker.priorities import PriorityBacklog
from mqd.broker.queues.ordered import OrderedQueue
from mqd.broker.queues.rules import QueueRules


class ClassicQueue(OrderedQueue):
    """See the file's charter."""

    kind = "classic"

    __slots__ = ()

    def new_backlog(self) -> Backlog | PriorityBacklog:
        top = expiry.argument(self.definition.arguments, "x-max-priority")
        if not top:
            return super().new_backlog()
        settings = self.vhost.settings
        return PriorityBacklog(
            self.vhost.spool,
            settings.queue_memory_messages_max,
            settings.queue_memory_bytes_max,
            top,
            self.vhost.broker.room,
            self.vhost.broker.shelf,
        )

    def rules_changed(self, before: QueueRules) -> None:
        """A new length holds before a new overflow does, so a queue that dropped its head does so
        once more (observed: 3.10.8)."""
        super().rules_changed(before)
        if before.overflow not in self.refusals:
            self.shorten()
