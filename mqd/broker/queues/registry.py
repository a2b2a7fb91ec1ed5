"""Which kinds of queues there are.

Decides what x-queue-type and a stored definition mean. Never decides how a kind behaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mqd.broker.queues.base import Queue
from mqd.broker.queues.classic import ClassicQueue
from mqd.broker.queues.quorum import QuorumQueue
from mqd.broker.queues.stream import StreamQueue

KINDS: Final[Mapping[str, type[Queue]]] = MappingProxyType(
    {kind.kind: kind for kind in (ClassicQueue, QuorumQueue, StreamQueue)}
)
