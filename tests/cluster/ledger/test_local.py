"""mqd.cluster.ledger with one node that orders and others that follow it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mqd.broker.definitions import QueueDefinition
from mqd.cluster.ledger import feed as feed_module
from mqd.cluster.ledger import wire
from mqd.limits import PROPOSAL_RESEND_S, PROPOSAL_TIMEOUT_S
from mqd.metadata.commands import (
    ClusterRecord,
    DeleteVhost,
    Member,
    Must,
    PutCluster,
    PutGlobalParameter,
    PutMember,
    PutQueue,
    PutVhost,
    VhostRecord,
)
from tests.cluster.ledger.stand import Asked, Stand, contents

VHOST = PutVhost(VhostRecord("/"), Must.BE_NEW)


def value(number: int) -> PutGlobalParameter:
    return PutGlobalParameter("g", number)


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    stand = Stand(tmp_path)
    await stand.form({"a": "disc", "r": "ram", "s": "ram"}, "a")
    yield stand
    for node in list(stand.running):
        node.crash()


@pytest.mark.asyncio
async def test_everybody_proposes_and_all_have_it(stand: Stand) -> None:
    asked = Asked()
    first = asked.propose(stand["r"], VHOST)
    assert asked.answers == {}
    await stand.settle()
    second = asked.propose(stand["s"], PutQueue(QueueDefinition(1, "/", "q")))
    third = asked.propose(stand["a"], value(1))
    await stand.settle()
    assert [asked.text(each) for each in (first, second, third)] == ["", "", ""]
    stand.check_equal()
    again = asked.propose(stand["s"], VHOST)
    taken = asked.propose(stand["a"], VHOST)
    await stand.settle()
    for each in (again, taken):
        assert asked.text(each) == "Virtual host '/' already exists"


@pytest.mark.asyncio
async def test_nothing_is_sent_or_answered_before_it_is_on_disc(stand: Stand) -> None:
    stand["a"].disc = False
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    other = asked.propose(stand["r"], value(1))
    await stand.settle()
    assert asked.answers == {}
    assert stand["r"].store.state.is_virgin
    refused = asked.propose(stand["s"], VHOST)
    await stand.settle()
    assert asked.text(refused) is None  # what refuses it is not there yet
    stand["a"].disc = True
    await stand.settle()
    assert asked.text(refused) == "Virtual host '/' already exists"
    assert asked.text(other) == ""
    stand.check_equal()


@pytest.mark.asyncio
async def test_the_answer_waits_for_all_that_are_linked_and_not_for_long(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mqd.cluster.ledger.barrier")
    asked = Asked()
    stand.meshes.hold("a", "s")  # it gets nothing
    first = asked.propose(stand["r"], VHOST)
    await stand.settle()
    assert asked.text(first) is None
    await stand.pass_time(1.0)
    assert asked.text(first) == ""
    assert stand.ledger("r").barrier.suspected == {"s"}
    second = asked.propose(stand["r"], value(1))
    await stand.settle()
    assert asked.text(second) == ""  # nobody waits for it again
    stand.meshes.release("a", "s")
    await stand.settle()
    assert stand.ledger("r").barrier.suspected == frozenset()
    told = dict.fromkeys(line for line in caplog.messages if "late" in line)
    assert list(told) == [
        "changes are answered before node s has them: it is late",
        "node s is waited for again: it has the changes it was late with",
    ]
    stand.meshes.hold("a", "s")
    third = asked.propose(stand["a"], value(2))
    fourth = asked.propose(stand["a"], value(3))
    await stand.settle()
    assert (asked.text(third), asked.text(fourth)) == (None, None)
    stand.meshes.isolate("s")  # nobody waits for who is not linked
    await stand.settle()
    assert (asked.text(third), asked.text(fourth)) == ("", "")


@pytest.mark.asyncio
async def test_a_ram_node_alone_refuses_at_once_and_says_why(stand: Stand) -> None:
    asked = Asked()
    asked.propose(stand["r"], VHOST)
    await stand.settle()
    stand.meshes.cut("a", "r")
    refused = asked.propose(stand["r"], value(1))
    assert asked.text(refused) == (
        "the change must be kept by a disc node, but a does not answer: nothing was changed"
    )
    assert list(stand["r"].store.state.vhosts) == ["/"]
    stand.meshes.heal()
    await stand.settle()
    asked.propose(stand["r"], value(2))
    await stand.settle()
    stand.check_equal()


@pytest.mark.asyncio
async def test_a_link_that_is_lost_after_the_proposal_is_no_second_command(stand: Stand) -> None:
    asked = Asked()
    stand["a"].disc = False
    first = asked.propose(stand["r"], VHOST)
    stand.meshes.run()
    assert not stand["a"].store.state.is_virgin
    stand.meshes.cut("a", "r", heals=True)
    stand["a"].disc = True
    await stand.settle()
    assert asked.text(first) == ""  # else: it exists already
    second = asked.propose(stand["r"], value(1))
    stand.meshes.cut("a", "r", heals=True)  # before it got there
    await stand.settle()
    assert asked.text(second) == ""
    stand.check_equal()


@pytest.mark.asyncio
async def test_nobody_knows_when_the_node_that_had_it_does_not_come_back(stand: Stand) -> None:
    asked = Asked()
    stand["a"].disc = False
    first = asked.propose(stand["r"], VHOST)
    stand.meshes.run()
    stand["a"].crash()
    await stand.pass_time(PROPOSAL_TIMEOUT_S - 2)
    assert asked.text(first) is None
    await stand.pass_time(4)
    assert asked.text(first) == (
        "the change must be kept by a disc node, but a does not answer: it is not known whether "
        "the change was made; look before it is asked for again"
    )


@pytest.mark.asyncio
async def test_the_authority_crashes_and_comes_back(stand: Stand) -> None:
    asked = Asked()
    first = asked.propose(stand["r"], VHOST)
    await stand.settle()
    stand["a"].disc = False
    lost = asked.propose(stand["a"], value(1))
    second = asked.propose(stand["r"], value(2))
    third = asked.propose(stand["s"], VHOST)  # refused, by what is lost with the process or not
    await stand.settle()
    stand["a"].crash()
    await stand.settle()
    stand["a"].disc = True
    stand.restart("a", "a")
    await stand.pass_time(3)
    assert asked.text(lost) is None
    assert (asked.text(first), asked.text(second)) == ("", "")
    assert asked.text(third) == "Virtual host '/' already exists"
    assert stand["s"].store.state.global_parameters == {"g": 2}
    stand.check_equal()


@pytest.mark.asyncio
async def test_a_refusal_by_what_was_never_permanent_does_not_count(stand: Stand) -> None:
    asked = Asked()
    stand["a"].disc = False
    asked.propose(stand["a"], VHOST)
    second = asked.propose(stand["r"], VHOST)
    await stand.settle()
    stand["a"].crash()
    stand["a"].disc = True
    stand.restart("a", "a")
    await stand.pass_time(3)
    assert asked.text(second) == ""
    stand.check_equal()


@pytest.mark.asyncio
async def test_who_was_away_gets_what_it_missed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "FEED_BYTES", 200)  # several messages
    asked = Asked()
    stand.meshes.isolate("r")
    asked.propose(stand["a"], VHOST)
    for number in range(30):
        asked.propose(stand["s"], value(number))
    await stand.settle()
    replaced: list[int] = []
    stand["r"].store.on_replaced = lambda: replaced.append(1)
    stand.meshes.heal()
    await stand.settle()
    stand.check_equal()
    # from the file, of an authority that has nothing in memory
    stand.meshes.isolate("s")
    for number in range(30):
        asked.propose(stand["a"], value(100 + number))
    await stand.settle()
    stand["a"].crash()
    stand.restart("a", "a")
    stand.meshes.heal()
    await stand.settle()
    stand.check_equal()
    assert replaced == []


@pytest.mark.asyncio
async def test_a_log_that_does_not_go_back_so_far_makes_a_snapshot(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "FEED_BYTES", 100)
    asked = Asked()
    stand.meshes.isolate("r")
    asked.propose(stand["a"], VHOST)
    for number in range(9):
        asked.propose(stand["a"], PutQueue(QueueDefinition(number, "/", f"q{number}")))
    await stand.settle()
    state = stand["a"].store.snapshot()
    stand["a"].store.load_snapshot(*state)  # as a fold does to the file
    stand.meshes.heal()
    await stand.settle()
    stand.check_equal()
    # the link breaks in the middle of one, and is too full for it
    stand.meshes.isolate("r")
    asked.propose(stand["a"], value(1))
    await stand.settle()
    stand["a"].store.load_snapshot(*stand["a"].store.snapshot())
    stand.meshes.heal()
    stand.meshes.run(6)
    stand.meshes.cut("a", "r", heals=True)
    stand.meshes.run(0)
    stand.meshes.congest("a", "r")
    await stand.settle()
    assert stand["r"].store.last_number < stand["a"].store.last_number
    stand.meshes.relieve("a", "r")
    await stand.settle()
    stand.check_equal()


@pytest.mark.asyncio
async def test_a_ram_node_starts_empty_and_a_joiner_forgets_what_it_had(stand: Stand) -> None:
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    await stand.settle()
    stand["r"].crash()
    stand.restart("r", "a", seeds=["a"])
    ledger = stand.ledger("r")
    await stand.settle()
    await ledger.joined()
    stand.check_equal()
    joiner = stand.add("b")
    for number in range(20):
        joiner.store.propose(value(number), lambda _error: None)
    await stand.settle()
    joiner.writer.run()
    stand.begin("b", "a", seeds=["a", "b"])
    await stand.settle()
    stand.check_equal()
    before = contents(joiner.store.state)
    joiner.crash()
    joiner.start()
    assert contents(joiner.store.state) == before
    stand.meshes.start("b")
    stand.begin("b", "a")
    await stand.settle()
    stand.check_equal()


@pytest.mark.asyncio
async def test_another_generation_is_another_history(stand: Stand) -> None:
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    stand.meshes.isolate("r")
    await stand.settle()
    # the number is higher, and what is under it not the same
    stand["a"].store.load_snapshot(3, stand["a"].store.snapshot()[1])
    asked.propose(stand["a"], PutCluster(ClusterRecord("c", 2, "a")))
    asked.propose(stand["a"], value(1))
    stand["a"].writer.run()
    stand.meshes.isolate("s")
    stand.meshes.heal()
    await stand.settle()
    stand.check_equal()


@pytest.mark.asyncio
async def test_what_is_held_is_proposed_by_whoever_comes_next(stand: Stand) -> None:
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    held = asyncio.ensure_future(stand.ledger("a").hold())
    await asyncio.sleep(0)
    waits = asked.propose(stand["a"], value(1))
    foreign = asked.propose(stand["r"], value(2))
    await stand.settle()
    assert await held == 5
    assert (asked.text(waits), asked.text(foreign)) == (None, None)
    stand.ledger("a").order_here()
    await stand.settle()
    assert (asked.text(waits), asked.text(foreign)) == ("", "")
    stand.check_equal()


@pytest.mark.asyncio
async def test_members_tell_soon_how_far_their_discs_are(stand: Stand) -> None:
    stand.add("b")
    stand.begin("b", "a", seeds=["a"])
    await stand.settle()
    stand["b"].disc = False
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    await stand.pass_time(0.5)
    told = stand.ledger("a").barrier.written
    assert asked.text(0) == ""
    assert told["b"] < stand["b"].store.last_number
    stand["b"].disc = True
    await stand.pass_time(0.25)
    assert told["b"] == stand["b"].store.last_number


@pytest.mark.asyncio
async def test_the_order_is_handed_over_while_others_propose(stand: Stand) -> None:
    stand.add("b")
    stand.begin("b", "a", seeds=["a"])
    asked = Asked()
    asked.propose(stand["a"], PutMember(Member("b", "i", 4)))
    asked.propose(stand["a"], VHOST)
    await stand.settle()
    for name in ("a", "b", "r", "s", "a", "b", "r", "s"):
        asked.propose(stand[name], value(len(asked.commands)))
    stand.meshes.run(2)
    asked.propose(stand["a"], PutCluster(ClusterRecord("c", 1, "b")))
    old = asyncio.ensure_future(stand.ledger("a").hold())
    await asyncio.sleep(0)
    for name in ("a", "b", "r", "s"):
        asked.propose(stand[name], value(len(asked.commands)))
    await stand.settle()
    number = await old
    new = asyncio.ensure_future(stand.ledger("b").hold())
    await stand.settle()
    assert await new == number
    stand.ledger("b").order_here()
    stand.ledger("a").follow()
    for name in ("a", "b", "r", "s"):
        asked.propose(stand[name], VHOST)
    await stand.pass_time(3)
    stand["a"].crash()
    last = asked.propose(stand["r"], value(99))
    await stand.settle()
    assert asked.text(last) == ""
    texts = [asked.text(each) for each in range(len(asked.commands))]
    assert texts[:15] == [""] * 15
    assert texts[15:19] == ["Virtual host '/' already exists"] * 4
    stand.check_equal()


@pytest.mark.asyncio
async def test_a_snapshot_that_is_begun_anew_is_no_second_part_of_the_first(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "FEED_BYTES", 100)
    asked = Asked()
    stand.meshes.isolate("r")
    asked.propose(stand["a"], VHOST)
    for number in range(9):
        asked.propose(stand["a"], PutQueue(QueueDefinition(number, "/", f"q{number}")))
    await stand.settle()
    sent: list[str] = []
    whole = stand.meshes["a"].send

    def send(node: str, service: str, payload: bytes) -> bool:
        if service == wire.SNAPSHOT and node == "r":
            sent.append(service)
            if len(sent) == 3:
                stand.meshes.congest("a", "r")
        return whole(node, service, payload)

    monkeypatch.setattr(stand.meshes["a"], "send", send)
    stand["a"].store.load_snapshot(*stand["a"].store.snapshot())  # nothing is left of the log
    stand.meshes.heal()
    await stand.settle()
    assert len(sent) == 3  # the beginning of one
    number, lines = stand["a"].store.snapshot()
    stand["a"].store.load_snapshot(number + 1, lines)
    await stand.settle()
    stand.meshes.relieve("a", "r")
    await stand.settle()
    assert len(sent) > 6
    stand.check_equal()


@pytest.mark.asyncio
async def test_who_asks_again_at_once_when_nobody_knows_hinders_no_other(stand: Stand) -> None:
    asked = Asked()
    stand.meshes.hold("r", "a")
    again: list[int] = []
    for number in range(3):
        asked.propose(stand["r"], value(number))
    stand["r"].store.propose(value(9), lambda _e: again.append(asked.propose(stand["r"], VHOST)))
    for number in range(3):
        asked.propose(stand["r"], value(10 + number))
    await stand.pass_time(2 * PROPOSAL_TIMEOUT_S + 5)
    for number in range(6):
        assert "not known" in asked.text(number), number
    stand.meshes.release("r", "a")
    await stand.pass_time(5)
    assert [asked.text(each) for each in again] == [""]


@pytest.mark.asyncio
async def test_what_was_refused_is_not_judged_again_when_it_is_sent_again(stand: Stand) -> None:
    asked = Asked()
    asked.propose(stand["a"], VHOST)
    await stand.settle()
    stand.meshes.hold("a", "r")
    refused = asked.propose(stand["r"], VHOST)
    await stand.settle()
    asked.propose(stand["a"], DeleteVhost("/"))
    await stand.pass_time(PROPOSAL_RESEND_S + 0.5)
    stand.meshes.release("a", "r")
    await stand.pass_time(1)
    assert asked.text(refused) == "Virtual host '/' already exists"
    stand.check_equal()
    assert stand["a"].store.state.vhosts == {}
