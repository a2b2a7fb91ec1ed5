"""mqd.storage.upkeep and mqd.storage.ledger: the file stays in proportion to what it owes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mqd.broker.message import Message
from mqd.storage import ledger, upkeep
from tests.stores import Stage, message


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(ledger, "SLACK_BYTES_MIN", 100_000)
    monkeypatch.setattr(upkeep, "SLACK_BYTES_MIN", 100_000)
    stage = Stage(tmp_path / "x.db")
    stage.recover()
    return stage


def _fill(stage: Stage, rows: int, per_row: int, size: int) -> list[list[Message]]:
    filled = []
    for _ in range(rows):
        filled.append([message(bytes(size)) for _ in range(per_row)])
        for each in filled[-1]:
            stage.store.append(1, each)
        stage.writer.run()
    return filled


def _stored_bytes(stage: Stage) -> int:
    rows = stage.database.execute("SELECT coalesce(sum(length(messages)), 0) FROM commits")
    return int(rows.fetchone()[0])


def test_one_message_in_each_row_does_not_keep_the_rows(stage: Stage) -> None:
    filled = _fill(stage, 40, 20, 1000)
    for row in filled:
        for each in row[1:]:
            stage.store.settle(1, each)
    stage.writer.run()
    assert _stored_bytes(stage) < 3 * 40 * 1000
    left = [row[0] for row in filled]
    crashed = stage.crash(stage.path.with_name("y.db"))
    recovered = [each for _, each, _ in crashed.recover()]
    assert [(each.segment, each.index) for each in recovered] == [
        (each.segment, each.index) for each in left
    ]
    for each in recovered:
        crashed.store.settle(1, each)
    crashed.writer.run()
    assert _stored_bytes(crashed) == 0


def test_messages_settled_after_their_row_was_rewritten(stage: Stage) -> None:
    filled = _fill(stage, 40, 20, 1000)
    for row in filled:
        for each in row[1:]:
            stage.store.settle(1, each)
    stage.writer.run()
    assert len(stage.store.ledger.rows) < 10
    for row in filled[::2]:
        stage.store.settle(1, row[0])
    stage.writer.run()
    crashed = stage.crash(stage.path.with_name("y.db"))
    assert [each.segment for _, each, _ in crashed.recover()] == [
        row[0].segment for row in filled[1::2]
    ]


def test_crumbs_become_rows_of_decent_size(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SMALL_ROWS_MAX", 100)
    filled = _fill(stage, 300, 1, 10)
    assert len(stage.store.ledger.rows) <= 110
    crashed = stage.crash(stage.path.with_name("y.db"))
    assert len(crashed.recover()) == len(filled)


def test_the_file_shrinks_when_a_backlog_is_consumed(stage: Stage) -> None:
    filled = _fill(stage, 30, 10, 10_000)
    stage.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert stage.path.stat().st_size > 3_000_000
    for row in filled:
        for each in row:
            stage.store.settle(1, each)
    stage.writer.run()
    stage.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert stage.path.stat().st_size < 100_000


def test_a_step_gives_many_pages_back(stage: Stage) -> None:
    filled = _fill(stage, 30, 10, 10_000)
    for row in filled:
        for each in row:
            stage.store.settle(1, each)
    before = stage.database.execute("PRAGMA page_count").fetchone()[0]
    for _ in range(8):
        stage.writer.step()
    after = stage.database.execute("PRAGMA page_count").fetchone()[0]
    assert before - after > 500


def test_upkeep_happens_under_load_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = _fill(stage, 40, 20, 1000)
    for row in filled:
        for each in row[1:]:
            stage.store.settle(1, each)
    for _ in range(400):  # never at rest: the next message is there before the commit ends
        stage.store.append(1, message(b"load"))
        stage.writer.step()
        stage.writer.step()
    stored = stage.database.execute("SELECT count(*) FROM commits WHERE id <= 40").fetchone()[0]
    assert stored < 40


def test_a_rewrite_that_fails_leaves_the_rows(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "REWRITE_ROWS_MAX", 5)
    filled = _fill(stage, 40, 20, 1000)
    stage.database.execute("UPDATE commits SET crc = crc + 1 WHERE id = 1")
    for row in filled:
        for each in row[1:]:
            stage.store.settle(1, each)
    stage.writer.run()
    assert stage.store.ledger.rows[1].remaining == 1
    assert len(stage.store.ledger.rows) < 30  # the others were rewritten
    stage.database.execute("UPDATE commits SET crc = crc - 1 WHERE id = 1")
    assert len(stage.crash(stage.path.with_name("y.db")).recover()) == 40
