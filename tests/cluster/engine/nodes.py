"""Engines with real nats-servers on this host, all driven by the test's own loop."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from mqd.cluster.engine.engine import NatsEngine, Start
from mqd.cluster.identity import Identity, issue
from mqd.metadata.commands import Member
from tests.ports import free_ports
from tests.waiting import PATIENCE_S

FULL = os.environ.get("MQD_ENGINE") == "full"
full = pytest.mark.skipif(not FULL, reason="takes long: make engine")


class Nodes:
    """Members a, b, c, ...; each can be up or down."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.members = [self.member(name) for name in "abcdefg"[:count]]
        self.up: dict[str, NatsEngine] = {}

    def member(self, letter: str, incarnation: str = "00000001") -> Member:
        name = f"rabbit@{letter}"
        return Member(name, incarnation, 1, host="localhost", route_port=free_ports(1)[0])

    def identity(self, member: Member, cookie: str = "COOKIE", generation: int = 1) -> Identity:
        folder = self.folder / member.name / "tls"
        return issue(folder, cookie, "id", generation, member.name, [member.host])

    async def start(
        self,
        name: str,
        how: Start = Start.AGAIN,
        *,
        members: Sequence[Member] | None = None,
        cookie: str = "COOKIE",
        generation: int = 1,
    ) -> NatsEngine:
        me = next(member for member in self.members if member.name == name)
        engine = NatsEngine(self.folder / name, me, "id", listen="127.0.0.1")
        self.up[name] = engine
        identity = self.identity(me, cookie, generation)
        await engine.start(members or self.members, identity, how)
        return engine

    async def found(self, generation: int = 1) -> list[NatsEngine]:
        engines = [
            await self.start(member.name, Start.FOUND, generation=generation)
            for member in self.members
        ]
        for engine in engines:
            assert await engine.ready(PATIENCE_S)
        return engines

    async def stop(self, name: str) -> None:
        await self.up.pop(name).stop()

    async def crash(self, name: str) -> None:
        """The whole node: nobody starts the server again."""
        engine = self.up.pop(name)
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        await engine.stop()

    async def end(self) -> None:
        for name in list(self.up):
            await self.stop(name)


@contextlib.asynccontextmanager
async def nodes(folder: Path, count: int) -> AsyncIterator[Nodes]:
    """None is up at first; all are stopped at the end."""
    made = Nodes(folder, count)
    try:
        yield made
    finally:
        await made.end()
