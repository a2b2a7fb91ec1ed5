"""Whose vote counts."""

from __future__ import annotations

import asyncio

from mqd.daemon.station import voting
from tests.cluster.fake_engine import FakeEngines


def test_who_runs_without_a_copy_that_is_current_does_not_vote() -> None:
    async def run() -> None:
        engines = FakeEngines("a", "b", "c")
        a, discs, others = engines["a"], ("a", "b", "c"), ("b", "c")
        assert await voting(None, others, discs) == others
        assert await voting(a, others, discs) == others  # there is no log yet
        await a.create("META", replicas=3)
        assert list(await voting(a, others, discs)) == ["b", "c"]
        engines.stop("b")  # its daemon goes on
        assert await voting(a, others, discs) == ["c"]
        assert await voting(a, others, (*discs, "d")) == others  # not everybody has a copy

    asyncio.run(run())
