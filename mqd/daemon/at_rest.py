"""A member's metadata while its app does not run: looked at, given to a member, had from one.

Theory. Who is named to order changes may know fewer than a member that follows it: its disc was
restored from a backup, or lost its tail (`mqd.cluster.membership.start`). Nobody orders then, so
what the other one has is taken over as a whole. That one may wait for the first to run, or be
stopped: its file is closed, and opened for a moment.

Decides when the file may be opened: by one at a time, and never beside the app. Never decides whose
metadata counts.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path

from mqd.errors import ErrorCode, MqdError
from mqd.limits import METADATA_COPY_BYTES_MAX
from mqd.metadata.machine import State
from mqd.metadata.store import MetadataStore

Copy = tuple[int, bytes]  # the number of its last command, and lines, compressed


class AtRest:
    """Of the file at that path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opening = asyncio.Lock()

    async def look(self) -> tuple[State, int] | None:
        """What it has, to which number; None: there is none."""
        async with self._opening:
            if not await asyncio.to_thread(self._path.exists):
                return None
            store = MetadataStore.open(self._path)
            await store.close()
            return store.state, store.last_number

    async def give(self, may_open: Callable[[], bool]) -> Copy:
        """All of it. may_open: the app does not have it open, nor will before long. Raises
        MqdError."""
        async with self._opening:
            if not may_open() or not self._path.exists():
                raise MqdError(ErrorCode.UNAVAILABLE, "its metadata cannot be read at the moment")
            store = MetadataStore.open(self._path)
            try:
                return await given(store)
            finally:
                await store.close()

    async def take(self, copy: Copy) -> None:
        """This in place of what is there. Raises MqdError."""
        number, packed = copy
        unpack = zlib.decompressobj()
        lines = unpack.decompress(packed, METADATA_COPY_BYTES_MAX)
        if not unpack.eof:
            raise MqdError(ErrorCode.UNAVAILABLE, "what was sent is too much, or cut off")
        async with self._opening:
            store = MetadataStore.open(self._path)
            is_written = False
            try:
                store.load_snapshot(number, lines.decode().splitlines())
            finally:
                is_written = await store.close()
            if not is_written:
                raise MqdError(ErrorCode.UNAVAILABLE, f"{self._path} cannot be written")

    async def left(self) -> None:
        """Returns when nobody has it open here."""
        async with self._opening:
            pass


async def given(store: MetadataStore) -> Copy:
    """All of an open one."""
    made: asyncio.Future[Copy] = asyncio.get_running_loop().create_future()
    store.with_snapshot(lambda number, lines: made.set_result((number, lines)))
    number, lines = await made
    return number, await asyncio.to_thread(zlib.compress, lines, 1)
