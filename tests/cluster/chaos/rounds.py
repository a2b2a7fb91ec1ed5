"""A cluster, its witnesses and its faults, round after round.

Decides what a round is: work, a fault, all well again, everything counted. Whether what was counted
is right is the witness's affair.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster.chaos.actors import (
    AGAIN_S,
    ANSWER_S,
    Consumer,
    Hardship,
    Publisher,
    Scene,
    connect,
)
from tests.cluster.chaos.discs import Disc
from tests.cluster.chaos.faults import Faults, Trouble
from tests.cluster.chaos.history import Behind, History
from tests.cluster.chaos.late import late
from tests.cluster.chaos.metadata import REGISTER, Clerk, compare
from tests.cluster.chaos.queue_check import check
from tests.cluster.chaos.register_check import wrong
from tests.cluster.chaos.sampled import QUEUE as SAMPLED
from tests.cluster.chaos.sampled import Sampler, take
from tests.cluster.chaos.witness import Witness
from tests.cluster.trio import Member, Trio
from tests.fault.crash_link import RefusedError

QUORUM = ("q0", "q1", "q2", "q3")
CLASSIC = ("c1", "c2", "c3")  # named after their homes
_HEALED_S = 90.0
_CONFIRMED_S = 30.0
_PATIENCE_S = 30.0
_WHOLE_S = 90.0
_CATCHES_UP_S = 3.0  # a member that is linked again
_EXTRA = """\
cluster_partition_handling = pause_minority
net_ticktime = 8
disk_free_limit.absolute = 1MB
"""


class Chaos:
    """Everything of one run. Use `play`."""

    def __init__(
        self, target: str, directory: Path, seed: int, faults: Sequence[str], *, cells: bool
    ) -> None:
        self.dice = random.Random(seed)
        self.trio = Trio(target, directory, cells=cells)
        self.disc = Disc(directory / "n2" / "mnesia", 1) if "disc" in faults else None
        for member in self.trio:
            member.configure(_EXTRA)
        self.witness = Witness([*QUORUM, *CLASSIC])
        self.history = History()
        self.behind: list[Behind] = []
        self.scene = Scene(self.trio.members, self.witness, random.Random(seed + 1))
        self.publishers = [Publisher(self.scene, member) for member in self.trio]
        self.consumers = [Consumer(self.scene, member) for member in self.trio]
        self.clerks = [Clerk(self.scene, member, self.history) for member in self.trio]
        self.samplers = [Sampler(self.scene, member, self.history) for member in self.trio]
        self.names = list(faults)
        self.done: Counter[str] = Counter()
        self.healed_s: list[float] = []
        self._faults = Faults(
            self.trio,
            self.dice,
            self.disc,
            give_up=self._on_loop(self._give_up),
            renew=self._on_loop(self._declare_async),
            quiet=self._on_loop(self._quiet),
            loud=self._on_loop(self._loud),
            give_up_copies=self._on_loop(self._give_up_copies),
            queues=(*QUORUM, SAMPLED),
        )
        self._gave_up_copies = False
        self._began = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        self.trio.end()
        if self.disc:
            self.disc.unmount()

    # -- what faults ask for, from their thread -----------------------------------------------

    def _on_loop(self, work: Callable[..., object]) -> Callable[..., None]:
        def call(*values: object) -> None:
            assert self._loop

            async def there() -> None:
                answer = work(*values)
                if asyncio.iscoroutine(answer):
                    await answer

            asyncio.run_coroutine_threadsafe(there(), self._loop).result(_WHOLE_S)

        return call

    def _give_up(self, index: int) -> None:
        self.witness.give_up(len(QUORUM) + index - 1)

    def _give_up_copies(self) -> None:
        for queue in range(len(QUORUM)):
            self.witness.give_up(queue)
        self._gave_up_copies = True

    async def _quiet(self) -> None:
        """Nothing unconfirmed, and a moment for the last follower."""
        self.scene.open.clear()
        await self._until(lambda: not self._owed_confirms(), _CONFIRMED_S)
        await asyncio.sleep(2.0)

    def _loud(self) -> None:
        self.scene.open.set()

    # -- a run --------------------------------------------------------------------------------

    async def play(self, rounds: int, quota: int, tell: Callable[[str], None]) -> None:
        """quota: messages that a round confirms at least. Raises Trouble when a node is ill."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.trio.start)
        await asyncio.to_thread(self.trio.await_whole)
        await self._declare_async()
        actors = [*self.publishers, *self.consumers, *self.clerks, *self.samplers]
        tasks = [asyncio.ensure_future(actor.run()) for actor in actors]
        try:
            for number in range(1, rounds + 1):
                tell(f"{number}: {await self._round(number, quota)}")
            await self._judge_history()
        finally:
            self.scene.over = True
            self.scene.open.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge_history(self) -> None:
        """Samplers rest (publishers do too, after a round); what is left comes out."""
        await asyncio.sleep(ANSWER_S if any(self._asked()) else 0)
        link = await connect(self.trio.members[0])
        link.unasked[0] = lambda _: None
        await link.open(2)
        while await take(link, self.history, "judge"):
            pass
        await link.close()
        sampled = [] if self._gave_up_copies else self.history.of(SAMPLED)
        for each in check(sampled, drained=True):
            self.witness.fail("history of a quorum queue", each)
        register = self.history.of(REGISTER)
        behind = [*self.behind, *late(self.trio.members)]
        for each in await asyncio.to_thread(wrong, register, behind):
            self.witness.fail("history of metadata", each)

    def _asked(self) -> list[bool]:
        """Of the last operations, whether they wait for an answer."""
        return [one.end is None for one in self.history.of(SAMPLED)[-3:]]

    async def _round(self, number: int, quota: int) -> str:
        began = self.witness.figures["confirmed"]
        broken = sum(self.witness.broken.values())
        self.scene.open.set()
        await asyncio.sleep(self.dice.uniform(0.2, 1.0))
        name = self.names[(number - 1) % len(self.names)]
        begun = time.monotonic()
        at = begun - self._began
        self._faults.behind = set()
        what = await asyncio.to_thread(self._faults.table[name])
        self.done[name] += 1
        healed = time.monotonic()
        await self._heal()
        healed_s = time.monotonic() - healed
        members = frozenset(self._faults.behind)
        self.behind.append(Behind(members, begun, time.monotonic() + _CATCHES_UP_S))
        self.healed_s.append(healed_s)
        self.scene.open.set()
        enough = began + quota
        if not await self._until(lambda: self.witness.figures["confirmed"] >= enough, _HEALED_S):
            got = self.witness.figures["confirmed"] - began
            self.witness.fail("stalled", f"round {number}: {got} of {quota} confirmed")
        await self._count(number)
        confirmed = self.witness.figures["confirmed"] - began
        news = sum(self.witness.broken.values()) - broken
        return (
            f"{name} ({what}) at {at:.1f} s; well after {healed_s:.1f} s; confirmed {confirmed}"
            + (f"; BROKEN {news}" if news else "")
        )

    async def _heal(self) -> None:
        for member in self.trio:
            if not member.alive:
                self.witness.fail("died by itself", member.name)
                member.launch()
        try:
            await asyncio.to_thread(self.trio.await_whole, _WHOLE_S)
        except TimeoutError as error:
            raise Trouble(str(error)) from error

    def _owed_confirms(self) -> int:
        return sum(publisher.owed for publisher in self.publishers)

    async def _until(self, true: Callable[[], bool], within_s: float) -> bool:
        """Within that time without progress in what is confirmed or acked."""
        figures = self.witness.figures
        last, end = -1, time.monotonic() + within_s
        while not true():
            now = figures["confirmed"] + figures["acked"] + figures["refused"]
            if now != last:
                last, end = now, time.monotonic() + within_s
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _count(self, number: int) -> None:
        """Publishers wait; consumers take all there is; nodes tell their metadata."""
        self.scene.open.clear()
        if not await self._until(lambda: not self._owed_confirms(), _CONFIRMED_S):
            self.witness.fail("never confirmed", f"round {number}: {self._owed_confirms()}")
            for publisher in self.publishers:
                publisher.hang_up()
        witness = self.witness
        if not await self._until(lambda: not any(witness.owed), _PATIENCE_S):
            await self._second_look(number)
        for each in await self._metadata_differs():
            witness.fail("metadata", f"round {number}: {each}")

    async def _second_look(self, number: int) -> None:
        """Consumers are renewed once; what does not come then is lost, or stuck in its queue."""
        for consumer in self.consumers:
            consumer.hang_up()
        witness = self.witness
        witness.figures["consumers renewed"] += 1
        owed = {name: n for name, n in zip(witness.queues, witness.owed, strict=True) if n}
        witness.fail("delivered only to new consumers", f"round {number}: {owed}")
        if await self._until(lambda: not any(witness.owed), _PATIENCE_S):
            return
        for queue, owed_now in enumerate(witness.owed):
            if owed_now:
                held = await self._depth(witness.queues[queue])
                example = witness.missing(queue)[:5]
                witness.fail(
                    "missing",
                    f"round {number}: {witness.queues[queue]} {owed_now}, holds {held}: {example}",
                )
                witness.lost(queue)

    async def _depth(self, queue: str) -> object:
        try:
            link = await connect(self.trio.members[0])
            link.unasked[0] = lambda _: None
            await link.open(1)
            async with asyncio.timeout(5):
                heard = await link.call(1, "queue.declare", queue=queue, passive=True)
            link.abort()
        except Hardship as error:
            return repr(error)
        return heard.values["message_count"], heard.values["consumer_count"]

    async def _metadata_differs(self) -> list[str]:
        """A node may be some moments behind the others, no longer."""
        end = time.monotonic() + 10
        while True:
            differs = await asyncio.to_thread(self._metadata)
            if not differs or time.monotonic() > end:
                return differs
            await asyncio.sleep(AGAIN_S)

    def _metadata(self) -> list[str]:
        try:
            definitions = {member.name: member.definitions() for member in self.trio}
        except RuntimeError as error:
            return [str(error)]
        return compare(self.clerks, definitions)

    # -- queues -------------------------------------------------------------------------------

    async def _declare_async(self) -> None:
        """What is not there yet: the quorum queues, and each classic one on its home."""
        for at, queue in enumerate((*QUORUM, SAMPLED)):
            await self._declare(self.trio.members[at % 3], queue, {"x-queue-type": ("S", "quorum")})
        for member, queue in zip(self.trio, CLASSIC, strict=True):
            await self._declare(member, queue, {})

    async def _declare(self, member: Member, queue: str, arguments: dict[str, object]) -> None:
        end = time.monotonic() + _HEALED_S
        while True:
            try:
                link = await connect(member)
                link.unasked[0] = lambda _: None
                await link.open(1)
                async with asyncio.timeout(20):
                    await link.call(
                        1, "queue.declare", queue=queue, durable=True, arguments=arguments
                    )
                await link.close()
                return
            except Hardship as error:
                if time.monotonic() > end:
                    why = f"{queue} cannot be declared on {member.name}: {error!r}"
                    raise Trouble(why) from (None if isinstance(error, RefusedError) else error)
            await asyncio.sleep(AGAIN_S)

    def report(self) -> str:
        done = ", ".join(f"{name} {count}" for name, count in self.done.items())
        changes = sum(clerk.changes for clerk in self.clerks)
        slowest = max(self.healed_s, default=0.0)
        return (
            f"faults: {done}; well again after {slowest:.1f} s at most; metadata changes "
            f"{changes}; operations recorded {len(self.history.operations)}; "
            f"{self.witness.report()}"
        )
