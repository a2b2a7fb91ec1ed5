"""A member stops in order while the server of one that was struck out is still being removed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mqd.daemon.revocable import Revocable
from tests.cluster.membership.members import have, members
from tests.waiting import PATIENCE_S, eventually


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("stops", ["first", "second"])  # one of them leads the log of changes
@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_who_is_left_goes_on(tmp_path: Path, stops: str, is_killed: bool) -> None:
    with members(tmp_path, "a", "b", "c") as (first, second, struck_out):
        second.join(first)
        struck_out.join(first)
        eventually(first.is_ordered_by_majority)
        if is_killed:  # copies that were to be made there never will be
            struck_out.kill()
        else:
            struck_out.ctl("stop_app")
        first.ctl("forget_cluster_node", struck_out.name)
        goes, stays = (first, second) if stops == "first" else (second, first)
        goes.ctl("stop_app")
        assert (
            "nobody took over" not in goes.log
        )  # nor were the 10 s waited that it takes to say so
        stays.ctl("add_user", "later", "pw")
        goes.ctl("start_app")
        have({"guest", "later"}, goes, stays)
        for node in (goes, stays):
            assert "did not take its new configuration" not in node.log
            names = sorted([goes.name, stays.name])
            eventually(lambda node=node, names=names: node.status()["disk_nodes"] == names)


def test_what_is_revoked_ends_and_another_begins() -> None:
    asyncio.run(_what_is_put_off_ends_and_another_begins())


async def _what_is_put_off_ends_and_another_begins() -> None:
    work, ends, done = Revocable(), asyncio.Event(), []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.set()

    async def fails() -> None:
        raise TimeoutError

    async def short() -> None:
        done.append(True)

    work.revoke()  # nothing is under way
    waits = asyncio.get_running_loop().create_task(work.run(endless()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.revoke()
    await asyncio.wait_for(waits, PATIENCE_S)
    assert ends.is_set()
    with pytest.raises(TimeoutError):
        await work.run(fails())
    await work.run(short())
    assert done == [True]


def test_who_waits_for_it_can_be_ended_with_it() -> None:
    asyncio.run(_who_waits_for_it_can_be_ended_with_it())


async def _who_waits_for_it_can_be_ended_with_it() -> None:
    work, ends = Revocable(), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.set()

    waits = asyncio.get_running_loop().create_task(work.run(endless()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    await asyncio.wait_for(ends.wait(), PATIENCE_S)
