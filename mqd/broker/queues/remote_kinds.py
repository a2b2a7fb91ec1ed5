"""Of each kind of queue, what stands for one on another node.

Decides which traits of the kind hold where the client is. Never decides what is done with a message
of another node: `mqd.broker.queues.remote` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.broker.queues.classic import ClassicQueue
from mqd.broker.queues.quorum import QuorumQueue
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.queues.stream import StreamQueue


class RemoteClassic(RemoteQueue):
    """A classic queue."""

    kind = ClassicQueue.kind

    __slots__ = ()


class RemoteQuorum(RemoteQueue):
    """A quorum queue: it has another home when it loses one."""

    kind = QuorumQueue.kind
    takes_global_prefetch = QuorumQueue.takes_global_prefetch
    knows_exclusive = QuorumQueue.knows_exclusive
    deletes_on_condition = QuorumQueue.deletes_on_condition

    __slots__ = ()


class RemoteStream(RemoteQueue):
    """A stream."""

    kind = StreamQueue.kind
    takes_global_prefetch = StreamQueue.takes_global_prefetch
    knows_exclusive = StreamQueue.knows_exclusive
    deletes_on_condition = StreamQueue.deletes_on_condition
    ignores_conditions = StreamQueue.ignores_conditions
    takes_back = StreamQueue.takes_back

    __slots__ = ()

    def refuse_return(self) -> NoReturn:
        raise ConnectionError_(
            ReplyCode.NOT_IMPLEMENTED,
            "basic.nack and basic.reject not supported by stream queues "
            f"{self.definition.resource}",
        )


REMOTE: Final[Mapping[str, type[RemoteQueue]]] = {
    kind.kind: kind for kind in (RemoteClassic, RemoteQuorum, RemoteStream)
}
