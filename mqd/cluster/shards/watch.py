"""Logs that are led by the server of a member whose daemon does nothing are led by another one.

A nats-server lives on beside a daemon that hangs or was stopped by a signal, and leads what it
led; but whoever leads a log is to write it, and that one does not. So when a member is linked no
more while its server leads, its daemon is asked over the engine. One that answers has only lost
its link and goes on writing: nothing is moved, so members that see each other differently never
take a log from each other in turns.

Decides when a log is taken from its leader and who gets it. One member acts: of those that see
each other, the first by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from mqd.cluster.ports import Engine, Mesh, NoMajority
from mqd.errors import MqdError

log = logging.getLogger(__name__)

_LOOK_S = 1.0


class Watch:
    """Of one disc member, while there is an engine. discs: names of all disc members."""

    def __init__(self, engine: Engine, mesh: Mesh, discs: Callable[[], Sequence[str]]) -> None:
        self._engine = engine
        self._mesh = mesh
        self._discs = discs
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """A link came or went."""
        self._stirred.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), _LOOK_S)
            self._stirred.clear()
            try:
                await self.look()
            except (NoMajority, MqdError) as error:
                log.debug("leaders: %s", error)

    async def look(self) -> None:
        """Take what a member leads that does nothing. Raises NoMajority, MqdError."""
        up = {self._mesh.node, *self._mesh.up}
        able = sorted(name for name in self._discs() if name in up)
        if not able or able[0] != self._mesh.node:
            return
        leads = self._engine.leads
        away = {leader for leader in leads.values() if leader is not None and leader not in up}
        for member in sorted(away):
            if await self._engine.attended(member):
                continue
            led = sorted(name for name, leader in leads.items() if leader == member)
            moves = [self._take(name, member, index, able) for index, name in enumerate(led)]
            for problem in await asyncio.gather(*moves, return_exceptions=True):
                if problem is not None:
                    raise problem

    async def _take(self, name: str, member: str, index: int, able: Sequence[str]) -> None:
        info = await self._engine.info(name)  # raises when its server is gone, too
        heirs = [one for one in able if one in info.current]
        if heirs and info.leader == member:
            heir = heirs[index % len(heirs)]
            log.warning("%s: the daemon of %s does nothing, %s leads it now", name, member, heir)
            await self._engine.lead(name, heir)
