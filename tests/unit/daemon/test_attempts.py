"""A start that comes to nothing, and what becomes of it then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqd.admin.context import AppState
from mqd.daemon.compose import App, InVain
from mqd.daemon.lifecycle import GivenUp
from mqd.daemon.node import Node
from mqd.embedded import AsyncBroker
from mqd.errors import ErrorCode
from tests.waiting import PATIENCE_S

_booted = Node._booted


class Stuck:
    """The first attempts of a start, which wait for others that do not come."""

    def __init__(self, attempts: int, fails: bool = False) -> None:
        self.begun: list[asyncio.Event] = [asyncio.Event() for _ in range(attempts)]
        self.ended = 0
        self._fails = fails

    async def booted(self, node: Node) -> App:
        waiting = [each for each in self.begun if not each.is_set()]
        if not waiting:
            return await _booted(node)
        node._wait(True)
        waiting[0].set()
        try:
            if self._fails:
                raise InVain(ErrorCode.UNAVAILABLE, "they did not come")
            await asyncio.Event().wait()
        finally:
            self.ended += 1
        raise AssertionError


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: Stuck, scenario: Any) -> None:
    async def all_of_it() -> None:
        async with AsyncBroker(tmp_path) as broker:
            await broker.node.stop_app()
            with monkeypatch.context() as patch:
                patch.setattr(Node, "_booted", lambda node: stuck.booted(node))
                await asyncio.wait_for(scenario(broker.node), PATIENCE_S)

    asyncio.run(all_of_it())


@pytest.mark.parametrize("why", [Node.start_anew, Node.force_boot])
def test_one_that_is_overtaken_or_forced_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Callable[[Node], None]
) -> None:
    stuck = Stuck(2)

    async def scenario(node: Node) -> None:
        starting = asyncio.ensure_future(node.start_app())
        waiting = asyncio.ensure_future(node.await_running())
        for at, begun in enumerate(stuck.begun):
            await begun.wait()
            assert stuck.ended == at  # what the one before had begun is undone
            why(node)
        await starting
        await waiting
        assert node.app_state is AppState.RUNNING
        app = node.app
        if node._anew is not None:
            await node._anew  # it was begun again: nothing is left to be done
        assert node.app is app

    run(tmp_path, monkeypatch, stuck, scenario)


@pytest.mark.parametrize("when", ["before it waits", "while it waits"])
def test_one_that_waits_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    stuck = Stuck(1)

    async def scenario(node: Node) -> None:
        starting = asyncio.ensure_future(node.start_app())
        if when == "while it waits":
            await stuck.begun[0].wait()
        else:
            await asyncio.sleep(0)
            assert node.app_state is AppState.BOOTING
        await node.stop_app()
        with pytest.raises(GivenUp):
            await starting
        assert (node.app_state, stuck.ended) == (AppState.STOPPED, 1)
        await node.start_app()
        assert node.app_state is AppState.RUNNING

    run(tmp_path, monkeypatch, stuck, scenario)


@pytest.mark.parametrize("times", [9, 10])
def test_others_that_go_again_are_waited_for_as_often_as_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    stuck = Stuck(times, fails=True)

    async def scenario(node: Node) -> None:
        limit = node.blueprint.settings.cluster.retry_limit
        assert limit == 10
        if times < limit:
            await node.start_app()
            assert node.app_state is AppState.RUNNING
        else:
            with pytest.raises(InVain, match="they did not come"):
                await node.start_app()
            assert node.app_state is AppState.STOPPED
        assert stuck.ended == times

    run(tmp_path, monkeypatch, stuck, scenario)
