"""mqd.storage.messages: when a commit starts, what it holds, what happens when it fails."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mqd.storage import ledger, messages, rows
from mqd.storage.format import unpack_messages
from tests.stores import Stage, copy_image, message

FULL = sqlite3.OperationalError("database or disk is full")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path / "x.db")
    assert stage.recover() == []
    return stage


def test_a_turns_messages_are_one_row(stage: Stage) -> None:
    told: list[int] = []
    stage.store.on_durable = lambda: told.append(stage.store.durable_batch)
    batches = {stage.store.append(1, message()) for _ in range(10)}
    assert batches == {1}
    assert told == []
    stage.writer.run()
    assert told == [1]
    assert stage.row_ids() == [1]


def test_what_gathers_while_a_commit_runs_is_the_next_one(stage: Stage) -> None:
    stage.store.append(1, message())
    stage.writer.step()  # the turn ends, the job is handed over
    assert stage.store.append(1, message()) == 2
    stage.writer.run()
    assert stage.store.durable_batch == 2
    assert stage.row_ids() == [1, 2]


def test_segment_and_index_are_set_when_the_commit_begins(stage: Stage) -> None:
    first, second = message(), message()
    stage.store.append(1, first)
    stage.store.append(1, second)
    assert first.segment == 0
    stage.writer.step()
    assert (first.segment, first.index, second.segment, second.index) == (1, 0, 1, 1)


def test_a_message_settled_before_its_commit_is_never_written(stage: Stage) -> None:
    told: list[int] = []
    stage.store.on_durable = lambda: told.append(stage.store.durable_batch)
    each = message()
    stage.store.append(1, each)
    stage.store.settle(1, each)
    stage.writer.run()
    assert told == [1]
    assert stage.row_ids() == []
    assert each.segment == 0


def test_a_row_goes_in_the_commit_that_settles_its_last_message(stage: Stage) -> None:
    pair = [message(), message()]
    for each in pair:
        stage.store.append(1, each)
    stage.writer.run()
    stage.store.settle(1, pair[0])
    stage.writer.run()
    assert stage.row_ids() == [1, 2]  # messages, and news of them
    stage.store.settle(1, pair[1])
    stage.writer.run()
    assert stage.row_ids() == []  # the news is needed no longer either


def test_settling_twice_counts_once(stage: Stage) -> None:
    pair = [message(b"a"), message(b"b")]
    for each in pair:
        stage.store.append(1, each)
    stage.writer.run()
    stage.store.settle(1, pair[0])
    stage.store.settle(1, pair[0])
    stage.writer.run()
    assert stage.store.ledger.rows[1].remaining == 1


def test_a_settle_after_the_queue_was_dropped_is_harmless(stage: Stage) -> None:
    mine, others = message(b"mine"), message(b"others")
    stage.store.append(1, mine)
    stage.store.append(2, others)
    stage.writer.run()
    stage.store.settle_all(1, [])
    stage.writer.run()
    stage.store.settle(1, mine)
    stage.writer.run()
    stage.close()
    again = Stage(stage.path)
    assert [each.body for _, each, _ in again.recover()] == [b"others"]


def test_a_fan_out_is_stored_once(stage: Stage) -> None:
    each = message(bytes(100_000))
    stage.store.append(1, each)
    for queue_id in range(2, 12):
        stage.store.append(queue_id, each.copy())
    stage.writer.run()
    size = stage.database.execute("SELECT sum(length(messages)) FROM commits").fetchone()[0]
    assert size < 101_000


def test_a_large_batch_takes_several_rows(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "COMMIT_BYTES_MAX", 1000)
    durable: list[tuple[int, int]] = []
    stage.store.on_durable = lambda: durable.append(
        (stage.store.durable_batch, len(stage.row_ids()))
    )
    for size in (400, 400, 400, 5000, 10):
        stage.store.append(1, message(bytes(size)))
    stage.writer.run()
    assert durable == [(1, 4)]  # once, when the last row is there
    counts = [
        len(unpack_messages(blob, row_id).messages)
        for row_id, blob in stage.database.execute("SELECT id, messages FROM commits")
    ]
    assert counts == [2, 1, 1, 1]


def test_appending_before_recovery_is_refused(stage: Stage) -> None:
    stage.store.append(1, message())
    stage.close()
    again = Stage(stage.path)
    with pytest.raises(RuntimeError, match="recovered before"):
        again.store.append(1, message())


# a disc that fails


def test_a_failing_commit_confirms_nothing_and_loses_nothing(stage: Stage) -> None:
    stage.writer.failures.extend([FULL] * 3)
    for number in range(5):
        stage.store.append(1, message(bytes([number])))
    for _ in range(2):
        stage.writer.step()
    assert stage.store.durable_batch == 0
    assert stage.troubles == ["database or disk is full"]
    late = stage.store.append(1, message(b"late"))
    stage.writer.run()
    assert stage.troubles[-1] is None
    assert stage.store.durable_batch == late
    stage.close()
    bodies = [each.body for _, each, _ in Stage(stage.path).recover()]
    assert bodies == [bytes([number]) for number in range(5)] + [b"late"]


def test_waits_grow_while_the_disc_fails(stage: Stage) -> None:
    stage.writer.failures.extend([FULL] * 4)
    stage.store.append(1, message())
    stage.writer.run()
    waits = [delay_s for delay_s, _ in stage.writer.loop.timers]
    assert waits == sorted(waits)


def test_what_consumers_settle_while_the_disc_is_full_is_written_first(stage: Stage) -> None:
    """Deleting makes the room that the stuck messages need."""
    old = [message(bytes(30_000)) for _ in range(4)]
    for each in old:
        stage.store.append(1, each)
    stage.writer.run()
    pages = stage.database.execute("PRAGMA page_count").fetchone()[0]
    stage.database.execute(f"PRAGMA max_page_count={pages}")
    new = stage.store.append(1, message(bytes(60_000)))
    for _ in range(10):
        stage.writer.step()
    assert stage.store.durable_batch == new - 1
    assert stage.troubles[-1] == "database or disk is full"
    for each in old:
        stage.store.settle(1, each)
    stage.writer.run()
    assert stage.store.durable_batch == new
    assert stage.troubles[-1] is None
    assert len(stage.store.ledger.rows) == 1


def test_a_stuck_message_that_is_settled_needs_no_room(stage: Stage) -> None:
    pages = stage.database.execute("PRAGMA page_count").fetchone()[0]
    stage.database.execute(f"PRAGMA max_page_count={pages}")
    each = message(bytes(100_000))
    batch = stage.store.append(1, each)
    for _ in range(6):
        stage.writer.step()
    assert stage.store.durable_batch == 0
    stage.store.settle(1, each)
    stage.writer.run()
    assert stage.store.durable_batch == batch
    assert stage.row_ids() == []


def test_messages_wait_for_metadata(stage: Stage) -> None:
    stage.barrier = False
    batch = stage.store.append(1, message())
    for _ in range(6):
        stage.writer.step()
    assert stage.store.durable_batch == 0
    assert stage.troubles == ["the metadata log cannot be written"] * len(stage.troubles)
    stage.barrier = True
    stage.writer.run()
    assert stage.store.durable_batch == batch


# ends


def test_after_an_orderly_end_only_marked_messages_were_delivered(stage: Stage) -> None:
    each = [message(bytes([number])) for number in range(3)]
    for one in each:
        stage.store.append(1, one)
    stage.close(((1, each[1]),))
    again = Stage(stage.path)
    assert [flag for _, _, flag in again.recover()] == [False, True, False]
    # the mark is used up: what follows now is another life
    crashed = again.crash(stage.path.with_name("y.db"))
    assert [flag for _, _, flag in crashed.recover()] == [True, True, True]


def test_closing_a_store_that_was_not_recovered_changes_nothing(stage: Stage) -> None:
    stage.store.append(1, message())
    stage.close()
    Stage(stage.path).close()
    assert [flag for _, _, flag in Stage(stage.path).recover()] == [False]


def test_new_messages_follow_recovered_ones(stage: Stage) -> None:
    stage.store.append(1, message(b"old"))
    stage.close()
    again = Stage(stage.path)
    assert len(again.recover()) == 1
    again.store.append(1, message(b"new"))
    again.close()
    bodies = [each.body for _, each, _ in Stage(stage.path).recover()]
    assert bodies == [b"old", b"new"]


# the lull


def test_a_settled_message_waits_for_company(stage: Stage) -> None:
    each = message()
    stage.store.append(1, each)
    stage.writer.run()
    stage.store.settle(1, each)
    assert not stage.writer.loop.soon
    assert not stage.writer.jobs
    [(delay_s, _)] = stage.writer.loop.timers
    assert 0 < delay_s < 0.1
    stage.store.append(1, message())
    stage.writer.run()
    assert stage.row_ids() == [2]  # one commit did both


def test_a_settled_message_without_company_is_told_after_the_lull(stage: Stage) -> None:
    each = message()
    stage.store.append(1, each)
    stage.writer.run()
    stage.store.settle(1, each)
    stage.writer.run()
    assert stage.row_ids() == []


def test_what_is_settled_during_a_commit_waits_as_well(stage: Stage) -> None:
    each = message()
    stage.store.append(1, each)
    stage.writer.step()
    stage.store.settle(1, each)
    stage.writer.step()
    assert not stage.writer.jobs
    assert len(stage.writer.loop.timers) == 1


def test_whoever_waits_for_the_store_ends_the_lull(stage: Stage) -> None:
    each = message()
    stage.store.append(1, each)
    stage.writer.run()
    stage.store.settle(1, each)
    told: list[int] = []
    stage.store._idle.append(lambda: told.append(len(stage.row_ids())))
    stage.store._wake()
    stage.writer.run()
    assert told == [0]


# what is kept beside the bytes


def test_news_of_a_batch_waits_for_its_last_row(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead letters: appended to one queue and settled in the other in the same turn."""
    monkeypatch.setattr(rows, "COMMIT_MESSAGES_MAX", 2)
    sources = [message(b"s%d" % number) for number in range(5)]
    for each in sources:
        stage.store.append(1, each)
    stage.writer.run()
    for number, each in enumerate(sources):
        stage.store.append(2, message(b"t%d" % number))
        stage.store.settle(1, each)
    images = 0
    while stage.writer.step():
        images += 1
        copy_image(stage.path, stage.path.with_name(f"{images}.db"))
    counts = set()
    for image in range(1, images + 1):
        again = Stage(stage.path.with_name(f"{image}.db"))
        counts.add(len(again.row_ids()))
        found = {each.body[1:] for _, each, _ in again.recover()}
        again.database.close()
        assert found == {b"%d" % number for number in range(5)}
    assert counts == {3, 4, 5}  # there were rows of that batch to crash between


