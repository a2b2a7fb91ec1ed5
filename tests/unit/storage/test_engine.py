"""mqd.storage.engine: files of vhosts, trouble of the node, real threads."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from mqd.errors import MqdError
from mqd.storage.engine import StorageEngine
from mqd.storage.messages import VhostStore
from tests.stores import message
from tests.waiting import PATIENCE_S


def _files(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def _durable(store: VhostStore, batch: int) -> None:
    event = asyncio.Event()
    store.on_durable = event.set
    while store.durable_batch < batch:
        event.clear()
        await asyncio.wait_for(event.wait(), PATIENCE_S)


@pytest.mark.asyncio
async def test_messages_survive_an_orderly_end(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path / "stores")
    store = engine.open_store("/")
    assert list(store.recover()) == []
    batches = [store.append(7, message(str(number).encode())) for number in range(1000)]
    await _durable(store, batches[-1])
    assert await engine.close()

    engine = StorageEngine.open(tmp_path / "stores")
    recovered = list(engine.open_store("/").recover())
    assert [each.body for _, each, _ in recovered] == [str(n).encode() for n in range(1000)]
    assert {queue_id for queue_id, _, _ in recovered} == {7}
    await engine.close()


@pytest.mark.asyncio
async def test_close_writes_what_is_not_durable_yet(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path)
    store = engine.open_store("/")
    store.append(1, message())
    assert await engine.close()
    engine = StorageEngine.open(tmp_path)
    assert len(list(engine.open_store("/").recover())) == 1
    await engine.close()


@pytest.mark.asyncio
async def test_each_vhost_has_a_file_whatever_its_name(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path)
    names = ["/", "../up", "a/b", "\udcff", "", "é" * 300]
    for name in names:
        engine.open_store(name).append(1, message(name.encode("utf-8", "surrogateescape")))
    await engine.close()
    engine = StorageEngine.open(tmp_path)
    for name in names:
        [(_, each, _)] = engine.open_store(name).recover()
        assert each.body == name.encode("utf-8", "surrogateescape")
    await engine.close()
    assert len(_files(tmp_path)) == len(names)


@pytest.mark.asyncio
async def test_a_dropped_vhost_leaves_nothing(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path)
    for name in ("keep", "drop"):
        store = engine.open_store(name)
        store.append(1, message())
    engine.drop_store("drop")
    again = engine.open_store("drop")  # the name may be used again, at once
    assert list(again.recover()) == []
    again.append(1, message(b"of the new one"))
    await again.flush()
    assert engine.path_of("drop").exists()
    await engine.close()
    engine = StorageEngine.open(tmp_path)
    engine.drop_unknown(["keep"])
    assert _files(tmp_path) == [engine.path_of("keep").name]
    await engine.close()


@pytest.mark.asyncio
async def test_trouble_of_the_node_begins_with_the_first_store_and_ends_with_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = StorageEngine.open(tmp_path)
    told: list[str | None] = []
    engine.on_trouble = told.append
    engine.may_commit = lambda: False
    stores = [engine.open_store(name) for name in ("a", "b")]
    batches = [store.append(1, message()) for store in stores]
    with caplog.at_level(logging.INFO):
        while len(engine._troubled) < 2:  # noqa: ASYNC110 - bounded by the test's timeout
            await asyncio.sleep(0)
        assert told == ["the metadata log cannot be written"]
        engine.may_commit = lambda: True
        for store, batch in zip(stores, batches, strict=True):
            await _durable(store, batch)
    assert told == ["the metadata log cannot be written", None]
    assert "messages of virtual host 'a' cannot be written" in caplog.text
    assert "messages of virtual host 'b' are written again" in caplog.text
    await engine.close()


@pytest.mark.asyncio
async def test_close_gives_up_on_a_disc_that_takes_nothing(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path)
    engine.may_commit = lambda: False
    engine.open_store("/").append(1, message())
    assert not await engine.close(0.01)
    engine = StorageEngine.open(tmp_path)
    assert list(engine.open_store("/").recover()) == []
    await engine.close()


@pytest.mark.asyncio
async def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    engine = StorageEngine.open(tmp_path)
    engine.open_store("/")
    other = StorageEngine.open(tmp_path)
    with pytest.raises(MqdError, match="in use by another process"):
        other.open_store("/")
    await other.close()
    await engine.close()
