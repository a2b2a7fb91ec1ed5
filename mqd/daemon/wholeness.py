"""Which copies of the logs of quorum queues are not whole on this disc member.

Theory. A member that is forced to go on alone has what its copies have. While they are made, after
it joined or came back, that is less than what was confirmed to clients, and nothing in the copy
itself says so: only who leads the log knows. So while the node runs it asks, and writes down what
it hears, for the time when nobody is left to ask: a power cut, and the choice of whom to force.

What cannot be asked now (no leader, no majority) stays as it was known: members go down one after
the other in a power cut, and those that are left lose no copy by that. A copy that was whole when
its member went down long before the others is behind all the same: the time of the file tells.

Decides what is said of this node's copies. Never makes one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from mqd.cluster.ports import Engine, NoMajority
from mqd.cluster.shards.shards import log_of, shard_number
from mqd.daemon.remembered import LACKS_FILE, remembered
from mqd.limits import WHOLE_LOOK_S
from mqd.metadata.store import MetadataStore
from mqd.storage import durable

_STAMP_LOOKS: Final = 5

_log = logging.getLogger(__name__)


class Wholeness:
    """Of one app. folder: of the engine; engine(): while there is one."""

    def __init__(
        self, folder: Path, node: str, store: MetadataStore, engine: Callable[[], Engine | None]
    ) -> None:
        self._folder = folder
        self._node = node
        self._store = store
        self._engine = engine
        before = remembered(folder)
        self._lacks = before.lacks if before is not None else None
        self._looking: asyncio.Task[None] | None = None

    @property
    def lacks(self) -> Sequence[str]:
        """Names of logs; all of them while nothing is known."""
        logs = self._logs()
        return [log for log in logs if self._lacks is None or log in self._lacks]

    def _logs(self) -> Sequence[str]:
        """Those that have queues."""
        queues = self._store.state.queues.values()
        return sorted({log_of(queue.shard) for queue in queues if queue.shard is not None})

    def begin(self) -> None:
        """Look from now on."""
        loop = asyncio.get_running_loop()
        self._looking = loop.create_task(self._run(), name="wholeness of copies")

    def close(self) -> None:
        """What is written down stays."""
        if self._looking is not None:
            self._looking.cancel()
            self._stamp()

    async def _run(self) -> None:
        for looks in itertools.count():
            await self.look()
            if looks % _STAMP_LOOKS == 0:
                self._stamp()
            await asyncio.sleep(WHOLE_LOOK_S)

    def _stamp(self) -> None:
        """The app runs still."""
        with contextlib.suppress(OSError):
            os.utime(self._folder / LACKS_FILE)

    async def look(self) -> None:
        """Ask of every log, also those that have no queue yet, who has it whole."""
        engine, before = self._engine(), self._lacks
        if engine is None:
            if before is None and (logs := self._logs()):
                self._lacks = tuple(logs)  # a new member, or one that joins again: it has nothing
                self._note()
            return
        found: list[str] = []
        known = {name for name in engine.leads if shard_number(name) is not None}
        for log in sorted({*self._logs(), *known}):
            is_whole = await self._is_whole(engine, log)
            if is_whole is None:
                is_whole = before is not None and log not in before
            if not is_whole:
                found.append(log)
        self._lacks = tuple(found)
        if self._lacks != before:
            self._note()

    async def _is_whole(self, engine: Engine, log: str) -> bool | None:
        """None: nobody can tell."""
        try:
            info = await engine.info(log)
        except NoMajority:
            return None
        if info.leader is None:
            return None
        return self._node in info.current

    def _note(self) -> None:
        assert self._lacks is not None
        if self._lacks:
            named = ", ".join(self._lacks)
            _log.info("this node has no whole copy of these logs of quorum queues: %s", named)
        else:
            _log.info("this node's copies of the logs of quorum queues are whole")
        with contextlib.suppress(OSError):  # a full disc: it is known for as long as this runs
            self._folder.mkdir(mode=0o700, exist_ok=True)
            durable.replace(self._folder / LACKS_FILE, " ".join(self._lacks).encode())
