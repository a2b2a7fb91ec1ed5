"""Metadata that changes while the cluster suffers, and what has to be there in the end.

Theory. Each thing is THERE once its ok was received, GONE once its deletion's was, UNSURE between
asking and an answer that never came. Each has one owner, an actor on one node, so its state in the
end is certain unless UNSURE. The exchange "reg" belongs to all: a register with the values absent,
direct, fanout and topic, written and read on every node; its history goes to the checker.

Decides what is declared and deleted next. Never judges a history.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Any

from tests.cluster.chaos.actors import ANSWER_S, Scene, Wire, connect
from tests.cluster.chaos.history import History
from tests.cluster.trio import Member
from tests.fault.crash_link import RefusedError

REGISTER = "reg"
_KINDS = ("direct", "fanout", "topic")
_PAUSE_S = 0.15


class State(enum.Enum):
    """What is known of a thing."""

    GONE = "gone"
    UNSURE = "unsure"
    THERE = "there"


class Clerk:
    """Changes things of its own through one node, and the register of all."""

    def __init__(self, scene: Scene, member: Member, history: History) -> None:
        self._scene = scene
        self._member = member
        self._history = history
        self._me = f"k{member.index}"
        self.states: dict[tuple[str, str], State] = {}
        self.changes = 0

    async def run(self) -> None:
        await self._scene.until_over(self._work)

    async def _work(self) -> None:
        link = await connect(self._member)
        link.unasked[0] = lambda _: None
        try:
            await link.open(1)
            while not self._scene.over:
                await self._scene.open.wait()
                await self._step(link)
                await asyncio.sleep(self._scene.dice.uniform(0, _PAUSE_S))
        finally:
            link.abort()

    async def _call(self, link: Wire, name: str, **values: Any) -> bool:
        """Whether it was done; False for a refusal, after which the channel is open again."""
        link.unasked[1] = lambda _: None
        try:
            async with asyncio.timeout(ANSWER_S):
                await link.call(1, name, **values)
        except RefusedError:
            async with asyncio.timeout(ANSWER_S):
                await link.open(1)
            return False
        return True

    async def _step(self, link: Wire) -> None:
        draw = self._scene.dice.random()
        if draw < 0.4:
            await self._register(link)
        elif draw < 0.7:
            await self._change(link, "exchange", f"{self._me}x{self._scene.dice.randrange(4)}")
        elif draw < 0.9:
            await self._change(link, "queue", f"{self._me}q{self._scene.dice.randrange(4)}")
        else:
            await self._fleet(link)

    async def _change(self, link: Wire, kind: str, name: str) -> None:
        key = kind, name
        state = self.states.get(key, State.GONE)
        self.states[key] = State.UNSURE
        if state is State.GONE or (state is State.UNSURE and self._scene.dice.random() < 0.5):
            values: dict[str, Any] = {kind: name, "durable": True}
            if kind == "exchange":
                values["type"] = "direct"
            done = await self._call(link, f"{kind}.declare", **values)
            self.states[key] = State.THERE if done else State.UNSURE
        else:
            done = await self._call(link, f"{kind}.delete", **{kind: name})
            self.states[key] = State.GONE if done else State.UNSURE
        self.changes += done

    async def _fleet(self, link: Wire) -> None:
        """An exclusive queue that goes as it came."""
        name = f"{self._me}e{self._scene.number_of_link()}"
        if await self._call(link, "queue.declare", queue=name, exclusive=True):
            await self._call(link, "queue.delete", queue=name)

    async def _register(self, link: Wire) -> None:
        draw = self._scene.dice.random()
        values: dict[str, Any] = {"exchange": REGISTER}
        if draw < 0.4:
            kind = self._scene.dice.choice(_KINDS)
            values |= {"type": kind, "durable": True}
            with self._history.operation(self._me, REGISTER, "declare", kind) as operation:
                done = await self._call(link, "exchange.declare", **values)
                operation.result = done
        elif draw < 0.6:
            with self._history.operation(self._me, REGISTER, "delete") as operation:
                if await self._call(link, "exchange.delete", **values):
                    operation.result = True
        else:
            values |= {"passive": True}
            with self._history.operation(self._me, REGISTER, "exists") as operation:
                operation.result = await self._call(link, "exchange.declare", **values)


def compare(clerks: list[Clerk], definitions: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong: nodes that differ, and certain things that are not as they were answered."""
    wrong = []
    (first, told), *others = definitions.items()
    for name, other in others:
        for key in told.keys() | other.keys():
            if told.get(key) != other.get(key):
                mine = [row for row in told.get(key, []) if row not in other.get(key, [])]
                theirs = [row for row in other.get(key, []) if row not in told.get(key, [])]
                wrong.append(f"{key}: {first} alone {mine[:3]}, {name} alone {theirs[:3]}")
    there = {
        (kind, row["name"]) for kind in ("exchange", "queue") for row in told.get(f"{kind}s", [])
    }
    for clerk in clerks:
        for key, state in clerk.states.items():
            if state is not State.UNSURE and (key in there) != (state is State.THERE):
                wrong.append(f"{key} was answered to be {state.value}, and {first} differs")
                clerk.states[key] = State.UNSURE
    return wrong
