"""One quorum queue whose every operation is recorded, one message at a time, on every node.

Decides what is asked: enqueue is a publish with its confirm, dequeue is basic.get with no_ack. An
operation that was never answered stays without a result. Never judges: `queue_check` does.
"""

from __future__ import annotations

import asyncio

from tests.cluster.chaos.actors import ANSWER_S, Scene, Wire, connect
from tests.cluster.chaos.history import History
from tests.cluster.trio import Member
from tests.fault.crash_link import FRAME_MAX, GoneError, Heard
from tests.protocol import wire

QUEUE = "h0"
EMPTY = "empty"
_PAUSE_S = 0.1


class Sampler:
    """On one node: puts one in, takes one out, in a drawn order."""

    def __init__(self, scene: Scene, member: Member, history: History) -> None:
        self._scene = scene
        self._member = member
        self._history = history
        self._me = f"s{member.index}"
        self._value = 0
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()

    async def run(self) -> None:
        await self._scene.until_over(self._work)

    async def _work(self) -> None:
        self._heard = asyncio.Queue()
        link = await connect(self._member)
        link.unasked[0] = lambda _: None
        try:
            for channel in (1, 2):
                await link.open(channel)
            link.unasked[1] = self._heard.put_nowait
            await link.call(1, "confirm.select")
            while not self._scene.over:
                await self._scene.open.wait()
                if self._scene.dice.random() < 0.5:
                    await self._enqueue(link)
                else:
                    await take(link, self._history, self._me)
                await asyncio.sleep(self._scene.dice.uniform(0, _PAUSE_S))
        finally:
            link.abort()

    async def _enqueue(self, link: Wire) -> None:
        """Raises one of Hardship when no answer comes: the link cannot be told apart any more."""
        self._value += 1
        value = f"{self._me}.{self._value}"
        method = {"routing_key": QUEUE, "mandatory": True}
        body = value.encode()
        frames = (
            wire.frame(wire.FRAME_METHOD, 1, wire.method_payload("basic.publish", method))
            + wire.frame(wire.FRAME_HEADER, 1, wire.header_payload(len(body), {"delivery_mode": 2}))
            + wire.body_frames(1, body, FRAME_MAX)
        )
        with self._history.operation(self._me, QUEUE, "enqueue", value) as operation:
            link.write(frames)
            heard = await _answer(link, self._heard)
            if heard.name != "basic.ack":  # returned, or refused: whether it is in is not known
                raise GoneError
            operation.result = True


async def _answer(link: Wire, heard: asyncio.Queue[Heard]) -> Heard:
    waiting = asyncio.ensure_future(heard.get())
    try:
        await asyncio.wait(
            (waiting, link.gone), timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not waiting.done():
            raise GoneError
        return waiting.result()
    finally:
        waiting.cancel()


async def take(link: Wire, history: History, me: str) -> bool:
    """One dequeue over channel 2; whether something came. Raises one of Hardship."""
    with history.operation(me, QUEUE, "dequeue") as operation:
        async with asyncio.timeout(ANSWER_S):
            got = await link.call(2, "basic.get", queue=QUEUE, no_ack=True)
        if got.name == "basic.get-empty":
            operation.result = EMPTY
            return False
        operation.value = "redelivered" if got.values["redelivered"] else ""
        operation.result = got.body.decode()
        return True
