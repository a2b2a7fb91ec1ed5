"""Keeps the log of a shard short: what nobody needs any more goes.

Decides when, and in which order: what has to stay is permanent elsewhere before anything goes. What
goes is `index.plan`'s choice. Only the writer of a shard does this. One step at a time, so that
publishers hardly notice: a purge is an entry of the engine's own log too. When the engine does not
answer, the same is tried later: doing it twice does no harm, nor does a purge that reaches the
log after another node writes, because what it drops was garbage in the log as that node read it.

The last entry of a log never goes (`writer`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from mqd.broker.message import Message
from mqd.cluster.ports import Engine, NoMajority
from mqd.cluster.shards import records
from mqd.cluster.shards.index import Held
from mqd.cluster.shards.records import Epoch, Part, number_of
from mqd.cluster.shards.replay import subject_of
from mqd.cluster.shards.shard import QueueLog, Shard
from mqd.cluster.shards.writer import Frame, Phase
from mqd.storage.format import Damaged

log = logging.getLogger(__name__)

_PAUSE_S = 0.05  # between two steps
_RETRY_S = 1.0
_PARTS_COUNT = 64


class Upkeep:
    """Of one shard, while this node writes it."""

    def __init__(self, engine: Engine, shard: Shard) -> None:
        self._engine = engine
        self._shard = shard
        self._gone: list[int] = []  # queues that were deleted
        self._epoch = 0  # epochs before it are gone
        self._stirred = asyncio.Event()

    def deleted(self, queue_id: int) -> None:
        """The queue is no more: nor are its frames."""
        self._gone.append(queue_id)
        self._stirred.set()

    def stir(self) -> None:
        """There may be something to do."""
        if self._shard.fat or self._gone:
            self._stirred.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if self._shard.log.writer.epoch != self._epoch:
                await self._try(self._drop_epochs)
            await self._stirred.wait()
            self._stirred.clear()
            if self._gone:
                await self._try(self._drop_queues)
            while self._shard.fat:
                queue = next(iter(self._shard.fat))
                del self._shard.fat[queue]
                await self._try(partial(self.compact, queue))
                await asyncio.sleep(_PAUSE_S)

    async def _try(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except NoMajority as error:
            log.debug("%s: upkeep: %r", self._shard.name, error)
            await asyncio.sleep(_RETRY_S)
            self._stirred.set()

    # -- what is no queue's --------------------------------------------------------------------

    async def _drop_epochs(self) -> None:
        writer = self._shard.log.writer
        epoch = writer.epoch
        await self._engine.purge(
            self._shard.name, before=writer.first_of_epoch, subject=writer.epoch_subject
        )
        self._epoch = epoch

    async def _drop_queues(self) -> None:
        """All frames of queues that were deleted, and with them the last entry of the log, unless
        another comes behind it."""
        gone, self._gone = self._gone, []
        shard = self._shard
        try:
            end = await self._mark()
            for queue_id in gone:
                subject = subject_of(shard.name, queue_id)
                await self._engine.purge(shard.name, before=end, subject=subject)
        except NoMajority:
            self._gone += gone
            raise

    async def _mark(self) -> int:
        """The sequence of an entry that means nothing."""
        shard = self._shard
        writer = shard.log.writer
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        section = records.epoch_section(Epoch(writer.name, writer.window), 0)
        shard.log.offer(Frame(writer.epoch_subject, [section], _setter(future)))
        shard.log.send()
        return await future

    # -- a queue -------------------------------------------------------------------------------

    async def compact(self, queue: QueueLog, garbage_min: int | None = None) -> bool:
        """Let go of the frames that are not worth keeping; False when there are none."""
        shard = self._shard
        index = queue.state.index
        plan = index.plan(shard.fat_bytes if garbage_min is None else garbage_min)
        if plan is None or shard.log.writer.phase is not Phase.WRITING:
            return False
        messages: list[Message] = []
        for held in plan:
            if held.live:
                messages += await self._read(queue, held)
        if shard.queues.get(queue.state.id) is not queue:
            return False  # deleted meanwhile
        read = set(map(number_of, messages))
        missing = [n for held in plan for n in index.numbers_in(held) if n not in read]
        if missing:
            log.error(
                "%s: queue %d: %d messages are not where they were written",
                shard.name,
                queue.state.id,
                len(missing),
            )
            return False
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        shard.repeat(queue, messages, _setter(future))
        point = await future
        before = min(index.first_seq(len(plan)) or point, point)
        await self._engine.purge(shard.name, before=before, subject=queue.subject)
        index.dropped(len(plan))
        return True

    async def _read(self, queue: QueueLog, held: Held) -> Sequence[Message]:
        """The messages of a frame that are live."""
        parts: list[Part] = []
        seq = held.seq
        while True:
            entries = await self._engine.read(self._shard.name, seq, _PARTS_COUNT if parts else 1)
            if not entries:
                raise NoMajority(f"entry {seq} cannot be read")
            for entry in entries:
                seq = entry.seq + 1
                if entry.subject != queue.subject:
                    continue
                record = records.read(entry.data)
                if record.part is None:
                    live = set(queue.state.index.numbers_in(held))
                    found = record.enqueued or record.kept
                    if not parts and found:
                        return [message for message in found if number_of(message) in live]
                    continue
                parts.append(record.part)
                if len(parts) == record.part.count:
                    return [records.joined(parts)]
            if not parts:
                raise Damaged(f"entry {held.seq} is not the one that was written")


def _setter(future: asyncio.Future[int]) -> Callable[[int], None]:
    def landed(seq: int) -> None:
        if not future.done():
            future.set_result(seq)

    return landed
