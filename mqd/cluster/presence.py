"""Which members' apps run: a link says only that a process is there.

Decides what is told of this node and when: whole at every link-up, and at every change, which the
others have heard of when `tell` returns. Never decides whether an app runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mqd.cluster.ports import Mesh, PeerDown
from mqd.errors import MqdError
from mqd.limits import PRESENCE_TOLD_S

_SERVICE = "presence"
_RUNS = b"1"
_RUNS_NOT = b"0"


class Presence:
    """Of one member. on_change() is called after any of the others came or went."""

    def __init__(self, mesh: Mesh, on_change: Callable[[], None]) -> None:
        self._mesh = mesh
        self._on_change = on_change
        self._runs = _RUNS_NOT
        self._running: set[str] = set()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._ends = [mesh.answer(_SERVICE, self._answer), mesh.on_change(self._linked)]
        self._asked: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> Sequence[str]:
        """The others whose app runs, by name."""
        return sorted(self._running)

    async def tell(self, runs: bool) -> None:
        """This node's app runs now, or not any more. Returns when all linked ones have heard."""
        self._runs = _RUNS if runs else _RUNS_NOT
        await asyncio.gather(*map(self._exchange, self._mesh.up))

    async def reached(self, count: int) -> None:
        """Wait until so many run, this node not counted."""
        if len(self._running) >= count:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, future)
        self._waiting.append(entry)
        try:
            await future
        finally:
            self._waiting.remove(entry)

    def close(self) -> None:
        for end in self._ends:
            end()
        for task in self._asked:
            task.cancel()
        self._running.clear()

    async def _exchange(self, node: str) -> None:
        """Tell and be told."""
        try:
            said = await self._mesh.request(node, _SERVICE, self._runs, PRESENCE_TOLD_S)
        except (PeerDown, TimeoutError, MqdError):
            return  # it is told when its link comes up
        self._take(node, said)

    async def _answer(self, node: str, said: bytes) -> bytes:
        self._take(node, said)
        return self._runs

    def _take(self, node: str, said: bytes) -> None:
        if node not in self._mesh.up:
            return
        before = len(self._running), node in self._running
        if said == _RUNS:
            self._running.add(node)
        else:
            self._running.discard(node)
        if before != (len(self._running), node in self._running):
            self._changed()

    def _linked(self, node: str, is_up: bool) -> None:
        if is_up:
            task = asyncio.get_running_loop().create_task(self._exchange(node))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
        elif node in self._running:
            self._running.discard(node)
            self._changed()

    def _changed(self) -> None:
        for count, future in self._waiting:
            if len(self._running) >= count and not future.done():
                future.set_result(None)
        self._on_change()
