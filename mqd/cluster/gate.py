"""The links as what runs inside an app sees them: up only while both ends' apps run.

Theory. A link is there as soon as two processes have met; the metadata needs it before there is an
app. What belongs to the app must not be sent before the other end can take it. So each end says
READY over the link, when its app is and at every link-up, and takes the other one for up once both
have said so. Links keep their order: whatever follows READY finds a node that has heard it.
NOT_READY takes it back, as the end of the link does.

Decides that, and who counts as running. Never decides whether an app runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from mqd.cluster.ports import Answer, Mesh, PeerDown, Take
from mqd.errors import MqdError
from mqd.limits import PRESENCE_TOLD_S
from mqd.metadata.commands import Member

_SERVICE = "gate"
_READY = b"1"
_NOT_READY = b"0"

log = logging.getLogger("mqd.cluster.gate")


class Gate:
    """`Mesh` of the app of one member, closed at first."""

    def __init__(self, mesh: Mesh) -> None:
        self.node = mesh.node
        self._mesh = mesh
        self._is_open = False
        self._ready: set[str] = set()  # the others that are
        self._up: set[str] = set()
        self._hearers: list[Callable[[str, bool], None]] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._ends = [
            mesh.take(_SERVICE, self._take),
            mesh.answer(_SERVICE, _heard),
            mesh.on_change(self._linked),
        ]

    # -- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """The app runs. Returns when all linked members have heard."""
        await self._say(_READY)

    async def shut(self) -> None:
        """It does not any more. As `open`."""
        await self._say(_NOT_READY)

    async def _say(self, word: bytes) -> None:
        self._is_open = word == _READY
        self._mesh.broadcast(_SERVICE, word)
        for node in list(self._ready):
            self._settle(node)
        await asyncio.gather(*map(self._until_heard, self._mesh.up))

    async def _until_heard(self, node: str) -> None:
        with contextlib.suppress(PeerDown, TimeoutError, MqdError):  # it hears at a link-up, then
            await self._mesh.request(node, _SERVICE, b"", PRESENCE_TOLD_S)

    async def reached(self, count: int) -> None:
        """Wait until so many others run, or this gate is closed."""
        if len(self._up) >= count:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, future)
        self._waiting.append(entry)
        try:
            await future
        finally:
            self._waiting.remove(entry)

    def close(self) -> None:
        """Nobody runs any more, for this node."""
        for end in self._ends:
            end()
        self._ready.clear()
        for node in list(self._up):
            self._settle(node)
        for _, future in self._waiting:
            if not future.done():
                future.set_result(None)

    # -- the others ---------------------------------------------------------------------------

    def _linked(self, node: str, is_up: bool) -> None:
        if is_up:
            if self._is_open:
                self._mesh.send(node, _SERVICE, _READY)
        else:
            self._ready.discard(node)
            self._settle(node)

    def _take(self, node: str, word: bytes) -> None:
        if word == _READY:
            self._ready.add(node)
        else:
            self._ready.discard(node)
        self._settle(node)

    def _settle(self, node: str) -> None:
        is_up = self._is_open and node in self._ready
        if is_up == (node in self._up):
            return
        if is_up:
            self._up.add(node)
        else:
            self._up.discard(node)
        for hear in list(self._hearers):
            try:
                hear(node, is_up)
            except Exception:
                log.exception("what follows when %s %s was not done", node, is_up)
        for count, future in self._waiting:
            if len(self._up) >= count and not future.done():
                future.set_result(None)

    # -- Mesh ---------------------------------------------------------------------------------

    @property
    def up(self) -> Sequence[str]:
        """See `Mesh`: those whose app runs, while this one does; by name."""
        return sorted(self._up)

    def epoch(self, node: str) -> int:
        """See `Mesh`."""
        return self._mesh.epoch(node)

    def send(self, node: str, service: str, payload: bytes) -> bool:
        """See `Mesh`."""
        return node in self._up and self._mesh.send(node, service, payload)

    def broadcast(self, service: str, payload: bytes) -> None:
        """See `Mesh`."""
        for node in self._up:
            self._mesh.send(node, service, payload)

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float) -> bytes:
        """See `Mesh`."""
        if node not in self._up:
            raise PeerDown(node)
        return await self._mesh.request(node, service, payload, timeout_s)

    def take(self, service: str, handler: Take) -> Callable[[], None]:
        """See `Mesh`."""
        return self._mesh.take(service, handler)

    def answer(self, service: str, handler: Answer) -> Callable[[], None]:
        """See `Mesh`."""
        return self._mesh.answer(service, handler)

    def on_change(self, hear: Callable[[str, bool], None]) -> Callable[[], None]:
        """See `Mesh`."""
        self._hearers.append(hear)
        return lambda: self._hearers.remove(hear) if hear in self._hearers else None

    def congested(self, node: str) -> bool:
        """See `Mesh`."""
        return self._mesh.congested(node)

    def on_relief(self, node: str, call: Callable[[], None]) -> None:
        """See `Mesh`."""
        self._mesh.on_relief(node, call)

    def use_members(self, members: Mapping[str, Member]) -> None:
        """See `Mesh`."""
        self._mesh.use_members(members)


async def _heard(_node: str, _payload: bytes) -> bytes:
    return b""
