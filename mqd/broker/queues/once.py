"""A queue that takes a message once that another node numbered and may send again.

Decides whether it came before, for queues whose messages are in this node's own store. Never
decides what becomes of one that is new.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from mqd.broker.definitions import QueueDefinition
from mqd.broker.queues.base import Queue
from mqd.broker.seen import Numbered
from mqd.names import Pid
from mqd.policies.applied import Applied

if TYPE_CHECKING:
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost


class TakesOnce(Queue):
    """See the file's charter."""

    __slots__ = ("_numbered",)

    def __init__(
        self,
        definition: QueueDefinition,
        vhost: VHost,
        pid: Pid,
        owner: ConnectionEntry | None,
        policy: Applied | None = None,
    ) -> None:
        super().__init__(definition, vhost, pid, owner, policy)
        self._numbered: Numbered | None = None  # since there is something to know

    def publish_once(
        self,
        origin: bytes,
        number: int,
        names: bytes,
        content: bytes,
        persistent: bool,
        returns: int = 0,
    ) -> int:
        """A store does not keep numbers: what came before this process began is not known."""
        numbered = self.numbered
        if numbered.knows(origin, number):
            return numbered.batch
        what = (names, content, persistent)
        result = self.publish_again(*what, returns) if returns else self.publish(*what)
        if result >= 0:
            numbered.add(origin, number, result, self.store.durable_batch)
        return result

    @property
    def numbered(self) -> Numbered:
        """What it knows of numbers."""
        if self._numbered is None:
            self._numbered = Numbered()
        return self._numbered

    @abstractmethod
    def publish_again(self, names: bytes, content: bytes, persistent: bool, returns: int) -> int:
        """As `publish`, of a message that came back so often where it was before."""
