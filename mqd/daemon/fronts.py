"""What plugins listen on, of one node: opened and closed as plugins come and go.

Decides which fronts are open. Never decides what becomes of a plugin whose front cannot be opened:
`lifecycle` does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mqd.errors import MqdError
from mqd.plugins.catalogue import Running
from mqd.plugins.contribution import Bound, Front

_log = logging.getLogger(__name__)


class Fronts:
    """Those that are open. node: what they are given."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._open: dict[type[Front], Front] = {}

    @property
    def listeners(self) -> Sequence[Bound]:
        """All sockets, in the order in which they were opened."""
        return [bound for front in self._open.values() for bound in front.listeners]

    async def follow(self, running: Running) -> Mapping[str, MqdError]:
        """Have these open and no others. Returns the plugins of those that cannot be."""
        kinds = [kind for _, kind in running.fronts]
        for kind in [kind for kind in self._open if kind not in kinds]:
            await self._open.pop(kind).close()
        failed: dict[str, MqdError] = {}
        for name, kind in running.fronts:
            if kind in self._open:
                continue
            front = kind(self._node)
            try:
                await front.open()
            except MqdError as error:
                failed[name] = error
                continue
            self._open[kind] = front
            for one in front.listeners:
                _log.info("started %s listener on %s:%d", one.protocol, one.interface, one.port)
        return failed

    def reset_statistics(self) -> None:
        """Have those that keep samples forget them."""
        for front in self._open.values():
            reset = getattr(front, "reset_statistics", None)
            if reset is not None:
                reset()

    async def close(self) -> None:
        """The application stops."""
        while self._open:
            _, front = self._open.popitem()
            await front.close()
