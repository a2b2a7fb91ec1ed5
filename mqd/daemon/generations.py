"""Noticing, while the app runs, that the cluster has begun a new generation without this node.

Theory. Members of another generation show certificates that are no good here, so links to them are
refused. A refusal is a reason to ask: whoever was refused tells over its control port which
generation it is of. When that is a later one of our cluster, and it runs, what this node orders or
follows counts no more.

Decides when to ask. Never decides what to do then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mqd.cluster.handshake import Unreachable
from mqd.cluster.links.mesh import Refused
from mqd.cluster.membership.start import RUNNING
from mqd.daemon.membership import Membership
from mqd.limits import OVERTAKEN_LOOK_S

_log = logging.getLogger(__name__)


class GenerationWatch:
    """Of one app. overtaken() is called once."""

    def __init__(self, membership: Membership, overtaken: Callable[[], None]) -> None:
        self._membership = membership
        self._overtaken = overtaken
        self._asking: asyncio.Task[None] | None = None

    def refused(self, _refused: Refused) -> None:
        """A link did not come to be."""
        if self._asking is None:
            loop = asyncio.get_running_loop()
            self._asking = loop.create_task(self._ask())

    def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        record = self._membership.record
        assert record is not None
        linked = self._membership.running()
        for name in record.others:
            if name in linked:
                continue
            try:
                facts = await self._membership.peers.ask(name, record.members[name])
            except Unreachable:
                continue
            if facts.cluster_id != record.cluster.id or facts.state != RUNNING:
                continue
            if facts.generation > record.cluster.generation:
                _log.error(
                    "%s runs in generation %d of the cluster, this node in %d: the cluster went on "
                    "without it, and it joins again",
                    name,
                    facts.generation,
                    record.cluster.generation,
                )
                self._overtaken()
                return
        await asyncio.sleep(OVERTAKEN_LOOK_S)
        self._asking = None
