"""Who works on the cluster while it suffers: publishers and consumers on every node.

Decides what each does next, by a seeded generator, and tells the witness before it sends and after
it hears. Every actor belongs to one node, outlives it, and is back as soon as it is. Never judges.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.cluster.chaos.witness import Witness, body_of
from tests.cluster.trio import Member
from tests.fault.crash_link import FRAME_MAX, GoneError, Heard, Link, RefusedError
from tests.protocol import wire

ANSWER_S = 10.0
AGAIN_S = 0.3
_HELD_S = 0.05
_REQUEUED = 0.02
Hardship = (GoneError, RefusedError, TimeoutError, OSError)


class Wire(Link):
    """A link that says which channels the broker has closed, also when nobody waits there."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: dict[int, asyncio.Event] = {}

    def _method(self, heard: Heard) -> None:
        if heard.name == "channel.close" and heard.channel in self.closed:
            self.closed[heard.channel].set()
        super()._method(heard)

    async def open(self, channel: int) -> None:
        self.closed[channel] = asyncio.Event()
        await super().open(channel)


async def connect(member: Member) -> Wire:
    """A link that has logged in. Raises one of Hardship."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(ANSWER_S):
        _, link = await loop.create_connection(Wire, member.address, member.port)
        try:
            await link.login()
        except BaseException:
            link.abort()
            raise
    return link


@dataclass
class Scene:
    """What all actors share. open: set while publishers may publish; rate: messages a second that
    all of them publish at most, so that the witness keeps up with the brokers."""

    members: list[Member]
    witness: Witness
    dice: random.Random
    window: int = 200
    rate: float = 4000.0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False
    links: int = 0

    @property
    def lines(self) -> int:
        return len(self.members) * len(self.witness.queues)

    def number_of_link(self, name: str = "") -> int:
        self.links += 1
        if name:
            self.witness.names[self.links] = f"{name} #{self.links}"
        return self.links

    async def until_over(self, work: Callable[[], Awaitable[None]]) -> None:
        """Again and again, whatever the cluster does to it."""
        while not self.over:
            with contextlib.suppress(*Hardship):
                await work()
            await asyncio.sleep(AGAIN_S)


class Line:
    """One publisher's channel to one queue, in confirm mode."""

    def __init__(self, scene: Scene, link: Wire, channel: int, queue: int, node: str) -> None:
        self._scene = scene
        self._link = link
        self._channel = channel
        self._queue = queue
        self._number = scene.number_of_link(f"publisher on {node}")
        self._sequence = 0
        self._room = asyncio.Event()
        self.unconfirmed: deque[tuple[int, int]] = deque()
        name = scene.witness.queues[queue]
        values = {"exchange": "", "routing_key": name, "mandatory": True}
        header = wire.header_payload(len(body_of(0)), {"delivery_mode": 2})
        self._head = wire.frame(
            wire.FRAME_METHOD, channel, wire.method_payload("basic.publish", values)
        ) + wire.frame(wire.FRAME_HEADER, channel, header)

    async def run(self) -> None:
        """Until the link or the channel is gone."""
        await self._link.open(self._channel)
        await self._link.call(self._channel, "confirm.select")
        self._link.unasked[self._channel] = self._hear
        scene = self._scene
        while not scene.over:
            await scene.open.wait()
            count = scene.dice.randrange(1, 50)
            self._burst(count)
            await asyncio.sleep(count * scene.lines / scene.rate)
            await self._until_room(scene.dice.choice((0, 20, scene.window)))

    def _burst(self, count: int) -> None:
        parts = []
        for _ in range(count):
            number = self._scene.witness.sent(self._queue, self._number)
            self._sequence += 1
            self.unconfirmed.append((self._sequence, number))
            parts += [self._head, wire.body_frames(self._channel, body_of(number), FRAME_MAX)]
        self._link.write(b"".join(parts))

    async def _until_room(self, most: int) -> None:
        while len(self.unconfirmed) > most:
            if self._link.gone.done():
                raise GoneError
            if self._link.closed[self._channel].is_set():
                raise RefusedError(self._channel)
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), AGAIN_S)

    def _hear(self, heard: Heard) -> None:
        witness = self._scene.witness
        if heard.name == "basic.return":
            witness.refused(int(heard.body))
            return
        tag, many = heard.values["delivery_tag"], heard.values["multiple"]
        while self.unconfirmed and self.unconfirmed[0][0] <= tag and many:
            self._told(heard.name, self.unconfirmed.popleft()[1])
        if not many:
            for at, (sequence, number) in enumerate(self.unconfirmed):
                if sequence == tag:
                    del self.unconfirmed[at]
                    self._told(heard.name, number)
                    break
        self._room.set()

    def _told(self, name: str, number: int) -> None:
        if name == "basic.ack":
            self._scene.witness.confirmed(number)
        else:
            self._scene.witness.refused(number)


