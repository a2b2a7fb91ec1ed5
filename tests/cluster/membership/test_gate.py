"""Links as an app sees them: up while both ends' apps run, in order with all that is sent."""

from __future__ import annotations

import asyncio

import pytest

from mqd.cluster.gate import Gate
from mqd.cluster.ports import PeerDown
from tests.cluster.fake_mesh import FakeMeshes
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


class Two:
    """Gates of "a" and "b", and what each was told."""

    def __init__(self) -> None:
        self.meshes = FakeMeshes("a", "b")
        self.gates = {name: Gate(self.meshes[name]) for name in "ab"}
        self.heard: dict[str, list[object]] = {"a": [], "b": []}
        for name, gate in self.gates.items():
            gate.on_change(lambda node, is_up, name=name: self.heard[name].append((node, is_up)))
            gate.take("s", lambda node, payload, name=name: self.heard[name].append(payload))

    async def do(self, awaitable: object) -> None:
        """With the links' deliveries."""
        task = asyncio.ensure_future(awaitable)  # type: ignore[arg-type]
        while not task.done():
            self.meshes.run()
            await asyncio.sleep(0)
        await task


async def test_it_is_up_once_both_are_open() -> None:
    two = Two()
    a, b = two.gates["a"], two.gates["b"]
    await two.do(a.open())
    assert (list(a.up), list(b.up)) == ([], [])
    assert not a.send("b", "s", b"lost")
    with pytest.raises(PeerDown):
        await a.request("b", "s", b"", 1)
    await two.do(b.open())
    assert (list(a.up), list(b.up)) == (["b"], ["a"])
    assert two.heard == {"a": [("b", True)], "b": [("a", True)]}


async def test_what_follows_the_news_comes_after_it() -> None:
    two = Two()
    a, b = two.gates["a"], two.gates["b"]
    a.on_change(lambda node, is_up: is_up and a.send(node, "s", b"first"))
    await two.do(a.open())
    await two.do(b.open())
    two.meshes.run()
    assert two.heard["b"] == [("a", True), b"first"]


async def test_it_is_down_when_one_shuts_and_when_the_link_ends() -> None:
    two = Two()
    a, b = two.gates["a"], two.gates["b"]
    await two.do(a.open())
    await two.do(b.open())
    await two.do(a.shut())
    assert (list(a.up), list(b.up)) == ([], [])
    await two.do(a.open())
    assert list(b.up) == ["a"]
    two.meshes.cut("a", "b")
    two.meshes.run()
    assert (list(a.up), list(b.up)) == ([], [])
    two.meshes.heal()
    two.meshes.run()
    assert (list(a.up), list(b.up)) == (["b"], ["a"])


async def test_members_are_waited_for() -> None:
    two = Two()
    a, b = two.gates["a"], two.gates["b"]
    await two.do(a.open())
    waiting = asyncio.ensure_future(a.reached(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    await two.do(b.open())
    await waiting


async def test_who_waits_for_members_is_told_when_there_will_be_none() -> None:
    two = Two()
    a = two.gates["a"]
    await two.do(a.open())
    waiting = asyncio.ensure_future(a.reached(1))
    await asyncio.sleep(0)
    a.close()
    async with asyncio.timeout(PATIENCE_S):
        await waiting
    assert list(a.up) == []