def test_news_of_the_next_batch_waits_for_that(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "COMMIT_MESSAGES_MAX", 2)
    source = message(b"source")
    stage.store.append(1, source)
    stage.writer.run()
    for _ in range(3):
        stage.store.append(2, message(b"other"))
    stage.writer.step()  # the first of two rows is on its way
    stage.store.append(2, message(b"target"))
    stage.store.settle(1, source)
    while stage.store.durable_batch < 2:
        stage.writer.step()
    again = stage.crash(stage.path.with_name("y.db"))
    assert b"source" in {each.body for _, each, _ in again.recover()}


def test_delivery_counts_are_kept(stage: Stage) -> None:
    one, other = message(b"one"), message(b"other")
    early = message(b"early")
    for each in (one, other, early):
        stage.store.append(1, each)
    early.delivery_count = 9
    stage.store.returned(1, early)  # before its commit began
    stage.writer.run()
    for count in (1, 2):
        one.delivery_count = count
        stage.store.returned(1, one)
    assert not stage.writer.jobs  # nobody waits for it
    other.delivery_count = 1
    stage.store.returned(1, other)
    stage.store.settle(1, other)
    stage.writer.run()
    again = stage.crash(stage.path.with_name("y.db"))
    kept = {each.body: each.delivery_count for _, each, _ in again.recover()}
    assert kept == {b"one": 2, b"early": 9}


