"""The streams of one vhost: append-only segment files in a folder for each (DESIGN §3).

Decides which bytes go where, when a segment is closed, which segments are old or many enough to go,
and what a reader finds at an offset. Never decides when anything is written: the vhost's store
takes what gathered when it begins a batch, has the writer thread write and sync it before the
batch's rows, and says when that is done (`mqd.storage.messages`). So publisher confirms of streams
and queues wait for the same batch.

Nobody sees a message before it is on disc: an offset that a reader was told stays that message's.
What the store takes is laid out at once, offsets, files and places, so a write that failed is
simply done again.

Reading is synchronous, a block of some 128 KiB at a time that all readers share; what was written
last is there without reading.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mqd.broker.message import Message
from mqd.errors import ErrorCode, MqdError
from mqd.limits import (
    STREAM_CACHE_BYTES,
    STREAM_CHUNK_BYTES_MAX,
    STREAM_CHUNK_MESSAGES_MAX,
    STREAM_SEGMENT_BYTES,
)
from mqd.storage import segment as segments
from mqd.storage.appends import Write, make_fit
from mqd.storage.format import Damaged
from mqd.storage.pages import Page, Pages
from mqd.storage.segment import FILE_HEAD, Index, Segment
from mqd.storage.writer import Writer

log = logging.getLogger(__name__)


class StreamFiles:
    """See `mqd.broker.ports.StreamLog`. Lives on the loop's thread, what it hands out aside."""

    def __init__(self, streams: Streams, queue_id: int, directory: Path) -> None:
        self.on_growth: Callable[[], None] = lambda: None
        self.deleted = False
        self._streams = streams
        self._queue_id = queue_id
        self._directory = directory
        self._bytes_max: int | None = None
        self._age_max_s: int | None = None
        self._segment_bytes = STREAM_SEGMENT_BYTES
        self._pending: list[Message] = []
        self._written: list[Message] = []  # being written
        self._segments: list[Segment] = []
        self._index = Index()  # of the last segment, with what is being written to it
        self._indexed = 0  # entries of it that are on disc
        self._old_index: tuple[Segment, Index] | None = None  # of the closed one read last
        self.next_offset = 0
        self._open()

    def _open(self) -> None:
        names = sorted(self._directory.glob("*.segment")) if self._directory.is_dir() else []
        for path in names:
            found = Segment(int(path.stem), path)
            with path.open("rb") as file:
                head = file.read(len(FILE_HEAD))
            if head != FILE_HEAD and head[:7] == FILE_HEAD[:7]:
                raise MqdError(
                    ErrorCode.PRECONDITION_FAILED,
                    f"stream segment {path} has format {head[7]}, this mqd knows format 1: start "
                    "the newer mqd that wrote it",
                )
            self._segments.append(found)
        for closed in self._segments[:-1]:
            segments.close(closed)
        if self._segments:
            last = self._segments[-1]
            self._index, self.next_offset = segments.recover(last)
            self._indexed = make_fit(last, self._index)
            if not last.last_wall_ms and len(self._segments) > 1:
                last.last_wall_ms = self._segments[-2].last_wall_ms

    @property
    def first_offset(self) -> int:
        return self._segments[0].first if self._segments else 0

    @property
    def bytes(self) -> int:
        """On disc."""
        return sum(each.size for each in self._segments)

    # -- writing ------------------------------------------------------------------------------

    def append(self, message: Message) -> int:
        if not self._pending:
            self._streams.has_news(self)
        self._pending.append(message)
        self._streams.gathered_count += 1
        return self._streams.batch()

    def take(self) -> list[Write]:
        """Lay out what gathered: the store begins a batch."""
        messages, self._pending = self._pending, []
        self._written = messages
        writes: list[Write] = []
        segment = self._segments[-1] if self._segments else None
        index = self._index
        size = len(FILE_HEAD)
        wall_ms = self._streams.wall_ms()
        if segment is not None:
            size = segment.size
            wall_ms = max(wall_ms, segment.last_wall_ms)  # the clock may have been set back
            writes.append(self._write_on(segment))
        offset = self.next_offset
        for run in _runs(messages):
            if segment is None or (size >= self._segment_bytes and size > len(FILE_HEAD)):
                segment = Segment(offset, self._directory / f"{offset:020d}.segment")
                size = len(FILE_HEAD)
                index = Index()
                writes.append(Write(segment, index, 0, is_new=True))
            write = writes[-1]
            if index.wants(size):
                index.add(offset, wall_ms, size)
                write.entries_to += 1
            data = segments.pack_chunk(offset, wall_ms, run)
            write.parts.append(data)
            size += len(data)
            offset += len(run)
            write.end = size
            write.first_wall_ms = write.first_wall_ms or wall_ms
            write.last_wall_ms = wall_ms
        return [write for write in writes if write.parts or write.entries_to > write.entries_from]

    def _write_on(self, segment: Segment) -> Write:
        """To the last segment, with what its index lacks."""
        is_new = not len(self._index)
        write = Write(segment, self._index, 0 if is_new else segment.size, is_new)
        write.entries_from, write.entries_to = self._indexed, len(self._index)
        write.first_wall_ms, write.last_wall_ms = segment.first_wall_ms, segment.last_wall_ms
        write.end = segment.size
        return write

    def done(self, writes: Sequence[Write]) -> None:
        """That is on disc now."""
        messages, self._written = self._written, []
        rolled = False
        for write in writes:
            if not self._segments or write.segment is not self._segments[-1]:
                rolled = bool(self._segments)
                self._segments.append(write.segment)
            write.segment.size = write.end
            write.segment.first_wall_ms = write.segment.first_wall_ms or write.first_wall_ms
            write.segment.last_wall_ms = write.last_wall_ms
            self._index, self._indexed = write.index, write.entries_to
        self._streams.pages.put(self._queue_id, Page(self.next_offset, messages))
        self.next_offset += len(messages)
        if rolled:
            self._retain()
        self.on_growth()

    # -- retention ----------------------------------------------------------------------------

    def keep(self, bytes_max: int | None, age_max_s: int | None, segment_bytes: int | None) -> None:
        self._segment_bytes = STREAM_SEGMENT_BYTES if segment_bytes is None else segment_bytes
        self._bytes_max = bytes_max
        self._age_max_s = age_max_s
        self._retain()

    def _retain(self) -> None:
        """Let closed segments go that are too old, or too many bytes with those behind them."""
        total = self.bytes
        oldest_ms = 0
        if self._age_max_s is not None:
            oldest_ms = self._streams.wall_ms() - 1000 * self._age_max_s
        gone: list[Segment] = []
        for each in self._segments[:-1]:
            too_much = self._bytes_max is not None and total > self._bytes_max
            if not too_much and each.last_wall_ms >= oldest_ms:
                break
            gone.append(each)
            total -= each.size
        if not gone:
            return
        del self._segments[: len(gone)]
        self._old_index = None
        paths = [path for each in gone for path in (each.path, each.index_path)]
        self._streams.unlink(paths)

    def delete(self) -> None:
        """The queue is gone, and all its messages with it."""
        self.deleted = True
        self._pending = []
        self._streams.delete(self._queue_id, self._directory)

    # -- reading ------------------------------------------------------------------------------

    def read(self, offset: int) -> Page | None:
        """A page that holds that offset, or else begins with the first one after it."""
        offset = max(offset, self.first_offset)
        pages = self._streams.pages
        while offset < self.next_offset:
            page = pages.get(self._queue_id, offset)
            if page is not None:
                return page
            found, following = self._read(offset)
            if found is not None:
                return found
            offset = max(following, self.first_offset)
        return None

    def _read(self, offset: int) -> tuple[Page | None, int]:
        """The page from disc; when it is damaged None, and where to go on instead."""
        at = bisect_right(self._segments, offset, key=lambda each: each.first) - 1
        segment = self._segments[at]
        after = self._segments[at + 1].first if at + 1 < len(self._segments) else self.next_offset
        index = self._index_of(segment)
        if not len(index):
            self._damaged(segment, "it has no chunk that can be read")
            return None, after
        block = index.block_of(offset)
        following = index.firsts[block + 1] if block + 1 < len(index) else after
        first = index.firsts[block]
        pages = self._streams.pages
        page = pages.get(self._queue_id, first)
        if page is None or page.end <= offset:
            try:
                page = self._load(segment, index, block)
            except FileNotFoundError:
                return None, after  # gone while a retention is under way
            except (OSError, Damaged) as error:
                self._damaged(segment, str(error))
                return None, following
            if page.messages:
                pages.put(self._queue_id, page)
        if page.end <= offset:
            self._damaged(segment, f"nothing can be read from offset {page.end} on")
            return None, following
        return page, following

    def _load(self, segment: Segment, index: Index, block: int) -> Page:
        start, end = index.span(block, segment.size)
        data = segments.read_block(segment.path, start, min(end, segment.size))
        messages: list[Message] = []
        first = index.firsts[block]
        for chunk in segments.chunks(data, whole=True):
            if chunk.first != first + len(messages):
                break
            messages += segments.messages_of(data, chunk)
        return Page(first, messages)

    def _index_of(self, segment: Segment) -> Index:
        if segment is self._segments[-1]:
            return self._index
        if self._old_index is None or self._old_index[0] is not segment:
            self._old_index = (segment, segments.load_index(segment))
        return self._old_index[1]

    def _damaged(self, segment: Segment, what: str) -> None:
        if segment.path not in self._streams.reported:
            self._streams.reported.add(segment.path)
            log.error("stream segment %s is damaged, readers skip a part: %s", segment.path, what)

    def offset_of(self, wall_ms: int) -> int:
        """The first message that came at that time or later."""
        for segment in self._segments:
            if segment.last_wall_ms < wall_ms:
                continue
            index = self._index_of(segment)
            start, _ = index.span(index.block_before(wall_ms), segment.size)
            data = segments.read_block(segment.path, start, segment.size)
            for chunk in segments.chunks(data, whole=False):
                if chunk.wall_ms >= wall_ms:
                    return chunk.first
        return self.next_offset

    @property
    def segment_count(self) -> int:
        return len(self._segments)

    @property
    def last_chunk_offset(self) -> int:
        """The first message of those that were written last in one go."""
        if self.next_offset <= self.first_offset:
            return self.next_offset
        segment = next(each for each in reversed(self._segments) if each.first < self.next_offset)
        last = segment.first
        index = self._index_of(segment)
        start, _ = index.span(index.block_of(self.next_offset - 1), segment.size)
        data = segments.read_block(segment.path, start, segment.size)
        for chunk in segments.chunks(data, whole=False):
            last = chunk.first
        return last


