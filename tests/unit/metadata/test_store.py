"""mqd.metadata.store and mqd.metadata.log: order, permanence, folding, a failing disc."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.errors import ErrorCode, MqdError
from mqd.metadata import scribe as scribe_module
from mqd.metadata.commands import (
    Command,
    DeleteQueue,
    DeleteVhost,
    PutGlobalParameter,
    PutQueue,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.log import METADATA, CommandLog
from mqd.metadata.machine import commands_of
from mqd.metadata.store import MetadataStore
from mqd.storage.database import Format, open_database
from mqd.storage.engine import StorageEngine
from tests.stores import message
from tests.waiting import PATIENCE_S

VHOST = PutVhost(VhostRecord("/"))


def queue(number: int) -> QueueDefinition:
    return QueueDefinition(number, "/", f"q{number}")


@pytest.mark.asyncio
async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "deep" / "metadata.db")
    await store.propose_async(VHOST)
    done: asyncio.Queue[Exception | None] = asyncio.Queue()
    binding = BindingDefinition("/", "x", "queue", "q1", "k", {"a": ("longstr", b"\xff")})
    store.put_exchange(ExchangeDefinition("/", "x", "topic"), done.put_nowait)
    store.put_queue(queue(1), done.put_nowait)
    store.put_queue(queue(2), done.put_nowait)
    store.put_binding(binding, done.put_nowait)
    store.delete_queue(queue(2), done.put_nowait)
    assert [await done.get() for _ in range(5)] == [None] * 5
    before = list(commands_of(store.state))
    await store.close()
    again = MetadataStore.open(tmp_path / "deep" / "metadata.db")
    assert list(commands_of(again.state)) == before
    assert again.state.bindings_at("/", "queue", "q1") == [binding]
    again.delete_binding(binding, done.put_nowait)
    again.delete_exchange("/", "x", done.put_nowait)
    assert [await done.get() for _ in range(2)] == [None] * 2
    await again.close()
    last = MetadataStore.open(tmp_path / "deep" / "metadata.db")
    assert last.state.bindings == {}
    await last.close()


@pytest.mark.asyncio
async def test_applied_and_heard_at_once_done_later_in_order(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    await store.propose_async(VHOST)
    heard: list[Command] = []
    stop = store.subscribe(heard.append)
    done: list[int] = []
    for number in range(100):
        store.propose(PutQueue(queue(number)), lambda error, n=number: done.append(n))  # type: ignore[misc]
    assert len(store.state.queues) == 100
    assert heard == [PutQueue(queue(number)) for number in range(100)]
    assert done == []
    await store.flush()
    assert done == list(range(100))
    stop()
    await store.propose_async(DeleteQueue("/", "q0"))
    assert len(heard) == 100
    await store.close()


@pytest.mark.asyncio
async def test_a_refusal_is_told_and_not_logged(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    heard: list[Command] = []
    store.subscribe(heard.append)
    with pytest.raises(MqdError, match="Virtual host 'v' does not exist"):
        await store.propose_async(DeleteVhost("v"))
    assert heard == []
    await store.close()
    with pytest.raises(MqdError, match="is closed"):
        await store.propose_async(VHOST)
    again = MetadataStore.open(tmp_path / "m.db")
    assert again.state.is_virgin
    await again.close()


@pytest.mark.asyncio
async def test_a_value_that_is_no_json_is_not_applied(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    with pytest.raises(TypeError):
        await store.propose_async(PutGlobalParameter("g", {1, 2}))
    assert store.state.global_parameters == {}
    await store.close()


@pytest.mark.asyncio
async def test_listeners_hear_what_follows(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    heard: list[Command] = []
    store.subscribe(heard.append)
    await store.propose_async(VHOST)
    assert [type(each).__name__ for each in heard] == ["PutVhost"] + ["PutExchange"] * 6
    await store.close()


@pytest.mark.asyncio
async def test_queue_ids_are_never_handed_out_again(tmp_path: Path) -> None:
    seen: set[int] = set()
    for _ in range(3):
        store = MetadataStore.open(tmp_path / "m.db")
        ids = {store.new_queue_id() for _ in range(1000)}
        assert len(ids) == 1000
        assert not ids & seen
        assert max(ids) < 2**63
        seen |= ids
        await store.reset()
        # a crash: closed without a last word
        assert store._log is not None
        await store._writer.call(store._log.close)
        store._writer.stop()


@pytest.mark.asyncio
async def test_a_long_log_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribe_module, "METADATA_LOG_BYTES_MIN", 10_000)
    store = MetadataStore.open(tmp_path / "m.db")
    await store.propose_async(VHOST)
    for turn in range(20):
        for number in range(50):
            store.propose(PutQueue(queue(number + turn)), lambda _error: None)
        await asyncio.sleep(0)
    await store.flush()
    assert store._log is not None
    assert store._log.snapshot_bytes > 0
    assert store._log.log_bytes < 60_000
    before = list(commands_of(store.state))
    await store.close()
    again = MetadataStore.open(tmp_path / "m.db")
    assert list(commands_of(again.state)) == before
    await again.close()


@pytest.mark.asyncio
async def test_a_snapshot_in_the_middle_of_a_row(tmp_path: Path) -> None:
    """What was proposed after the snapshot was taken, but written with what was before."""
    store = MetadataStore.open(tmp_path / "m.db")
    await store.propose_async(VHOST)
    gate = threading.Event()  # holds the writer, so that all three end up in one row
    store._writer.submit(lambda: gate.wait(PATIENCE_S), lambda _result, _error: None)
    store.propose(PutQueue(queue(1)), lambda _error: None)
    store._scribe.fold()
    store.propose(DeleteQueue("/", "q1"), lambda _error: None)
    store.propose(PutQueue(queue(2)), lambda _error: None)
    gate.set()
    await store.flush()
    await store.close()
    again = MetadataStore.open(tmp_path / "m.db")
    assert [name for _, name in again.state.queues] == ["q2"]
    await again.close()


@pytest.mark.asyncio
async def test_reset_is_virgin_for_ever(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    await store.propose_async(VHOST)
    await store.reset()
    assert store.state.is_virgin
    await store.close()
    store = MetadataStore.open(tmp_path / "m.db")
    assert store.state.is_virgin
    await store.propose_async(VHOST)
    await store.close()
    store = MetadataStore.open(tmp_path / "m.db")
    assert list(store.state.vhosts) == ["/"]
    await store.close()
    MetadataStore.wipe(tmp_path / "m.db")
    store = MetadataStore.open(tmp_path / "m.db")
    assert store.state.is_virgin
    await store.close()


@pytest.mark.asyncio
async def test_a_failing_disc_delays_but_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StorageEngine.open(tmp_path / "messages")
    store = MetadataStore.open(tmp_path / "m.db", engine.writer)
    engine.may_commit = store.may_commit
    await store.propose_async(VHOST)
    told: list[str | None] = []
    store.on_trouble = told.append
    real = CommandLog.append
    failures = 3

    def append(log: CommandLog, proposed: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        real(log, proposed)

    monkeypatch.setattr(CommandLog, "append", append)
    messages = engine.open_store("/")
    order: list[str] = []
    store.propose(PutQueue(queue(1)), lambda _error: order.append("queue"))
    messages.on_durable = lambda: order.append("message")
    messages.append(1, message())
    await asyncio.wait_for(asyncio.gather(store.flush(), messages.flush()), PATIENCE_S)
    assert order == ["queue", "message"]
    assert told == ["database or disk is full", None]
    await store.close()
    await engine.close()
    again = MetadataStore.open(tmp_path / "m.db")
    assert ("/", "q1") in again.state.queues
    await again.close()


@pytest.mark.asyncio
async def test_a_message_is_never_permanent_before_its_queue(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path / "messages")
    store = MetadataStore.open(tmp_path / "m.db", engine.writer)
    engine.may_commit = store.may_commit
    await store.propose_async(VHOST)
    messages = engine.open_store("/")
    order: list[str] = []
    messages.on_durable = lambda: order.append(f"m{messages.durable_batch}")
    for number in range(1, 30):
        store.propose(PutQueue(queue(number)), lambda _error, n=number: order.append(f"q{n}"))  # type: ignore[misc]
        batch = messages.append(number, message())
        await asyncio.sleep(0)
        assert batch <= number
    await asyncio.gather(store.flush(), messages.flush())
    seen = 0
    for each in order:
        if each[0] == "q":
            seen = int(each[1:])
        else:
            assert int(each[1:]) <= seen
    await store.close()
    await engine.close()


# what is wrong with a file


@pytest.mark.asyncio
async def test_a_damaged_entry_is_refused(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    await store.propose_async(VHOST)
    await store.close()
    database = open_database(tmp_path / "m.db", METADATA)
    database.execute("UPDATE log SET lines = zeroblob(length(lines))")
    database.close()
    with pytest.raises(MqdError, match=r"entry 1 is damaged; restore it from a backup") as caught:
        MetadataStore.open(tmp_path / "m.db")
    assert caught.value.code is ErrorCode.UNAVAILABLE


@pytest.mark.asyncio
async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    newer = Format("metadata log", METADATA.application_id, 99, METADATA.schema)
    open_database(tmp_path / "m.db", newer).close()
    with pytest.raises(MqdError, match="has format 99, this mqd knows formats up to 1"):
        MetadataStore.open(tmp_path / "m.db")


@pytest.mark.asyncio
async def test_a_message_store_is_no_metadata(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path)
    engine.open_store("/")
    path = engine.path_of("/")
    await engine.close()
    with pytest.raises(MqdError, match="is no metadata log of mqd"):
        MetadataStore.open(path)


@pytest.mark.asyncio
async def test_an_answer_that_fails_keeps_no_other_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MetadataStore.open(tmp_path / "metadata.db")

    def fails(_error: Exception | None) -> None:
        raise LookupError("of one who waited")

    goes_on = threading.Event()
    store._writer.submit(goes_on.wait, lambda _result, _error: None)
    store.propose(VHOST, fails)
    other = asyncio.ensure_future(store.propose_async(PutQueue(queue(1))))  # in the same row
    await asyncio.sleep(0)
    goes_on.set()
    async with asyncio.timeout(PATIENCE_S):
        await other
        await store.flush()
    assert "of one who waited" in caplog.text
    await store.close()
