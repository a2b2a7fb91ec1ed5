"""Auto-delete exchanges: they go with the last binding that leaves them.

Decides which go after bindings went, and who has it done: what is transient goes at once; the
deletion of what is durable is proposed once, by the node where the bindings were removed, and the
order of all changes says whether there are none by then. Never removes a binding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mqd.broker.bindings import auto_deleted
from mqd.broker.definitions import BindingDefinition

if TYPE_CHECKING:
    from mqd.broker.vhost import VHost


class Cascade:
    """Of one vhost."""

    __slots__ = ("_going", "_vhost")

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._going: set[str] = set()  # proposed, and not answered yet

    def after(self, removed: Sequence[BindingDefinition]) -> None:
        """These bindings are in the table no more."""
        vhost = self._vhost
        for name in auto_deleted(vhost.bindings, vhost.exchanges, removed):
            exchange = vhost.exchanges.get(name)
            if exchange is None:
                continue  # went with the one before
            if not exchange.definition.durable:
                vhost.apply_delete_exchange(name)
            elif not vhost.broker.follows:
                self._propose(name)

    def _propose(self, name: str) -> None:
        if name in self._going:
            return
        self._going.add(name)
        vhost = self._vhost

        def done(error: Exception | None) -> None:
            self._going.discard(name)  # nobody waits for it

        vhost.broker.topology.delete_exchange(vhost.name, name, done, if_unused=True)