def test_a_rewritten_row_knows_better_than_old_news(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, other = message(), message()
    for one in (each, other):
        stage.store.append(1, one)
        stage.writer.run()
    for count in (1, 2):
        each.delivery_count = count
        stage.store.returned(1, each)
        if count == 2:  # the rewrite comes right after this commit
            monkeypatch.setattr(ledger, "SMALL_ROWS_MAX", 1)
        stage.writer.run()
    assert len(stage.store.ledger.rows) == 1
    assert stage.store.ledger._gone  # old news, still in the file
    again = stage.crash(stage.path.with_name("y.db"))
    assert sorted(each.delivery_count for _, each, _ in again.recover()) == [0, 2]


def test_endless_returns_leave_few_rows(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "INFORMERS_MAX", 8)
    each, settled, dropped = message(b"each"), message(b"settled"), message(b"dropped")
    for queue_id, one in ((1, each), (1, settled), (2, dropped), (1, message(b"other"))):
        stage.store.append(queue_id, one)
    stage.writer.run()
    stage.store.settle(1, settled)
    stage.store.settle_all(2, ())
    for count in range(1, 100):
        each.delivery_count = count
        stage.store.returned(1, each)
        stage.writer.run()
        assert len(stage.row_ids()) <= 1 + 8 + 1
    again = stage.crash(stage.path.with_name("y.db"))
    kept = [(each.body, each.delivery_count) for _, each, _ in again.recover()]
    assert kept == [(b"each", 99), (b"other", 0)]


def test_a_time_to_live_survives_by_the_wall_clock(stage: Stage) -> None:
    each, over, forever = message(), message(), message()
    each.expires_ms, over.expires_ms = 5000, 100
    stage.wall_offset_ms = 1_000_000
    for one in (each, over, forever):
        stage.store.append(1, one)
    stage.close()
    again = Stage(stage.path, 1_000_900)  # a machine that started later
    assert [each.expires_ms for _, each, _ in again.recover()] == [4100, 1, 0]


def test_who_reads_is_told_when_too_much_has_gathered_and_when_it_is_on_its_way(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "GATHERED_BYTES_MAX", 1000)
    monkeypatch.setattr(messages, "GATHERED_MESSAGES_MAX", 3)
    store = stage.store
    relieved: list[int] = []
    store.on_relief = lambda: relieved.append(store.gathered_count)
    store.append(1, message())
    assert not store.press(999)
    assert store.press(1)
    stage.writer.run()
    assert relieved == [0]
    assert store.durable_batch == 1
    for _ in range(3):
        store.append(1, message())
    assert store.press(1)
    store.append(1, message())
    stage.writer.run()
    assert relieved == [0, 0]
    store.append(1, message())
    assert not store.press(1)
    stage.writer.run()
    assert relieved == [0, 0]
