"""A node alone that becomes the first of a cluster, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mqd.admin.context import AppState
from mqd.cluster.membership import file
from mqd.cluster.membership.record import FILE_NAME, Record
from mqd.daemon import membership
from mqd.daemon.node import Node
from mqd.daemon.side import Side
from mqd.embedded import AsyncBroker
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.store import MetadataStore
from mqd.rpc.v1 import membership_pb2 as pb
from tests.waiting import PATIENCE_S, until


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[Node]:
    async with asyncio.timeout(PATIENCE_S), AsyncBroker(data) as broker:
        yield broker.node


async def admit(node: Node, name: str) -> pb.AdmitMemberReply:
    entry = pb.MemberEntry(name=name, incarnation=f"i{name}", kind="ram", host="h")
    return await node.membership.admit(entry, again=False, former="")


def is_first(node: Node) -> bool:
    """Others can follow it, and it remembers that it is a member."""
    app, record = node.app, node.membership.record
    if app is None or app.side is None or node.app_state is not AppState.RUNNING:
        return False
    assert record is not None
    assert record == file.read(node.data_directory)
    assert app.metadata.state.cluster == record.cluster
    assert record.cluster.authority == node.name
    return node.membership.gate is app.side.gate and app.side.ledger.feed.accepts_proposals


def fails_once(call: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    left = 1

    async def failing(*arguments: object) -> None:
        nonlocal left
        if left:
            left = 0
            raise MqdError(ErrorCode.UNAVAILABLE, "why it did not begin")
        await call(*arguments)

    return failing


@pytest.mark.parametrize("part", [(Side, "open"), (MetadataStore, "propose_async")])
def test_a_part_of_it_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: tuple[type, str]
) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as node:
            monkeypatch.setattr(*part, fails_once(getattr(*part)))
            with pytest.raises(MqdError, match="why it did not begin"):
                await admit(node, "b@h")
            if node.is_member:
                await until(lambda: is_first(node))
            else:
                assert node.app is not None
                assert node.app.side is None
            await admit(node, "b@h")
            await until(lambda: is_first(node))
            assert set(node.membership.record.members) == {node.name, "b@h"}  # type: ignore[union-attr]
            await node.stop_app()
            await node.start_app()
            assert is_first(node)

    asyncio.run(scenario())


def test_a_disc_that_takes_no_record_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_data: Path, _record: Record) -> None:
        raise MqdError(ErrorCode.UNAVAILABLE, "no space left on device")

    async def scenario() -> None:
        monkeypatch.setattr(membership, "RECORD_RETRY_S", 0.05)
        async with running(tmp_path) as node:
            with monkeypatch.context() as patch:
                patch.setattr(file, "write", refuses)
                await admit(node, "b@h")
                assert not (tmp_path / FILE_NAME).exists()
            await until(lambda: (tmp_path / FILE_NAME).exists())
            assert is_first(node)

    asyncio.run(scenario())


def test_a_cluster_of_one_whose_record_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as node:
            await admit(node, "b@h")
            await node.membership.withdraw("b@h", "ib@h")
            await node.stop_app()
            (tmp_path / FILE_NAME).unlink()
            node.membership.read_again()
            await node.start_app()
            await admit(node, "c@h")
            assert is_first(node)

    asyncio.run(scenario())
