"""mqd.cluster.ledger with the engine's log as the order, and ram nodes that follow disc nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mqd.cluster.ledger import engine_orderer as module
from mqd.cluster.ledger.engine_orderer import META
from mqd.limits import PROPOSAL_TIMEOUT_S
from mqd.metadata.commands import (
    ClusterRecord,
    DeleteVhost,
    Must,
    PutCluster,
    PutGlobalParameter,
    PutVhost,
    VhostRecord,
)
from tests.cluster.ledger.stand import Asked, Stand

VHOST = PutVhost(VhostRecord("/"), Must.BE_NEW)


def value(number: int) -> PutGlobalParameter:
    return PutGlobalParameter("g", number)


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    stand = Stand(tmp_path)
    await stand.form({"a": "disc", "b": "disc", "c": "disc", "r": "ram"}, "")
    yield stand
    for node in list(stand.running):
        node.crash()
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_everybody_proposes_and_all_have_it(stand: Stand) -> None:
    asked = Asked()
    numbers = [asked.propose(stand[name], VHOST) for name in ("a", "b", "r")]
    await stand.settle()
    texts = sorted(asked.text(each) for each in numbers)
    assert texts == ["", *["Virtual host '/' already exists"] * 2]
    stand.check_equal()
    # the refused ones have numbers
    assert stand["r"].store.last_number == 5 + 3
    many = [asked.propose(stand["c"], value(number)) for number in range(200)]
    await stand.settle()
    assert {asked.text(each) for each in many} == {""}
    assert stand["r"].store.state.global_parameters == {"g": 199}
    stand.check_equal()


@pytest.mark.asyncio
async def test_entries_that_are_not_told_are_read(stand: Stand) -> None:
    asked = Asked()
    stand.engines.hold("b")
    asked.propose(stand["a"], VHOST)
    first = asked.propose(stand["a"], value(1))
    await stand.settle()
    assert asked.text(first) is None
    stand.engines.release("b", lose={6})
    await stand.settle()
    assert asked.text(first) == ""
    stand.check_equal()
    stand.engines.hold("c")
    asked.propose(stand["a"], value(2))
    await stand.settle()
    stand.engines.release("c", lose={8})
    await stand.pass_time(2)
    stand.check_equal()
    # who appends looks at once
    stand.engines.hold("a")
    third = asked.propose(stand["a"], value(3))
    await stand.settle()
    assert asked.text(third) == ""


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.asyncio
async def test_an_unknown_outcome_is_asked_for_under_the_same_id(
    stored: bool, stand: Stand
) -> None:
    asked = Asked()
    stand.engines.fail("a", stored=stored)
    first = asked.propose(stand["a"], VHOST)
    await stand.pass_time(1)
    assert asked.text(first) == ""
    # also where the engine has forgotten the id
    stand.engines.fail("a", stored=True)
    second = asked.propose(stand["a"], DeleteVhost("/"))
    stand.engines.hold("a")
    await asyncio.sleep(0)
    stand.engines.logs[META].ids.clear()
    asked.propose(stand["b"], VHOST)
    await stand.settle()
    stand.engines.release("a")
    await stand.pass_time(1)
    assert asked.text(second) == ""
    assert list(stand["a"].store.state.vhosts) == ["/"]
    stand.check_equal()


@pytest.mark.asyncio
async def test_without_a_majority_it_is_said_who_is_missing(stand: Stand) -> None:
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    await stand.settle()
    for name in ("b", "c"):
        stand[name].crash()
        stand.engines.stop(name)
    mine = asked.propose(stand["a"], value(1))
    other = asked.propose(stand["r"], value(2))
    await stand.pass_time(PROPOSAL_TIMEOUT_S - 3)
    assert (asked.text(mine), asked.text(other)) == (None, None)
    await stand.pass_time(4)
    words = "the change needs a majority of the disc nodes: b, c do not answer; nothing was changed"
    assert (asked.text(mine), asked.text(other)) == (words, words)
    assert list(stand["a"].store.state.vhosts) == ["/"]
    waits = asked.propose(stand["a"], value(3))
    await stand.pass_time(3)
    stand.engines.start("b")
    stand.restart("b", "")
    await stand.pass_time(3)
    assert asked.text(waits) == ""
    assert stand["b"].store.state.global_parameters == {"g": 3}
    stand.check_equal()


@pytest.mark.asyncio
async def test_nobody_knows_what_became_of_what_was_sent(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    asked = Asked()
    stand.engines.fail("a", stored=True)
    stand.engines.hold("a")
    first = asked.propose(stand["a"], VHOST)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stand.engines.elects(False)
    stand.engines.elect(META, None)
    stand.meshes.isolate("a")
    await stand.pass_time(PROPOSAL_TIMEOUT_S + 2)
    assert asked.text(first) == (
        "the change needs a majority of the disc nodes: b, c do not answer; it is not known "
        "whether it was made, look before it is asked for again"
    )
    stand.meshes.heal()
    stand.engines.elects(True)
    stand.engines.release("a")
    await stand.pass_time(3)
    assert list(stand["a"].store.state.vhosts) == ["/"]
    assert "a change whose outcome was not known was made after all" in caplog.text
    stand.check_equal()


@pytest.mark.asyncio
async def test_the_log_is_shortened_and_who_was_away_is_helped(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "META_PURGE_MIN", 10)
    asked = Asked()
    for number in range(40):
        asked.propose(stand["a"], value(number))
    await stand.settle()
    stand["c"].crash()
    stand.engines.stop("c")
    for number in range(40):
        asked.propose(stand["r"], value(100 + number))
    await stand.pass_time(40)
    leader = stand.engines["a"]
    first = (await leader.info(META)).first_seq
    assert first == 5 + 40 + 1  # what c has, and no more
    monkeypatch.setattr(module, "META_ENTRIES_MAX", 20)
    await stand.pass_time(40)
    assert (await leader.info(META)).first_seq == 5 + 80 - 20 + 1
    stand.engines.start("c")
    stand.restart("c", "")
    await stand.settle()
    stand.check_equal()
    assert not stand.ledger("c").intake.follows
    asked.propose(stand["c"], VHOST)
    await stand.settle()
    stand.check_equal()


@pytest.mark.asyncio
async def test_whose_server_is_down_learns_of_changes_over_links(stand: Stand) -> None:
    asked = Asked()
    stand.engines.stop("c")
    first = asked.propose(stand["a"], VHOST)
    await stand.pass_time(1)
    assert asked.text(first) == ""
    await stand.pass_time(2)
    assert stand.ledger("c").intake.follows
    second = asked.propose(stand["b"], value(1))
    await stand.settle()
    assert asked.text(second) == ""
    stand.check_equal()
    assert stand.ledger("b").barrier.suspected == frozenset()
    stand.engines.start("c")
    await stand.pass_time(3)
    assert not stand.ledger("c").intake.follows
    asked.propose(stand["c"], value(2))
    await stand.settle()
    stand.check_equal()


@pytest.mark.asyncio
async def test_a_ram_node_goes_from_one_disc_node_to_the_next(stand: Stand) -> None:
    asked = Asked()
    assert stand.ledger("r").intake.source == "a"
    stand.engines.hold("a")
    first = asked.propose(stand["r"], VHOST)
    stand.meshes.run()
    await asyncio.sleep(0)
    stand["a"].crash()
    stand.engines.stop("a")
    await stand.pass_time(1)
    assert stand.ledger("r").intake.source == "b"
    assert asked.text(first) == ""
    stand.check_equal()
    for name in ("b", "c"):
        stand.meshes.cut(name, "r")
    refused = asked.propose(stand["r"], value(1))
    assert asked.text(refused) == (
        "the change must be kept by a disc node, but a, b, c do not answer: nothing was changed"
    )


@pytest.mark.asyncio
async def test_from_one_node_to_the_engine_and_back(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    await stand.form({"a": "disc", "r": "ram", "b": "disc"}, "a")
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    await stand.settle()

    async def hold(name: str) -> int:
        task = asyncio.ensure_future(stand.ledger(name).hold())
        await stand.settle()
        return await task

    # the last entry of the old order says that there is a new one
    asked.propose(stand["a"], PutCluster(ClusterRecord("c", 1)))
    waiting = [asked.propose(stand["b"], value(1))]
    last = await hold("a")
    waiting += [asked.propose(stand[name], value(2)) for name in ("a", "b", "r")]
    await stand.settle()
    await hold("b")
    await stand.engines["a"].create(META, replicas=2, first_seq=last + 1, tells=True)
    for name in ("a", "b"):
        stand.ledger(name).use_engine(stand.engines[name])
    await stand.pass_time(3)
    assert [asked.text(each) for each in waiting] == [""] * 4
    stand.check_equal()
    asked.propose(stand["r"], value(3))
    await stand.settle()
    stand.check_equal()
    assert stand["r"].store.last_number == (await stand.engines["a"].info(META)).last_seq
    # and back
    stand.engines.hold("a")
    asked.propose(stand["b"], PutCluster(ClusterRecord("c", 1, "a")))
    await stand.settle()
    stand.engines.release("a", lose=range(100))
    back = [asked.propose(stand["a"], value(4)), asked.propose(stand["r"], value(5))]
    last = await hold("a")
    cluster = stand["a"].store.state.cluster
    assert cluster is not None
    assert cluster.authority == "a"
    back += [asked.propose(stand[name], value(6)) for name in ("a", "b", "r")]
    await hold("b")
    await stand.engines["a"].delete(META)
    stand.ledger("a").order_here()
    stand.ledger("b").follow()
    await stand.pass_time(3)
    assert [asked.text(each) for each in back] == [""] * 5
    stand.check_equal()
    for node in list(stand.running):
        node.crash()


@pytest.mark.asyncio
async def test_what_comes_into_the_log_after_it_was_handed_over_is_ordered_anew(
    stand: Stand,
) -> None:
    asked = Asked()
    asked.propose(stand["c"], VHOST)
    await stand.settle()
    stand.engines.hold("c")  # it does not know yet
    asked.propose(stand["b"], PutCluster(ClusterRecord("c", 1, "a")))
    await stand.settle()
    number = await held(stand, "a")
    stand.ledger("a").order_here()
    late = asked.propose(stand["c"], value(1))
    taken = asked.propose(stand["c"], VHOST)
    await stand.settle()
    assert (await stand.engines["a"].info(META)).last_seq == number + 2
    mine = asked.propose(stand["a"], value(2))
    await stand.settle()
    stand.engines.release("c")
    await stand.settle()
    assert (asked.text(late), asked.text(taken)) == (None, None)
    for name in ("b", "c"):
        await held(stand, name)
        stand.ledger(name).follow()
    await stand.pass_time(3)
    assert (asked.text(late), asked.text(mine)) == ("", "")
    assert asked.text(taken) == "Virtual host '/' already exists"
    stand.check_equal()
    assert stand["a"].store.state.global_parameters == {"g": 1}


async def held(stand: Stand, name: str) -> int:
    task = asyncio.ensure_future(stand.ledger(name).hold())
    await stand.settle()
    return await task


@pytest.mark.asyncio
async def test_without_a_log_yet_a_change_is_answered_in_time(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    await stand.form({"a": "disc", "b": "disc"}, "a")
    asked = Asked()
    asked.propose(stand["a"], PutCluster(ClusterRecord("c", 1)))
    last = await held(stand, "a")
    stand.engines.stop("b")
    stand["b"].crash()
    stand.ledger("a").use_engine(stand.engines["a"])
    early = asked.propose(stand["a"], VHOST)
    await stand.pass_time(PROPOSAL_TIMEOUT_S + 5)
    assert "a majority of the disc nodes: b does not answer" in asked.text(early)
    late = asked.propose(stand["a"], value(1))
    stand.engines.start("b")
    await stand.engines["a"].create(META, replicas=2, first_seq=last + 1, tells=True)
    await stand.pass_time(3)
    assert asked.text(late) == ""
    assert stand["a"].store.last_number == (await stand.engines["a"].info(META)).last_seq
    stand["a"].crash()
