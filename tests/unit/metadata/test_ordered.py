"""mqd.metadata.store with an order that is made elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from mqd.broker.definitions import QueueDefinition
from mqd.errors import ErrorCode, MqdError
from mqd.limits import PROPOSALS_REMEMBERED
from mqd.metadata import store as store_module
from mqd.metadata.commands import (
    Command,
    DeleteVhost,
    Must,
    PutGlobalParameter,
    PutQueue,
    PutVhost,
    VhostRecord,
    encode,
)
from mqd.metadata.log import Proposed
from mqd.metadata.machine import commands_of
from mqd.metadata.order import Orderer, Proposals
from mqd.metadata.store import MetadataStore
from mqd.storage.writer import Writer

VHOST = PutVhost(VhostRecord("/"))
NEW = PutVhost(VhostRecord("/"), Must.BE_NEW)


class Elsewhere(Orderer):
    """Keeps what is proposed; a test gives it back."""

    def __init__(self, store: MetadataStore) -> None:
        self.store = store
        self.lines: list[str] = []
        self.closed = False

    def start(self) -> None:
        for proposal, line in self.store.waiting.items():
            self.propose(proposal, line)

    def propose(self, proposal: str, line: str) -> None:
        assert self.store.waits_for(proposal)
        self.lines.append(line)

    def close(self) -> None:
        self.closed = True


Outcomes = list[Exception | None]


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[MetadataStore]:
    store = MetadataStore.open(tmp_path / "m.db")
    store.use_orderer(Elsewhere(store))
    yield store
    await store.close()


def lines_of(store: MetadataStore) -> list[str]:
    assert isinstance(store._orderer, Elsewhere)
    return store._orderer.lines


@pytest.mark.asyncio
async def test_a_proposal_is_applied_when_it_comes_back(store: MetadataStore) -> None:
    heard: list[Command] = []
    settled: list[Proposed] = []
    store.subscribe(heard.append)
    store.on_settled = settled.extend
    outcomes: Outcomes = []
    store.propose(VHOST, outcomes.append)
    assert (store.state.is_virgin, store.orders_here, store.last_number) == (True, False, 0)
    (line,) = lines_of(store)
    foreign = encode(PutGlobalParameter("g", 1))
    assert not store.take(2, line)
    assert store.take(1, foreign)
    assert outcomes == []
    assert store.take(2, line)
    assert outcomes == [None]
    assert store.take(1, foreign)  # had it
    assert store.last_number == 2
    assert heard[:2] == [PutGlobalParameter("g", 1), VHOST]
    assert settled == [Proposed(1, foreign), Proposed(2, line)]
    await store.flush()
    assert store.written_number == 2


@pytest.mark.asyncio
async def test_listeners_know_where_it_was_proposed(store: MetadataStore) -> None:
    heard: list[bool] = []
    store.subscribe(lambda command: heard.append(store.ours))
    store.propose(PutGlobalParameter("g", 1), lambda _: None)
    (line,) = lines_of(store)
    store.take(1, encode(PutGlobalParameter("f", 1)))
    store.take(2, line)
    assert heard == [False, True]
    store.propose(PutGlobalParameter("h", 1), lambda _: None)
    store.use_orderer(None)
    store.propose(PutGlobalParameter("i", 1), lambda _: None)
    assert heard == [False, True, True, True]


@pytest.mark.asyncio
async def test_a_refused_one_takes_a_number(tmp_path: Path, store: MetadataStore) -> None:
    outcomes: Outcomes = []
    store.propose(NEW, outcomes.append)
    store.propose(NEW, outcomes.append)
    for number, line in enumerate(lines_of(store), 1):
        assert store.take(number, line)
    assert [str(each) for each in outcomes] == ["None", "Virtual host '/' already exists"]
    proposal = next(iter(store.proposals._outcomes))
    assert store.outcome(proposal) == (1, None)
    before = store.snapshot()
    await store.close()
    again = MetadataStore.open(tmp_path / "m.db")
    assert again.snapshot() == before
    assert again.last_number == 2
    await again.close()


@pytest.mark.asyncio
async def test_what_is_ordered_twice_is_applied_once(tmp_path: Path, store: MetadataStore) -> None:
    store.take(1, encode(VHOST))
    store.propose(DeleteVhost("/"), lambda _error: None)
    (line,) = lines_of(store)
    assert store.take(2, line)
    assert store.take(3, encode(VHOST))
    heard: list[Command] = []
    store.subscribe(heard.append)
    assert store.take(4, line)
    assert heard == []
    assert list(store.state.vhosts) == ["/"]
    # neither here, nor where the ids come from a file or a snapshot
    await store.flush()
    number, lines = store.snapshot()
    await store.close()
    for _ in range(2):
        again = MetadataStore.open(tmp_path / "m.db")
        assert again.take(again.last_number + 1, line)
        assert list(again.state.vhosts) == ["/"]
        await again.reset()
        again.load_snapshot(number, lines)
        await again.close()


@pytest.mark.asyncio
async def test_a_proposal_that_comes_too_late_is_refused(store: MetadataStore) -> None:
    outcomes: Outcomes = []
    store.propose(VHOST, outcomes.append)
    (line,) = lines_of(store)
    store._last = PROPOSALS_REMEMBERED
    assert store.take(PROPOSALS_REMEMBERED + 1, line)
    (error,) = outcomes
    assert isinstance(error, MqdError)
    assert error.code is ErrorCode.TIMEOUT
    assert store.state.is_virgin


def test_only_the_last_ids_are_remembered() -> None:
    proposals = Proposals("o")
    for number in range(1, PROPOSALS_REMEMBERED + 10):
        proposals.remember(proposals.new_id(number - 1), number, None)
    assert len(list(proposals.lines())) == PROPOSALS_REMEMBERED + 1
    assert proposals.outcome("o.1.0") is None
    with pytest.raises(MqdError, match="not known any more"):
        proposals.check("o.1.0", number + 1)
    with pytest.raises(MqdError, match="ordered before"):
        proposals.check(f"o.{number}.{number - 1}", number + 1)


@pytest.mark.asyncio
async def test_the_barrier_holds_done_back(store: MetadataStore) -> None:
    held: list[tuple[int, Callable[[], None]]] = []
    store.barrier = lambda number, call: held.append((number, call))
    outcomes: Outcomes = []
    store.propose(NEW, outcomes.append)
    store.propose(NEW, outcomes.append)
    for number, line in enumerate(lines_of(store), 1):
        store.take(number, line)
    assert [number for number, _ in held] == [1, 2]
    assert outcomes == []
    for _, call in held:
        call()
    assert outcomes[0] is None
    assert str(outcomes[1]) == "Virtual host '/' already exists"
    store.use_orderer(None)
    store.propose(PutVhost(VhostRecord("v")), outcomes.append)
    store.propose(NEW, outcomes.append)
    assert len(held) == 2
    await store.flush()
    assert [number for number, _ in held] == [1, 2, 3, 3]
    assert len(outcomes) == 2
    held[-1][1]()
    assert str(outcomes[2]) == "Virtual host '/' already exists"


@pytest.mark.asyncio
async def test_orderers_change_and_nothing_is_lost(store: MetadataStore) -> None:
    outcomes: Outcomes = []
    first = store._orderer
    assert isinstance(first, Elsewhere)
    store.propose(VHOST, outcomes.append)
    store.propose(PutQueue(QueueDefinition(1, "/", "q")), outcomes.append)
    store.take(1, first.lines[0])
    assert await store.hold() == 1
    store.propose(PutGlobalParameter("g", 1), outcomes.append)
    second = Elsewhere(store)
    store.use_orderer(second)
    assert first.closed
    assert second.lines[0] == first.lines[1]
    assert len(second.lines) == 2
    store.use_orderer(None)
    assert ("/", "q") in store.state.queues
    assert store.last_number == 3
    await store.flush()
    assert outcomes == [None] * 3
    # a line of a node that did not hear of it
    store.propose_line(*_proposal(first.lines[1]), outcomes.append)
    assert store.last_number == 3


def _proposal(line: str) -> tuple[str, str]:
    return line.rpartition(',"')[2].removesuffix('"]'), line


@pytest.mark.asyncio
async def test_what_others_propose_is_ordered_here(tmp_path: Path) -> None:
    store, other = MetadataStore.open(tmp_path / "m.db"), Proposals("o")
    settled: list[Proposed] = []
    store.on_settled = settled.extend
    outcomes: Outcomes = []
    for command in (NEW, NEW, PutVhost(VhostRecord("v"))):
        proposal = other.new_id(0)
        for _ in range(2):
            store.propose_line(proposal, encode(command, proposal), outcomes.append)
    await store.flush()
    # the refused one took no number, so nobody knows it when it comes again
    assert [error is None for error in outcomes] == [False, False, True, True]
    assert [each.number for each in settled] == [1, 2]
    await store.close()
    again = MetadataStore.open(tmp_path / "m.db")
    assert again.outcome("o.1.0") == (1, None)
    assert again.outcome("o.3.0") == (2, None)
    await again.close()


@pytest.mark.asyncio
async def test_given_up_and_ordered_all_the_same(store: MetadataStore) -> None:
    outcomes: Outcomes = []
    store.propose(VHOST, outcomes.append)
    (proposal,) = store.waiting
    (line,) = lines_of(store)
    store.fail(proposal, MqdError(ErrorCode.UNAVAILABLE, "no majority"))
    assert [str(each) for each in outcomes] == ["no majority"]
    assert store.take(1, line)
    assert len(outcomes) == 1
    assert store.outcome(proposal) == (1, None)


@pytest.mark.asyncio
async def test_a_snapshot_replaces_everything(
    tmp_path: Path, store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MetadataStore.open(tmp_path / "source.db")
    await source.propose_async(VHOST)
    source.put_queue(QueueDefinition(1, "/", "q"), lambda _error: None)
    outcomes: Outcomes = []
    store.propose(PutVhost(VhostRecord("v")), outcomes.append)
    store.propose(PutVhost(VhostRecord("w")), outcomes.append)
    line, _ = lines_of(store)
    source.propose_line(*_proposal(line), lambda _error: None)
    for number in range(1, 9):
        store.take(number, encode(PutQueue(QueueDefinition(number, "/", "q"))))
    store.take(9, encode(PutGlobalParameter("g", 1)))
    heard: list[Command] = []
    replaced: list[int] = []
    store.subscribe(heard.append)
    store.on_replaced = lambda: replaced.append(store.last_number)
    number, lines = source.snapshot()
    assert (number, lines[-1]) == (3, lines[-1])
    store.load_snapshot(number, lines)
    assert outcomes == [None]  # what became of the first is part of it
    assert len(store.waiting) == 1
    assert replaced == [3]
    assert {type(each).__name__ for each in heard} == {
        "DeleteGlobalParameter",
        "PutVhost",
        "PutExchange",
        "PutQueue",
    }
    assert set(map(repr, commands_of(store.state))) == set(map(repr, commands_of(source.state)))
    assert store.take(4, encode(PutGlobalParameter("h", 1)))
    sent: list[tuple[int, bytes]] = []
    source.with_snapshot(lambda number, data: sent.append((number, data)))
    assert sent == [(3, "\n".join(lines).encode())]
    large = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(store_module, "SNAPSHOT_INLINE_MAX", 0)
    source.with_snapshot(lambda number, data: large.set_result((number, data)))
    assert await large == sent[0]
    await store.close()
    again = MetadataStore.open(tmp_path / "m.db")
    assert again.last_number == 4
    assert list(again.state.global_parameters) == ["h"]
    assert list(again.state.queues) == [("/", "q")]
    await again.close()
    await source.close()


@pytest.mark.asyncio
async def test_the_tail_of_the_log(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")

    async def tail(after: int, bytes_max: int = 10**6) -> list[int] | None:
        found: asyncio.Future[list[int] | None] = asyncio.get_running_loop().create_future()
        store.tail(
            after,
            bytes_max,
            lambda lines: found.set_result(lines and [each.number for each in lines]),
        )
        return await found

    assert await tail(0) == []
    await store.propose_async(VHOST)
    for number in range(4):
        store.propose(PutGlobalParameter("g", number), lambda _error: None)
    await store.flush()
    assert await tail(0) == [1, 2, 3, 4, 5]
    assert await tail(3) == [4, 5]
    assert await tail(0, 1) == [1]
    assert await tail(5) == []
    store._scribe.fold()
    await store.flush()
    assert await tail(3) is None
    assert await tail(5) == []
    await store.close()


@pytest.mark.asyncio
async def test_a_ram_node_keeps_no_file() -> None:
    writer = Writer()
    store = MetadataStore.in_memory(writer, 70_000)
    store.use_orderer(Elsewhere(store))
    store.member_number = 3
    assert store.new_queue_id() == (3 << 48) + ((70_000 & 0xFFFF) << 32) + 1
    outcomes: Outcomes = []
    store.propose(VHOST, outcomes.append)
    assert store.take(1, lines_of(store)[0])
    assert outcomes == [None]
    assert store.written_number == 1
    await store.flush()
    tail: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    store.tail(0, 1, tail.set_result)
    assert await tail is None
    store.load_snapshot(7, [encode(VHOST)])
    assert (store.last_number, store.may_commit()) == (7, True)
    await store.close()
    writer.stop()


@pytest.mark.asyncio
async def test_who_still_waits_hears_of_the_end(store: MetadataStore) -> None:
    outcomes: Outcomes = []
    store.propose(VHOST, outcomes.append)
    await store.close()
    assert [str(each) for each in outcomes] == ["the node stops"]
    store.propose(VHOST, outcomes.append)
    assert str(outcomes[1]) == "the metadata store is closed"


@pytest.mark.asyncio
async def test_ids_that_a_restored_or_lost_file_has_given_are_not_given_again(
    tmp_path: Path,
) -> None:
    ids: list[int] = []
    for _ in range(3):
        before = MetadataStore.open(tmp_path / "before")
        before.member_number = 2
        if not ids:
            await before.propose_async(VHOST)
        ids.append(before.new_queue_id())
        await before.propose_async(PutQueue(QueueDefinition(ids[-1], "/", f"q{len(ids)}")))
        number, lines = before.snapshot()
        await before.close()
    assert len(set(ids)) == 3
    restored = MetadataStore.open(tmp_path / "restored")  # it counts from 1 again
    restored.member_number = 2
    restored.load_snapshot(number, lines)
    mine = [restored.new_queue_id() for _ in range(3)]
    assert len({*ids, *mine}) == 6
    assert {each >> 48 for each in mine} == {2}
    await restored.close()
