"""Operations of the catalogue that one member has another carry out, over the links.

Decides how a call and its replies are cut into requests of the `Mesh`: replies come in parts of a
bounded size, each asked for when the last one was taken, so that neither node holds a long listing
whole and a node that stops answering is noticed at the next part. Never knows an operation: whoever
makes it gives a `Carry`. Never tries again: who was not answered skips the node, or says so.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from mqd.cluster.ports import Mesh
from mqd.errors import ErrorCode, MqdError

SERVICE: Final = "admin"
IDLE_S: Final = 1.0  # within which each part of an answer is there; then the node is skipped
PART_BYTES: Final = 262_144
OPEN_MAX: Final = 64  # answers that callers have not taken to the end; the oldest makes room

_HEAD: Final = struct.Struct(">QI")  # (what to ask for the next part with, 0: none; replies)
_SIZE: Final = struct.Struct(">I")

# (full name of the rpc, request, who asks) -> replies; one of a unary rpc
Carry = Callable[[str, bytes, str], AsyncIterator[bytes]]


@dataclass(slots=True)
class _Open:
    caller: str
    replies: AsyncIterator[bytes]
    next_reply: bytes | None = None  # did not fit into the last part


class Calls:
    """Both ends of one node."""

    def __init__(self, mesh: Mesh, carry: Carry) -> None:
        self._mesh = mesh
        self._carry = carry
        self._open: dict[int, _Open] = {}
        self._numbers = itertools.count(1)
        self._ends: list[Callable[[], None]] = []

    def start(self) -> None:
        """Answer the others from now on."""
        self._ends = [
            self._mesh.answer(SERVICE, self._answer),
            self._mesh.on_change(self._linked),
        ]

    def stop(self) -> None:
        while self._ends:
            self._ends.pop()()
        self._open.clear()

    # -- the caller ---------------------------------------------------------------------------

    async def replies(
        self, node: str, rpc: str, request: bytes, actor: str, idle_s: float = IDLE_S
    ) -> AsyncIterator[bytes]:
        """What that node answers, as it comes.

        Raises PeerDown when its link ends, TimeoutError when it does not answer within idle_s,
        MqdError as the operation does there.
        """
        asked = json.dumps({"rpc": rpc, "actor": actor}).encode() + b"\n" + request
        while asked:
            part = await self._mesh.request(node, SERVICE, asked, idle_s)
            number, _ = _HEAD.unpack_from(part)
            for reply in _split(part):
                yield reply
            asked = json.dumps({"more": number}).encode() + b"\n" if number else b""

    # -- the node that is asked ---------------------------------------------------------------

    async def _answer(self, caller: str, payload: bytes) -> bytes:
        line, _, request = payload.partition(b"\n")
        asked: dict[str, Any] = json.loads(line)
        if "more" in asked:
            found = self._open.pop(asked["more"], None)
            if found is None or found.caller != caller:
                raise MqdError(ErrorCode.NOT_FOUND, "the rest of the answer is not kept any more")
        else:
            found = _Open(caller, self._carry(asked["rpc"], request, asked["actor"]))
        return await self._part(found)

    async def _part(self, found: _Open) -> bytes:
        """As many replies as fit, at least one."""
        taken, size = [], 0
        if found.next_reply is not None:
            taken, size, found.next_reply = [found.next_reply], len(found.next_reply), None
        async for reply in found.replies:
            if taken and size + len(reply) > PART_BYTES:
                found.next_reply = reply
                break
            taken.append(reply)
            size += len(reply)
        number = self._keep(found) if found.next_reply is not None else 0
        sized = (_SIZE.pack(len(one)) + one for one in taken)
        return _HEAD.pack(number, len(taken)) + b"".join(sized)

    def _keep(self, found: _Open) -> int:
        """What is dropped here is closed by the loop, as every generator that nobody holds."""
        while len(self._open) >= OPEN_MAX:
            del self._open[next(iter(self._open))]
        number = next(self._numbers)
        self._open[number] = found
        return number

    def _linked(self, node: str, is_up: bool) -> None:
        if not is_up:
            self._open = {key: one for key, one in self._open.items() if one.caller != node}


def _split(part: bytes) -> list[bytes]:
    _, count = _HEAD.unpack_from(part)
    place, replies = _HEAD.size, []
    for _ in range(count):
        (size,) = _SIZE.unpack_from(part, place)
        place += _SIZE.size
        replies.append(part[place : place + size])
        place += size
    return replies
