"""Who takes a log from a member whose daemon does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from mqd.cluster.shards.watch import Watch
from tests.cluster.fake_engine import FakeEngines
from tests.cluster.fake_mesh import FakeMeshes


def run(play: Callable[[FakeEngines, FakeMeshes], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        engines = FakeEngines("a", "b", "c")
        for name in ("META", "Q0", "Q1"):
            await engines["a"].create(name, replicas=3)
        meshes = FakeMeshes("a", "b", "c")
        await meshes.settle()
        await play(engines, meshes)

    asyncio.run(all_of_it())


def watch(engines: FakeEngines, meshes: FakeMeshes, node: str) -> Watch:
    return Watch(engines[node], meshes[node], lambda: ["a", "b", "c"])


def leaders(engines: FakeEngines) -> dict[str, str | None]:
    return dict(engines["b"].leads)


def test_what_a_hung_member_leads_goes_to_those_that_see_each_other() -> None:
    async def play(engines: FakeEngines, meshes: FakeMeshes) -> None:
        assert set(leaders(engines).values()) == {"a"}
        engines.hung.add("a")
        meshes.isolate("a")
        await watch(engines, meshes, "c").look()
        assert set(leaders(engines).values()) == {"a"}  # b acts
        await watch(engines, meshes, "b").look()
        assert leaders(engines) == {"META": "b", "Q0": "c", "Q1": "b"}

    run(play)


def test_who_answers_has_only_lost_its_links() -> None:
    async def play(engines: FakeEngines, meshes: FakeMeshes) -> None:
        meshes.isolate("a")
        for node in "abc":
            await watch(engines, meshes, node).look()
        assert set(leaders(engines).values()) == {"a"}

    run(play)


def test_one_of_two_acts_alone() -> None:
    async def play(engines: FakeEngines, meshes: FakeMeshes) -> None:
        await engines["a"].remove_member("c", "1")
        engines.hung.add("a")
        meshes.isolate("a")
        meshes.isolate("b")
        await Watch(engines["b"], meshes["b"], lambda: ["a", "b"]).look()
        assert set(leaders(engines).values()) == {"b"}

    run(play)


def test_nothing_is_done_while_all_are_linked() -> None:
    async def play(engines: FakeEngines, meshes: FakeMeshes) -> None:
        engines.hung.add("a")
        await watch(engines, meshes, "b").look()
        assert set(leaders(engines).values()) == {"a"}

    run(play)