class Publisher:
    """On one node, to all queues: a channel each."""

    def __init__(self, scene: Scene, member: Member) -> None:
        self._scene = scene
        self._member = member
        self.lines: list[Line] = []
        self._link: Wire | None = None

    async def run(self) -> None:
        await self._scene.until_over(self._work)

    async def _work(self) -> None:
        await self._scene.open.wait()
        link = self._link = await connect(self._member)
        link.unasked[0] = _ignore
        try:
            async with asyncio.TaskGroup() as group:
                for queue in range(len(self._scene.witness.queues)):
                    group.create_task(self._publish(link, queue))
        except* Hardship:
            pass
        finally:
            link.abort()
            self.lines.clear()

    async def _publish(self, link: Wire, queue: int) -> None:
        """The end of a channel is not the end of the link."""
        channel = queue + 1
        while not link.gone.done():
            line = Line(self._scene, link, channel, queue, self._member.name)
            self.lines.append(line)
            try:
                await line.run()
            except RefusedError:
                await asyncio.sleep(AGAIN_S)
            finally:
                self.lines.remove(line)

    @property
    def owed(self) -> int:
        """How many confirms it waits for."""
        return sum(len(line.unconfirmed) for line in self.lines)

    def hang_up(self) -> None:
        if self._link is not None:
            self._link.abort()


class Consumer:
    """On one node, of all queues: a channel each, manual acks, one and many at a time."""

    def __init__(self, scene: Scene, member: Member) -> None:
        self._scene = scene
        self._member = member
        self._link: Wire | None = None

    async def run(self) -> None:
        await self._scene.until_over(self._work)

    def hang_up(self) -> None:
        if self._link is not None:
            self._link.abort()

    async def _work(self) -> None:
        link = self._link = await connect(self._member)
        link.unasked[0] = _ignore
        try:
            async with asyncio.TaskGroup() as group:
                for queue in range(len(self._scene.witness.queues)):
                    group.create_task(self._consume(link, queue))
        except* Hardship:
            pass
        finally:
            link.abort()

    async def _consume(self, link: Wire, queue: int) -> None:
        channel = queue + 1
        name = self._scene.witness.queues[queue]
        while not link.gone.done():
            serial = self._scene.number_of_link(f"consumer on {self._member.name}")
            try:
                await link.open(channel)
                prefetch = self._scene.dice.choice((1, 10, 50, 200))
                reader = Reader(self._scene, link, channel, queue, serial, prefetch)
                await link.call(channel, "basic.qos", prefetch_count=prefetch)
                await link.call(channel, "basic.consume", queue=name, consumer_tag=f"c{serial}")
                await reader.until_cancelled()
                await link.call(channel, "channel.close", reply_code=200)
            except RefusedError:  # of a queue whose home is away, for example
                pass
            await asyncio.sleep(AGAIN_S)


class Reader:
    """One consumer's channel: hands deliveries to the witness, acks one or many at a time."""

    def __init__(
        self, scene: Scene, link: Wire, channel: int, queue: int, serial: int, prefetch: int
    ) -> None:
        self._scene = scene
        self._link = link
        self._channel = channel
        self._queue = queue
        self._serial = serial
        # Fewer than the prefetch: a consumer must not wait for what it keeps from coming.
        self._most = max(1, min(prefetch // 2, scene.dice.choice((1, 1, 5, 20))))
        self._held: list[int] = []
        self._last_tag = 0
        self._cancelled = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        link.unasked[channel] = self._hear

    async def until_cancelled(self) -> None:
        """By the broker, or its channel is closed. Raises GoneError, RefusedError."""
        closed = self._link.closed[self._channel]
        watched = [asyncio.ensure_future(event.wait()) for event in (self._cancelled, closed)]
        try:
            await asyncio.wait((*watched, self._link.gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in watched:
                each.cancel()
        if self._link.gone.done():
            raise GoneError
        if closed.is_set():
            raise RefusedError(self._channel)

    def _hear(self, heard: Heard) -> None:
        if heard.name == "basic.cancel":
            self._cancelled.set()
        if heard.name != "basic.deliver":
            return
        values, witness = heard.values, self._scene.witness
        number = witness.received(self._queue, heard.body, values["redelivered"], self._serial)
        if number is None:
            return
        tag = values["delivery_tag"]
        if self._scene.dice.random() < _REQUEUED:
            with contextlib.suppress(GoneError):
                self._link.send(self._channel, "basic.nack", delivery_tag=tag, requeue=True)
            return
        self._held.append(number)
        self._last_tag = tag
        if len(self._held) >= self._most:
            self._ack()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_HELD_S, self._ack)

    def _ack(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._link.gone.done() or self._link.closed[self._channel].is_set() or not self._held:
            return
        held, self._held = self._held, []
        for number in held:
            self._scene.witness.acking(number)
        with contextlib.suppress(GoneError):
            self._link.send(
                self._channel, "basic.ack", delivery_tag=self._last_tag, multiple=len(held) > 1
            )


def _ignore(_: Heard) -> None:
    """connection.blocked and its end: what is not confirmed is waited for all the same."""
