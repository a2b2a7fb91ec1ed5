"""mqd.storage.recovery and mqd.storage.rows: what a damaged file still gives, and how fast."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from tests.stores import Stage, message


def _filled(path: Path, rows: int) -> Stage:
    stage = Stage(path)
    stage.recover()
    for number in range(rows):
        stage.store.append(1, message(bytes([number])))
        stage.writer.run()
    return stage


def test_a_damaged_row_is_reported_and_the_others_survive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = _filled(tmp_path / "x.db", 3)
    stage.database.execute("UPDATE commits SET messages = zeroblob(length(messages)) WHERE id = 2")
    stage.close()
    again = Stage(stage.path)
    with caplog.at_level(logging.ERROR):
        recovered = again.recover()
    assert [each.body for _, each, _ in recovered] == [b"\x00", b"\x02"]
    assert "commit 2 cannot be read, its messages are lost" in caplog.text
    # it is kept as it is, and never overwritten
    for queue_id, each, _ in recovered:
        again.store.settle(queue_id, each)
    again.store.append(1, message(b"new"))
    again.writer.run()
    assert again.row_ids() == [2, 4]


def test_damaged_news_brings_messages_back_rather_than_losing_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(tmp_path / "x.db")
    stage.recover()
    pair = [message(b"a"), message(b"b")]
    for each in pair:
        stage.store.append(1, each)
    stage.writer.run()
    stage.store.settle(1, pair[0])
    stage.writer.run()
    stage.database.execute("UPDATE commits SET settled = zeroblob(length(settled)) WHERE id = 2")
    stage.close()
    again = Stage(stage.path)
    assert [each.body for _, each, _ in again.recover()] == [b"a", b"b"]
    assert "acknowledged messages may be delivered again" in caplog.text


def test_recovered_messages_know_their_place(tmp_path: Path) -> None:
    stage = _filled(tmp_path / "x.db", 3)
    stage.close()
    again = Stage(stage.path)
    recovered = again.recover()
    assert [(each.segment, each.index) for _, each, _ in recovered] == [(1, 0), (2, 0), (3, 0)]
    assert all(each.stored and each.persistent for _, each, _ in recovered)
    again.store.settle(1, recovered[0][1])
    again.writer.run()
    assert again.row_ids() == [2, 3]


def test_a_queue_that_exists_no_more_is_settled_whole(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "x.db")
    stage.recover()
    for queue_id in (1, 2, 1, 3):
        stage.store.append(queue_id, message())
    stage.writer.run()
    stage.close()
    again = Stage(stage.path)
    again.recover()
    for queue_id in (1, 3):
        again.store.settle_all(queue_id, ())
    again.close()
    last = Stage(stage.path)
    assert [queue_id for queue_id, _, _ in last.recover()] == [2]


def test_a_hundred_thousand_messages_take_well_under_a_second(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "x.db")
    stage.recover()
    for _ in range(25):
        for _ in range(4000):
            stage.store.append(1, message(b"x" * 100))
        stage.writer.run()
    stage.close()
    again = Stage(stage.path)
    begin = time.process_time()  # of this process: the machine may be busy with others
    assert sum(1 for _ in again.store.recover()) == 100_000
    assert time.process_time() - begin < 1.0
