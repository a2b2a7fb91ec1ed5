"""mqd.storage.streams, appends, segment and pages: what is written is read, what is old goes."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from mqd.errors import MqdError
from mqd.storage import segment, streams
from mqd.storage.pages import Page, Pages
from mqd.storage.streams import StreamFiles
from tests.stores import Stage, message

FULL = OSError(28, "No space left on device")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path / "x.db")
    assert stage.recover() == []
    return stage


def fill(stage: Stage, stream: StreamFiles, first: int, count: int, size: int = 10) -> None:
    """Messages whose bodies begin with their offsets, one batch each."""
    for number in range(first, first + count):
        stream.append(message(b"%d " % number + bytes(size)))
        stage.writer.run()


def offsets(stream: StreamFiles, offset: int = 0) -> list[int]:
    """What a reader finds from there on, each checked to be where it says."""
    found = []
    while (page := stream.read(offset)) is not None:
        for at in range(max(offset, page.first), page.end):
            body = page.messages[at - page.first].body
            assert int(body.split()[0]) == at
            found.append(at)
        offset = page.end
    return found


def reopened(stage: Stage, name: str = "y") -> tuple[Stage, StreamFiles]:
    """As after a kill."""
    again = stage.crash(stage.path.with_name(f"{name}.db"))
    stream = again.store.stream(7)
    again.recover()
    return again, stream


def test_a_message_is_seen_when_it_is_on_disc(stage: Stage) -> None:
    stream = stage.store.stream(7)
    grown: list[int] = []
    stream.on_growth = lambda: grown.append(stream.next_offset)
    assert stream.append(message(b"0 ")) == 1
    assert stream.append(message(b"1 ")) == 1
    assert stream.read(0) is None
    stage.writer.run()
    assert grown == [2]
    assert stage.store.durable_batch == 1
    assert offsets(stream) == [0, 1]
    assert stream.read(2) is None


def test_streams_and_queues_share_their_batches(stage: Stage) -> None:
    stream = stage.store.stream(7)
    told: list[tuple[int, int]] = []
    stage.store.on_durable = lambda: told.append((stage.store.durable_batch, stream.next_offset))
    assert stream.append(message(b"0 ")) == stage.store.append(1, message()) == 1
    stage.writer.step()
    assert stage.store.append(1, message()) == 2
    assert stream.append(message(b"1 ")) == 2
    stage.writer.run()
    assert told == [(1, 1), (2, 2)]
    assert len(stage.store.ledger.rows) == 2


def test_it_is_there_after_a_crash_and_goes_on(stage: Stage) -> None:
    stream = stage.store.stream(7)
    fill(stage, stream, 0, 5)
    again, stream = reopened(stage)
    assert offsets(stream) == [0, 1, 2, 3, 4]
    fill(again, stream, 5, 2)
    assert offsets(stream, 3) == [3, 4, 5, 6]


def test_all_of_a_message_is_kept(stage: Stage) -> None:
    stream = stage.store.stream(7)
    sent = message(bytes(range(256)), routing_key="some.key")
    sent.persistent = False
    stream.append(sent)
    stage.writer.run()
    _, stream = reopened(stage)
    page = stream.read(0)
    assert page is not None
    [kept] = page.messages
    assert (kept.names, kept.content, kept.persistent) == (sent.names, sent.content, False)
    assert not kept.stored


def test_segments_are_closed_when_they_are_full(stage: Stage) -> None:
    stream = stage.store.stream(7)
    stream.keep(None, None, 1000)
    fill(stage, stream, 0, 12, size=300)
    names = sorted(path.name for path in stream._directory.glob("*.segment"))
    assert names == [f"{first:020d}.segment" for first in (0, 3, 6, 9)]
    assert offsets(stream) == list(range(12))
    _, stream = reopened(stage)
    assert offsets(stream) == list(range(12))
    assert offsets(stream, 4) == list(range(4, 12))


def test_one_batch_may_fill_several_segments(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAM_CHUNK_MESSAGES_MAX", 2)
    stream = stage.store.stream(7)
    stream.keep(None, None, 500)
    for number in range(9):
        stream.append(message(b"%d " % number + bytes(200)))
    stage.writer.run()
    assert stage.store.durable_batch == 1
    assert len(list(stream._directory.glob("*.segment"))) > 2
    _, stream = reopened(stage)
    assert offsets(stream) == list(range(9))


def test_too_many_bytes_go_by_whole_segments(stage: Stage) -> None:
    stream = stage.store.stream(7)
    stream.keep(3000, None, 1000)
    fill(stage, stream, 0, 40, size=300)
    assert 0 < stream.first_offset < 37
    assert stream.bytes <= 3000 + 1400
    assert offsets(stream) == list(range(stream.first_offset, 40))
    kept = {f"{each.first:020d}" for each in stream._segments}
    assert {path.stem for path in stream._directory.iterdir()} == kept
    first = stream.first_offset
    _, stream = reopened(stage)
    assert stream.first_offset == first
    assert offsets(stream, 0) == list(range(first, 40))


def test_too_old_goes_by_whole_segments(stage: Stage) -> None:
    stream = stage.store.stream(7)
    stream.keep(None, 60, 1000)
    fill(stage, stream, 0, 6, size=300)
    stage.wall_ms += 61_000
    assert stream.first_offset == 0  # looked at when a segment is full, as 3.10.8
    fill(stage, stream, 6, 4, size=300)
    assert stream.first_offset == 6
    assert offsets(stream) == [6, 7, 8, 9]


def test_other_rules_hold_at_once(stage: Stage) -> None:
    stream = stage.store.stream(7)
    stream.keep(None, None, 1000)
    fill(stage, stream, 0, 12, size=300)
    stream.keep(1500, None, 1000)
    assert stream.first_offset == 9


def test_the_last_segment_stays_however_large(stage: Stage) -> None:
    stream = stage.store.stream(7)
    stream.keep(10, 0, None)
    stage.wall_ms += 10_000
    fill(stage, stream, 0, 3)
    assert offsets(stream) == [0, 1, 2]


def test_messages_are_found_by_time(stage: Stage) -> None:
    stream = stage.store.stream(7)
    stream.keep(None, None, 800)
    began = stage.wall_ms
    assert stream.offset_of(began) == 0
    for number in range(10):
        stage.wall_ms = began + 1000 * number
        fill(stage, stream, number, 1, size=300)
    stage.wall_ms = began  # the clock was set back: times of a stream never go back
    fill(stage, stream, 10, 1, size=300)
    for _ in range(2):
        assert stream.offset_of(0) == 0
        assert stream.offset_of(began + 1) == 1
        assert stream.offset_of(began + 4000) == 4
        assert stream.offset_of(began + 8001) == 9
        assert stream.offset_of(began + 9001) == 11
        stage, stream = reopened(stage, "again" + stage.path.stem)


def test_the_last_chunk(stage: Stage) -> None:
    stream = stage.store.stream(7)
    assert stream.last_chunk_offset == 0
    fill(stage, stream, 0, 3)
    for number in range(3, 5):
        stream.append(message(b"%d " % number))
    stage.writer.run()
    stream.append(message(b"5 "))  # not on disc
    assert stream.last_chunk_offset == 3
    _, stream = reopened(stage)
    assert stream.last_chunk_offset == 3


def test_a_deleted_stream_leaves_nothing(stage: Stage) -> None:
    stream = stage.store.stream(7)
    fill(stage, stream, 0, 3)
    stream.append(message(b"3 "))
    stream.delete()
    stage.writer.run()
    assert not stream._directory.exists()
    assert stage.store.durable_batch == 4
    new = stage.store.stream(7)
    assert new.next_offset == 0
    assert offsets(new) == []


def test_a_stream_that_no_queue_has_is_deleted_at_the_start(stage: Stage) -> None:
    for queue_id in (7, 8):
        fill(stage, stage.store.stream(queue_id), 0, 1)
    again, stream = reopened(stage)
    assert offsets(stream) == [0]
    assert [path.name for path in again.path.with_suffix(".streams").iterdir()] == [f"{7:016x}"]


# discs that fail


def test_a_write_that_fails_is_done_again(stage: Stage) -> None:
    stream = stage.store.stream(7)
    fill(stage, stream, 0, 2)
    stage.writer.failures.extend([FULL] * 3)
    stream.append(message(b"2 "))
    stage.store.append(1, message(b"row"))
    for _ in range(2):
        stage.writer.step()
    assert (stage.store.durable_batch, stream.next_offset) == (2, 2)
    assert stage.troubles == ["[Errno 28] No space left on device"]
    stream.append(message(b"3 "))
    stage.writer.run()
    assert stage.troubles[-1] is None
    assert (stage.store.durable_batch, offsets(stream)) == (4, [0, 1, 2, 3])
    again, stream = reopened(stage)
    assert offsets(stream) == [0, 1, 2, 3]
    assert len(again.store.ledger.rows) == 1


def test_rows_that_fail_after_the_files_keep_both(stage: Stage) -> None:
    stream = stage.store.stream(7)
    stream.append(message(b"0 "))
    stage.store.append(1, message(b"row"))
    while stream.next_offset == 0:
        stage.writer.step()
    assert stage.store.durable_batch == 0
    stage.writer.failures.append(sqlite3.OperationalError("database or disk is full"))
    stage.writer.run()
    assert stage.store.durable_batch == 1
    assert offsets(stream) == [0]


def test_streams_wait_for_metadata(stage: Stage) -> None:
    stage.barrier = False
    stream = stage.store.stream(7)
    stream.append(message(b"0 "))
    for _ in range(6):
        stage.writer.step()
    assert not stream._directory.exists()
    stage.barrier = True
    stage.writer.run()
    assert offsets(stream) == [0]


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"chnk" + bytes(28), b"x"])
def test_what_is_no_chunk_at_the_end_is_cut_off(stage: Stage, garbage: bytes) -> None:
    stream = stage.store.stream(7)
    fill(stage, stream, 0, 3)
    path = stream._segments[-1].path
    with path.open("ab") as file:
        file.write(garbage)
    again, stream = reopened(stage)
    fill(again, stream, 3, 1)
    _, stream = reopened(again, "z")
    assert offsets(stream) == [0, 1, 2, 3]


@pytest.mark.parametrize("index", [None, b"", b"short", b"\xff" * 48])
def test_an_index_is_a_hint(
    stage: Stage, index: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "STREAM_INDEX_STEP_BYTES", 500)
    stream = stage.store.stream(7)
    stream.keep(None, None, 2500)
    fill(stage, stream, 0, 20, size=300)
    for path in stream._directory.glob("*.index"):
        if index is None:
            path.unlink()
        else:
            path.write_bytes(index)
    again, stream = reopened(stage)
    assert offsets(stream) == list(range(20))
    assert stream.offset_of(again.wall_ms + 1) == 20
    fill(again, stream, 20, 5, size=300)
    _, stream = reopened(again, "z")
    assert offsets(stream) == list(range(25))


@pytest.mark.parametrize("torn", [b"", b"mqd", segment.FILE_HEAD, segment.FILE_HEAD + b"chnk"])
def test_a_segment_that_a_full_disc_gave_no_chunk_is_written_anew(
    stage: Stage, torn: bytes
) -> None:
    stream = stage.store.stream(7)
    stream.keep(None, None, 1000)
    fill(stage, stream, 0, 4, size=300)
    path = stream._directory / f"{4:020d}.segment"
    path.write_bytes(torn)
    again, stream = reopened(stage)
    path = stream._directory / path.name
    assert path.stat().st_size == 0  # nothing was written: there may be no room
    assert (offsets(stream), stream.next_offset) == ([0, 1, 2, 3], 4)
    assert stream.last_chunk_offset == 3
    for _ in range(2):
        again, stream = reopened(again, f"{again.path.stem}z")
        stream.keep(None, None, 1000)
        fill(again, stream, stream.next_offset, 1, size=300)
    assert [each.first for each in stream._segments][-1] == 4
    _, stream = reopened(again, "end")
    assert offsets(stream) == list(range(6))


@pytest.mark.parametrize("rolls", [False, True])
def test_what_the_index_lacks_comes_with_the_next_write(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, rolls: bool
) -> None:
    monkeypatch.setattr(segment, "STREAM_INDEX_STEP_BYTES", 500)
    stream = stage.store.stream(7)
    fill(stage, stream, 0, 10, size=300)
    index = stream._segments[0].index_path
    whole = index.read_bytes()
    assert len(whole) > 2 * segment.ENTRY_BYTES
    index.write_bytes(whole[: segment.ENTRY_BYTES] + b"torn")
    again, stream = reopened(stage)
    index = stream._segments[0].index_path
    assert index.read_bytes() == whole[: segment.ENTRY_BYTES]
    stream.keep(None, None, 1000 if rolls else None)
    fill(again, stream, 10, 1, size=300)
    assert len(stream._segments) == 1 + rolls
    assert index.read_bytes()[: len(whole)] == whole
    assert offsets(stream) == list(range(11))


def test_readers_skip_what_is_damaged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(segment, "STREAM_INDEX_STEP_BYTES", 1000)
    stream = stage.store.stream(7)
    fill(stage, stream, 0, 20, size=300)
    path = stream._segments[-1].path
    data = bytearray(path.read_bytes())
    place = stream._index.places[2] + 100
    data[place] ^= 0xFF
    path.write_bytes(data)
    _, stream = reopened(stage)
    hole = range(stream._index.firsts[2], stream._index.firsts[3])
    with caplog.at_level(logging.ERROR):
        assert offsets(stream) == [each for each in range(20) if each not in hole]
        offsets(stream)
    assert caplog.text.count("is damaged, readers skip a part") == 1


def test_a_newer_format_is_refused(stage: Stage) -> None:
    stream = stage.store.stream(7)
    fill(stage, stream, 0, 1)
    path = stream._segments[-1].path
    path.write_bytes(b"mqdstrm\x02" + path.read_bytes()[8:])
    with pytest.raises(MqdError, match="has format 2, this mqd knows format 1"):
        reopened(stage)


# the bytes of version 1, for ever: one chunk of two messages from offset 7 on
CHUNK_1 = bytes.fromhex(
    "63686e6b12e7789e2b0000000200000007000000000000000500000000000000"
    "01020000020000000000000000000000010001000000030000000001710200000001000000010000006162"
)


def test_version_1_is_read_and_written() -> None:
    [found] = segment.chunks(CHUNK_1, whole=True)
    assert (found.first, found.count, found.wall_ms) == (7, 2, 5)
    messages = segment.messages_of(CHUNK_1, found)
    assert [(m.content, m.persistent) for m in messages] == [(b"a", True), (b"b", False)]
    assert segment.pack_chunk(7, 5, messages) == CHUNK_1
    for at in range(4, len(CHUNK_1)):
        damaged = bytearray(CHUNK_1)
        damaged[at] ^= 1
        assert not list(segment.chunks(bytes(damaged), whole=True))


# memory


def test_pages_used_last_are_kept() -> None:
    pages = Pages(1000)
    for first in range(10):
        pages.put(1, Page(first, [message(bytes(100))]))
        assert pages.get(1, 0) is not None
    assert pages.bytes <= 1000
    assert pages.get(1, 1) is None
    assert pages.get(1, 9) is not None
    pages.forget(1)
    assert pages.bytes == 0


def test_a_long_stream_costs_no_memory(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.streams.pages, "_bytes_max", 20_000)
    monkeypatch.setattr(segment, "STREAM_INDEX_STEP_BYTES", 2000)
    stream = stage.store.stream(7)
    stream.keep(None, None, 20_000)
    fill(stage, stream, 0, 300, size=300)
    assert offsets(stream) == list(range(300))
    assert stage.streams.pages.bytes <= 20_000
