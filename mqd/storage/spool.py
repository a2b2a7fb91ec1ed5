"""Scratch pages of a node: the `Spool` port over a file that has no name.

Decides where a page lies. Never outlives the process: the file is unlinked as it is made, so a
crash leaves nothing to clean up. Never fails for want of room: a page the disc does not take
stays in memory and `on_trouble` is told, so that publishers are held back.

Pages lie in blocks of 4 KiB. A page goes to the first gap it fits, else to the end; gaps that
touch become one; a gap at the end is cut off the file. Backlogs are written and read in order, so
gaps grow large and their list stays short.
"""

from __future__ import annotations

import logging
import os
import tempfile
from bisect import bisect_left, insort
from collections.abc import Callable
from pathlib import Path

from mqd.errors import ErrorCode, MqdError
from mqd.limits import SPOOL_BLOCK_BYTES

log = logging.getLogger(__name__)


class FileSpool:
    """See the module and `mqd.broker.ports.Spool`. Synchronous: the pages are in the page cache
    more often than not."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.on_trouble: Callable[[str | None], None] = lambda _text: None
        try:
            Path(directory).mkdir(parents=True, exist_ok=True, mode=0o750)
            self._fd, name = tempfile.mkstemp(prefix="spool-", dir=directory)
            os.unlink(name)
        except OSError as error:
            raise MqdError(
                ErrorCode.UNAVAILABLE,
                f"cannot create a spool file in {directory}: {error.strerror}; check the "
                "directory's owner and mode",
            ) from error
        self._blocks = 0  # of the file
        self._gaps: list[tuple[int, int]] = []  # (first block, blocks), in order, never touching
        self._pages: dict[int, tuple[int, int]] = {}  # handle to (first block, bytes)
        self._held: dict[int, bytes] = {}  # pages the disc did not take
        self._last_handle = 0

    @property
    def disc_bytes(self) -> int:
        """Size of the file."""
        return self._blocks * SPOOL_BLOCK_BYTES

    def write(self, page: bytes) -> int:
        self._last_handle += 1
        handle = self._last_handle
        first = self._allot(_blocks_of(len(page)))
        try:
            _write_all(self._fd, page, first * SPOOL_BLOCK_BYTES)
        except OSError as error:
            self._free(first, _blocks_of(len(page)))
            if not self._held:
                log.error("cannot page messages out: %s; they stay in memory", error.strerror)
                self.on_trouble(error.strerror)
            self._held[handle] = page
        else:
            self._pages[handle] = (first, len(page))
        return handle

    def take(self, handle: int) -> bytes:
        held = self._held.get(handle)
        if held is not None:
            self.drop(handle)
            return held
        page = self.read(handle, 0, self._pages[handle][1])
        self.drop(handle)
        return page

    def read(self, handle: int, start: int = 0, size: int | None = None) -> bytes:
        held = self._held.get(handle)
        if held is not None:
            return held[start:] if size is None else held[start : start + size]
        first, whole = self._pages[handle]
        size = whole - start if size is None else size
        data = os.pread(self._fd, size, first * SPOOL_BLOCK_BYTES + start)
        if len(data) != size:
            raise MqdError(ErrorCode.INTERNAL, "the spool file was cut off by someone else")
        return data

    def drop(self, handle: int) -> None:
        if handle in self._held:
            del self._held[handle]
            self._relieved()
            return
        first, size = self._pages.pop(handle)
        self._free(first, _blocks_of(size))

    def retry(self) -> bool:
        """Try to write the pages that are held in memory; returns whether none is left.

        For whoever watches the disc: publishers are held back, so no new page would find out.
        """
        for handle, page in list(self._held.items()):
            first = self._allot(_blocks_of(len(page)))
            try:
                _write_all(self._fd, page, first * SPOOL_BLOCK_BYTES)
            except OSError:
                self._free(first, _blocks_of(len(page)))
                return False
            self._pages[handle] = (first, len(page))
            del self._held[handle]
            self._relieved()
        return True

    def _relieved(self) -> None:
        if not self._held:
            log.info("no page is held in memory any more")
            self.on_trouble(None)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def _allot(self, blocks: int) -> int:
        for at, (first, length) in enumerate(self._gaps):
            if length >= blocks:
                if length == blocks:
                    del self._gaps[at]
                else:
                    self._gaps[at] = (first + blocks, length - blocks)
                return first
        first = self._blocks
        self._blocks += blocks
        return first

    def _free(self, first: int, blocks: int) -> None:
        at = bisect_left(self._gaps, (first, 0))
        if at < len(self._gaps) and self._gaps[at][0] == first + blocks:
            blocks += self._gaps.pop(at)[1]
        if at and sum(self._gaps[at - 1]) == first:
            first, before = self._gaps.pop(at - 1)
            blocks += before
        if first + blocks == self._blocks:
            self._blocks = first
            os.ftruncate(self._fd, first * SPOOL_BLOCK_BYTES)
        else:
            insort(self._gaps, (first, blocks))


def _blocks_of(size: int) -> int:
    return max(1, -(-size // SPOOL_BLOCK_BYTES))


def _write_all(fd: int, page: bytes, offset: int) -> None:
    done = os.pwrite(fd, page, offset)
    while done < len(page):  # a nearly full disc takes part of it before it refuses
        done += os.pwrite(fd, memoryview(page)[done:], offset + done)
