"""A node alone that becomes a cluster, asked by others that may not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from mqd.cluster.membership.record import Record
from mqd.daemon.peers import Peers
from mqd.daemon.roll import Roll
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import ClusterRecord, Member
from mqd.metadata.store import MetadataStore
from mqd.rpc.v1 import membership_pb2 as pb


class First(Roll):
    """A node alone. calls: what was done to it; go_on: set when it may go on with the first."""

    def __init__(self, metadata: MetadataStore) -> None:
        super().__init__("a@h", cast("Peers", None), Member("a@h", "", 0))
        self._metadata = metadata
        self.calls: list[str] = []
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self.fails = False
        self.begin, self.begun = self._begins, self._has_begun

    @asynccontextmanager
    async def _begins(self, _cluster: ClusterRecord, me: Member) -> AsyncIterator[Member]:
        self.calls.append("begin")
        self.reached.set()
        await self.go_on.wait()
        if self.fails:
            raise MqdError(ErrorCode.UNAVAILABLE, "no port is free")
        yield me

    async def _has_begun(self) -> None:
        self.calls.append("begun")

    def running(self) -> tuple[str, ...]:
        return ()

    def keep(self) -> None:
        pass

    def note(self, record: Record) -> None:
        self.calls.append("note")
        self.record = record


def entry(name: str) -> pb.MemberEntry:
    return pb.MemberEntry(name=name, incarnation=f"i{name}", kind="disc", host="h")


def play(tmp_path: Path, scenario: Any) -> None:
    async def run() -> None:
        metadata = MetadataStore.open(tmp_path / "metadata.db")
        try:
            await scenario(First(metadata), metadata)
        finally:
            await metadata.close()

    asyncio.run(run())


def test_who_asked_may_leave_and_it_is_a_cluster_all_the_same(tmp_path: Path) -> None:
    async def scenario(first: First, metadata: MetadataStore) -> None:
        loop = asyncio.get_running_loop()
        asks = loop.create_task(first.admit(entry("b@h"), again=False, former=""))
        await first.reached.wait()
        asks.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asks
        other = loop.create_task(first.admit(entry("c@h"), again=False, former=""))
        await asyncio.sleep(0)
        first.go_on.set()
        reply = await other
        assert first.calls == ["begin", "note", "begun"]
        assert {each.name for each in reply.members} == {"a@h", "c@h"}
        assert metadata.state.cluster is not None

    play(tmp_path, scenario)


def test_one_that_fails_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(first: First, metadata: MetadataStore) -> None:
        first.go_on.set()
        first.fails = True
        with pytest.raises(MqdError, match="no port"):
            await first.admit(entry("b@h"), again=False, former="")
        assert metadata.state.cluster is None
        first.fails = False
        await first.admit(entry("b@h"), again=False, former="")
        assert first.calls == ["begin", "begin", "note", "begun"]

    play(tmp_path, scenario)
    assert "did not become a cluster" in caplog.text
