"""Who goes on when this member stops."""

from __future__ import annotations

import asyncio

from mqd.daemon.station import goes_on
from tests.cluster.fake_engine import FakeEngines


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