def _runs(messages: list[Message]) -> Iterator[list[Message]]:
    """Cut to what goes into one chunk."""
    start = size = 0
    for at, message in enumerate(messages):
        size += len(message.content)
        if at > start and (
            size > STREAM_CHUNK_BYTES_MAX or at - start >= STREAM_CHUNK_MESSAGES_MAX
        ):
            yield messages[start:at]
            start, size = at, len(message.content)
    if start < len(messages):
        yield messages[start:]


class Streams:
    """All streams of one vhost. `wake`: there is something to write; `batch`: that gathers now."""

    def __init__(self, directory: Path, writer: Writer, wall_ms: Callable[[], int]) -> None:
        self.pages = Pages(STREAM_CACHE_BYTES)
        self.wall_ms = wall_ms
        self.wake: Callable[[], None] = lambda: None
        self.batch: Callable[[], int] = lambda: 0
        self.reported: set[Path] = set()
        self._directory = directory
        self._writer = writer
        self._logs: dict[int, StreamFiles] = {}
        self._news: list[StreamFiles] = []
        self.gathered_count = 0  # messages that wait to be taken
        self._doomed: list[Path] = []  # files to be deleted
        self._taken: list[tuple[StreamFiles, list[Write]]] = []

    def open(self, queue_id: int) -> StreamFiles:
        """The stream of that queue, as it was left. Raises MqdError when it cannot be used."""
        found = self._logs.get(queue_id)
        if found is None:
            directory = self._directory / f"{queue_id:016x}"
            try:
                found = self._logs[queue_id] = StreamFiles(self, queue_id, directory)
            except OSError as error:
                raise MqdError(
                    ErrorCode.UNAVAILABLE,
                    f"stream in {directory} cannot be used: {error}; check its owner and mode",
                ) from error
        return found

    def has_news(self, stream: StreamFiles) -> None:
        self._news.append(stream)
        self.wake()

    def __bool__(self) -> bool:
        """Whether there is something to write."""
        return bool(self._news)

    def take(self) -> bool:
        """Lay out what gathered; returns whether there is any of it."""
        news, self._news = self._news, []
        self.gathered_count = 0
        self._taken = [(each, each.take()) for each in news if not each.deleted]
        return bool(self._taken)

    def write(self) -> None:
        """On the writer thread: what was taken is on disc on return."""
        for stream, writes in self._taken:
            for write in writes:
                if not stream.deleted:
                    write.run()

    def written(self) -> None:
        """It is: readers may have it."""
        taken, self._taken = self._taken, []
        for stream, writes in taken:
            if not stream.deleted:
                stream.done(writes)

    def unlink(self, paths: Sequence[Path]) -> None:
        """Delete files, those first that could not be deleted before: a restart that finds an old
        segment and not the one behind it would show a stream with a hole."""
        self._doomed += paths
        doomed = list(self._doomed)

        def job() -> None:
            for path in doomed:
                path.unlink(missing_ok=True)

        def done(result: object, error: BaseException | None) -> None:
            _report(result, error)
            if error is None:
                self._doomed = [path for path in self._doomed if path not in doomed]

        self._writer.submit(job, done)

    def delete(self, queue_id: int, directory: Path) -> None:
        self._logs.pop(queue_id, None)
        self.pages.forget(queue_id)
        self._writer.submit(lambda: remove_folder(directory), _report)

    def drop_unknown(self) -> None:
        """Streams that nobody opened: the node died while it deleted them."""
        if not self._directory.is_dir():
            return
        known = {f"{queue_id:016x}" for queue_id in self._logs}
        for path in self._directory.iterdir():
            if path.name not in known:
                log.info("deleting stream %s: its queue is gone", path)
                remove_folder(path)


def remove_folder(directory: Path) -> None:
    """With all that is in it; one that is not there is removed already."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)


def _report(_result: object, error: BaseException | None) -> None:
    if error is not None:
        log.error("files of a stream could not be deleted: %s", error)
