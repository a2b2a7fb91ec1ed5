"""One shard's log as its writer uses it: does what `writer` decides, by the engine.

Decides when the engine is asked and when again after it did not answer. Never decides what an
outcome means. While there is no majority it waits, for as long as it takes: nothing is lost by
waiting, and whoever publishes has no confirm until then.

The hot path is one future an append: up to a window of them are under way, sent in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from mqd.cluster.ports import Engine, Entry, LogInfo, NoMajority, Stale
from mqd.cluster.shards import records
from mqd.cluster.shards.writer import Append, Frame, Phase, Writer
from mqd.errors import MqdError
from mqd.storage.format import Damaged
from mqd.storage.writer import Backoff

log = logging.getLogger(__name__)

_READ_COUNT = 256
_LAG_S = 0.02  # before a copy that lags is read again, or fencing is tried again
_YIELD_S = 5.0  # how long somebody who leads the log has to fence it


class ShardLog:
    """See the file's charter. Ends by itself when its writer has lost, or by `close`.

    take(entry) is called with every entry until writing begins for the first time; then began();
    on_room() whenever frames have landed; on_lost() once, when nothing more will land. may_fence():
    whether nobody else seems to be about to; asked only after writing has begun.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        writer: Writer,
        take: Callable[[Entry], None],
        began: Callable[[], None],
        on_room: Callable[[], None],
        on_lost: Callable[[], None],
        may_fence: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self.writer = writer
        self._engine = engine
        self._take: Callable[[Entry], None] | None = take
        self._began = began
        self._on_room = on_room
        self._on_lost = on_lost
        self._may_fence = may_fence
        self._loop = asyncio.get_running_loop()
        self._stirred = asyncio.Event()
        self._idle: list[asyncio.Future[None]] = []
        self._closed = False
        self.offered = 0  # frames, ever
        self._main = self._loop.create_task(self._run(), name=f"writer of {name}")

    # -- the hot path -------------------------------------------------------------------------

    def offer(self, frame: Frame) -> None:
        """Append it; `send` follows in the same turn."""
        self.offered += 1
        self.writer.offer(frame)

    @property
    def landed(self) -> int:
        """How many of the frames that were offered are known to be permanent; in order."""
        return self.offered - self.writer.pending

    def send(self) -> None:
        """Hand the engine what there is room for."""
        for append in self.writer.appends():
            frame = append.frame
            data = records.seal(append.epoch, frame.sections)
            try:
                answer = self._engine.submit(frame.subject, data, after=append.after)
            except NoMajority:
                self._failed(append)
                return
            answer.add_done_callback(partial(self._answered, append))

    def _answered(self, append: Append, answer: asyncio.Future[int]) -> None:
        error = None if answer.cancelled() else answer.exception()
        if self._closed:
            return
        if answer.cancelled() or error is not None or answer.result() != append.after + 1:
            if self.writer.phase is Phase.WRITING:
                log.info("%s: an append behind %d: %r", self.name, append.after, error)
            self._failed(append)
            return
        self.writer.appended(append)
        self._news()

    def _failed(self, append: Append) -> None:
        self.writer.failed(append)
        self._stirred.set()

    def _news(self) -> None:
        """Something landed."""
        self.send()
        if not self._closed:
            self._on_room()
        if self._idle and not self.writer.pending:
            self._release()

    def _release(self) -> None:
        waiting, self._idle = self._idle, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    # -- everything else ----------------------------------------------------------------------

    async def _run(self) -> None:
        writer = self.writer
        while writer.phase is not Phase.LOST:
            if writer.phase is Phase.WRITING:
                await self._stirred.wait()
                self._stirred.clear()
            else:
                await self._catch_up()
        self._lost()

    async def _catch_up(self) -> None:
        """Read the log to its end and fence it, or lose."""
        backoff = Backoff()
        writer = self.writer
        yields_until = self._loop.time() + _YIELD_S
        while writer.phase in (Phase.CHECKING, Phase.FENCING):
            try:
                if writer.phase is Phase.CHECKING:
                    await self._check()
                elif (
                    self._take is None
                    and not self._may_fence()
                    and self._loop.time() < yields_until
                ):
                    writer.not_fenced()
                    await asyncio.sleep(_LAG_S)
                else:
                    await self._fence()
            except (NoMajority, MqdError) as error:
                log.debug("%s: %r", self.name, error)
                await asyncio.sleep(backoff.next_s())

    async def _check(self) -> None:
        writer = self.writer
        info = await self._engine.info(self.name)
        while not writer.reached(info.last_seq):
            entries = await self._engine.read(self.name, writer.position + 1, _READ_COUNT)
            if not entries and _is_only_copy(now := await self._engine.info(self.name)):
                # What a copy that was being made had got, before it became the only one, may end
                # before the number that it had heard of.
                writer.skip(now.last_seq)
                return
            if not entries:  # a copy that lags behind what the leader told
                await asyncio.sleep(_LAG_S)
                return
            for entry in entries:
                self._read(entry)
                if writer.phase is not Phase.CHECKING:
                    return

    def _read(self, entry: Entry) -> None:
        try:
            if self._take is not None:
                self._take(entry)
            self.writer.read(entry)
        except Damaged as error:
            log.error("%s: entry %d is not what was written: %s", self.name, entry.seq, error)

    async def _fence(self) -> None:
        writer = self.writer
        batch = writer.batch()
        try:
            last = await self._engine.append_all(
                self.name, writer.epoch_subject, batch, writer.position
            )
        except Stale:
            writer.not_fenced()
            await asyncio.sleep(_LAG_S)  # one that is cut off refuses for as long as it is
            return
        except NoMajority:
            writer.not_fenced()
            raise
        writer.fenced(last)
        if self._take is not None:
            self._take = None
            self._began()
        log.info("%s: writing epoch %d from %d on", self.name, writer.epoch, last + 1)
        self._news()

    def doubt(self) -> None:
        """Somebody else may be writing: look before going on."""
        self.writer.doubt()
        self._stirred.set()

    # -- the end ------------------------------------------------------------------------------

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all that was offered has landed; False when it did not in time."""
        if not self.writer.pending:
            return True
        done: asyncio.Future[None] = self._loop.create_future()
        self._idle.append(done)
        try:
            await asyncio.wait_for(done, timeout_s)
        except TimeoutError:
            return False
        return not self.writer.pending

    def close(self) -> None:
        """Write no more, and be told nothing more but what was lost."""
        if self.writer.phase is not Phase.LOST:
            self.writer.resign()
            self._main.cancel()
            self._lost()

    def _lost(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._release()
        self._on_lost()


def _is_only_copy(info: LogInfo) -> bool:
    """Whoever is asked, no copy lags behind another one."""
    return info.replicas == 1 and len(info.current) == 1 and not info.lags
