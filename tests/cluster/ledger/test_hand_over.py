"""Drawn histories in which the engine's log is handed over to one node while others propose."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from pathlib import Path

import pytest

from mqd.cluster.ledger.engine_orderer import EngineOrderer
from mqd.cluster.ports import NoMajority
from mqd.metadata.commands import ClusterRecord, Command, PutCluster
from tests.cluster.ledger.stand import Node
from tests.cluster.ledger.test_simulation import DISC, Step, World, drawn

_STEPS = ("ask", "look", "links", "tasks", "disc", "settle", "timers", "fail", "deaf", "hears")


def steps(seed: int) -> list[Step]:
    """Everybody runs all the time."""
    chosen = random.Random(seed)
    found = [step for step in drawn(seed, by_engine=True) if step[0] in _STEPS]
    at = chosen.randrange(len(found))
    found.insert(at, ("hand_over", chosen.choice(DISC), chosen.choice(DISC)))
    return found


class Handing(World):
    """Members change to the new order when they hear of it, as `mqd.daemon.side` has them."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, "", seed)
        self.switching: set[asyncio.Task[None]] = set()

    async def hand_over(self, giver: str, heir: str) -> None:
        for node in self.stand.running:
            node.store.subscribe(lambda command, node=node: self._hears(node, command))
        command = PutCluster(ClusterRecord("c", 1, heir))
        self.stand[giver].store.propose(command, lambda error: None)

    def _hears(self, node: Node, command: Command) -> None:
        if isinstance(command, PutCluster):
            assert command.cluster is not None
            self.authority = command.cluster.authority
            self.switching.add(asyncio.ensure_future(self._switch(node, self.authority)))

    async def _switch(self, node: Node, authority: str) -> None:
        ledger = node.ledger
        assert ledger is not None
        if node.name == authority:
            while True:
                with contextlib.suppress(NoMajority):
                    await ledger.hold()
                    break
                await asyncio.sleep(0)
            ledger.order_here()
        elif ledger.uses_engine:
            with contextlib.suppress(NoMajority):
                await ledger.hold()
            ledger.follow((authority,))


async def play(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = Handing(Path(folder), seed)
        await world.begin()
        for step in steps(seed):
            await world.do(step)
        await world.end()
        assert len(world.switching) == 4
        await asyncio.gather(*world.switching)
        await asyncio.sleep(0)


def play_all() -> None:
    for seed in range(25):
        try:
            asyncio.run(play(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_that_was_answered_is_ordered_otherwise() -> None:
    play_all()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_takes_that_the_log_ends_where_it_is_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is drawn here would find it."""
    monkeypatch.setattr(EngineOrderer, "_is_over", property(lambda _: False))
    with pytest.raises(AssertionError, match="seed"):
        play_all()
