"""Who goes on when this member stops, and when all others are lost for good."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from mqd.cluster.engine.settings import peer_id, server_name
from mqd.cluster.ports import NoMajority
from mqd.daemon.station import Station, can_decide, goes_on
from mqd.metadata.commands import Member
from mqd.metadata.store import MetadataStore
from tests.cluster.fake_engine import FakeEngines

if TYPE_CHECKING:
    from mqd.cluster.engine.engine import NatsEngine


def test_who_runs_without_a_copy_that_is_current_does_not_vote() -> None:
    async def run() -> None:
        engines = FakeEngines("a", "b", "c")
        a, discs, others = engines["a"], ("a", "b", "c"), ("b", "c")
        assert await goes_on(None, others, discs)
        assert await goes_on(a, others, discs)  # there is no log yet
        await a.create("META", replicas=3)
        assert await goes_on(a, others, discs)
        assert not await goes_on(a, ("b",), discs)
        engines.stop("b")  # its daemon goes on
        assert not await goes_on(a, others, discs)

    asyncio.run(run())


def test_two_copies_are_not_enough_without_one_of_them() -> None:
    """A third member has come, and has none yet."""

    async def run() -> None:
        engines = FakeEngines("a", "b", "c")
        await engines["a"].create("META", replicas=2)
        held = (await engines["a"].info("META")).current
        assert len(held) == 2
        for node in held:
            others = [name for name in "abc" if name != node]
            assert not await goes_on(engines[node], others, "abc")
        (free,) = set("abc") - set(held)
        assert await goes_on(engines[free], list(held), "abc")

    asyncio.run(run())


class Alone:
    """An engine whose voters are this member and one that is gone, until a rescue has struck that
    one out; which fails behind that, as often as it is told to."""

    def __init__(self, fails: int) -> None:
        self.servers = [server_name("a", "1"), server_name("b", "1")]
        self.fails = fails
        self.rescued: list[Sequence[tuple[str, str]]] = []

    @property
    def has_group(self) -> bool:
        return len(self.servers) == 1

    @property
    def voters(self) -> Sequence[str]:
        return [server.partition("~")[0] for server in self.servers]

    @property
    def voter_ids(self) -> Sequence[str]:
        return [peer_id(server) for server in self.servers]

    async def rescue(self, lost: Sequence[tuple[str, str]]) -> None:
        self.rescued.append(lost)
        self.servers = self.servers[:1]
        if self.fails:
            self.fails -= 1
            raise NoMajority("Q3 is not at 1 copies: no answer in time")


def test_a_rescue_that_was_left_half_way_is_gone_on_with() -> None:
    """Logs that had not got so far would wait for the one that is gone for ever."""
    engine, gone = Alone(fails=2), [("b", "1")]
    members = {"a": Member("a", "1", 1), "b": Member("b", "", 2)}
    station = SimpleNamespace(
        me=members["a"], gone=lambda: tuple(gone), forgive=lambda _servers: gone.clear()
    )
    store = SimpleNamespace(state=SimpleNamespace(members=members))

    async def decide() -> bool:
        return await can_decide(
            cast("Station", station),
            cast("MetadataStore", store),
            cast("NatsEngine", engine),
            was_voter=True,
        )

    for _ in range(2):
        with pytest.raises(NoMajority):
            asyncio.run(decide())
    assert asyncio.run(decide())
    assert [list(lost) for lost in engine.rescued] == [[("b", "1")]] * 3
    assert asyncio.run(decide())
    assert len(engine.rescued) == 3
