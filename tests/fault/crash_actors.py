"""Who works on the broker while it is killed: a publisher, a transaction, a consumer, a getter.

Decides what each of them does next, by a seeded generator, and reports to the witness before it
sends and after it hears. Never judges. Every actor runs until its link is gone.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from tests.fault.crash_link import Confirmed, GoneError, Heard, Link, RefusedError, connect, message
from tests.fault.crash_witness import Copy, Witness

QUEUES = ("a", "b", "c", "f1", "f2")
_ROUTES: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # exchange, key, queues
    ("", "a", ("a",)),
    ("", "b", ("b",)),
    ("fan", "", ("f1", "f2")),
    ("front", "to.all", ("f1", "f2")),  # over a binding of exchange to exchange
    ("pick", "ab", ("a", "b")),
)


@dataclass
class Scene:
    """Where a round takes place. heavy: bodies are large, so that the store has to checkpoint,
    rewrite and shrink its file while it is killed."""

    port: int
    witness: Witness
    dice: random.Random
    heavy: bool = False
    links: list[Link] = field(default_factory=list)

    async def connect(self) -> Link:
        link = await connect(self.port)
        self.links.append(link)
        return link

    def size(self) -> int:
        """Mostly small; sometimes more than a frame, sometimes more than a commit's pages."""
        draw = self.dice.random()
        if self.heavy and draw < 0.9:
            return self.dice.randrange(0, 40_000)
        if draw < 0.9:
            return self.dice.randrange(0, 600)
        return self.dice.randrange(0, 8000) if draw < 0.995 else self.dice.randrange(0, 400_000)


async def declare(scene: Scene) -> None:
    """What all rounds use; declared once, it has to stay."""
    link = await connect(scene.port)
    await link.open(1)
    for queue in QUEUES:
        await link.call(1, "queue.declare", queue=queue, durable=True)
    for name, kind in (("fan", "fanout"), ("front", "topic"), ("pick", "direct")):
        await link.call(1, "exchange.declare", exchange=name, type=kind, durable=True)
    for queue in ("f1", "f2"):
        await link.call(1, "queue.bind", queue=queue, exchange="fan")
    await link.call(1, "exchange.bind", destination="fan", source="front", routing_key="to.#")
    for queue in ("a", "b"):
        await link.call(1, "queue.bind", queue=queue, exchange="pick", routing_key="ab")
    await link.close()


class Actor(Protocol):
    """Somebody who works until the broker is gone."""

    async def run(self) -> None: ...


async def until_gone(actor: asyncio.Task[None]) -> None:
    """The end of the broker is the end of an actor, in order or not."""
    try:
        await actor
    except GoneError:
        pass
    except RefusedError as error:
        if "CONNECTION_FORCED" not in str(error):
            raise


class Fence:
    """Proves acks: a confirmed publish behind them, on the connection they went over."""

    def __init__(self, scene: Scene, link: Link, channel: int, name: str) -> None:
        self._scene = scene
        self._confirmed = Confirmed(link, channel)
        self._name = name
        self._acked: list[Copy] = []

    async def open(self) -> None:
        await self._confirmed.open()

    def acking(self, copies: list[Copy]) -> None:
        self._scene.witness.acking(copies)
        self._acked += copies

    def set_up(self) -> None:
        """Publish; what was acked until now is proven with its confirm."""
        acked, self._acked = self._acked, []
        witness = self._scene.witness
        size = self._scene.size()
        frames = message(self._confirmed.channel, "", "c", witness.next_body(size), 2)
        copies = witness.sent(("c",), self._name, size, persistent=True)

        def then() -> None:
            witness.confirmed(copies)
            witness.proven(acked)

        self._confirmed.publish(frames, then)

    async def wait(self) -> None:
        """Until all that was set up is confirmed."""
        await self._confirmed.room(0)


class Publisher:
    """Bursts with confirms; persistent mostly; mandatory sometimes, with and without a route."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name
        self._returned: set[int] = set()

    async def run(self) -> None:
        scene = self._scene
        link = await scene.connect()
        confirmed = Confirmed(link, 1)
        confirmed.on_return = self._hear_return
        await confirmed.open()
        while True:
            for _ in range(scene.dice.randrange(1, 40)):
                self._publish(confirmed)
            await confirmed.room(scene.dice.choice((0, 20, 200)))

    def _publish(self, confirmed: Confirmed) -> None:
        scene, witness = self._scene, self._scene.witness
        exchange, key, queues = scene.dice.choice(_ROUTES)
        mandatory = scene.dice.random() < 0.2
        if mandatory and scene.dice.random() < 0.3:
            exchange, key, queues = "pick", "nowhere", ()
        persistent = scene.dice.random() < 0.9
        size = scene.size()
        body = witness.next_body(size)
        frames = message(1, exchange, key, body, 2 if persistent else 1, mandatory=mandatory)
        copies = witness.sent(queues, self._name, size, persistent=persistent)
        confirmed.publish(frames, partial(self._hear_confirm, copies, witness.number))

    def _hear_confirm(self, copies: list[Copy], number: int) -> None:
        if not copies and number not in self._returned:
            self._scene.witness.broken.append(f"{number}: unroutable, confirmed, not returned")
        self._scene.witness.confirmed(copies)

    def _hear_return(self, heard: Heard) -> None:
        self._scene.witness.figures.returned += 1
        number = int(heard.body.split(b" ")[0])
        if heard.values["routing_key"] != "nowhere":
            self._scene.witness.broken.append(f"{number}: returned, so a binding was lost")
        self._returned.add(number)


class Consumer:
    """Manual acks, one and many at a time, and everything else that can be done to a delivery."""

    def __init__(self, scene: Scene, name: str, queues: tuple[str, ...]) -> None:
        self._scene = scene
        self._name = name
        self._queues = queues
        self._held: dict[int, Copy] = {}
        self._prefetch = scene.dice.choice((1, 3, 20, 100))

    async def run(self) -> None:
        self._link = link = await self._scene.connect()
        self._fence = Fence(self._scene, link, 2, self._name)
        await self._fence.open()
        await link.open(1)
        link.unasked[1] = self._hear
        # as a whole: so both queues share it
        await link.call(1, "basic.qos", prefetch_count=self._prefetch, **{"global": True})
        for queue in self._queues:
            await link.call(1, "basic.consume", queue=queue, consumer_tag=queue)
        await link.gone

    def _hear(self, heard: Heard) -> None:
        values = heard.values
        copy = self._scene.witness.received(
            values["consumer_tag"], self._name, heard.body, values["redelivered"]
        )
        if copy is None:
            return
        self._held[values["delivery_tag"]] = copy
        if len(self._held) >= self._prefetch or self._scene.dice.random() < 0.3:
            try:
                self._act()
            except GoneError:
                return

    def _act(self) -> None:
        dice = self._scene.dice
        tag = dice.choice(list(self._held))
        multiple = dice.random() < 0.5
        tags = [each for each in self._held if each <= tag] if multiple else [tag]
        copies = [self._held.pop(each) for each in tags]
        draw = dice.random()
        if draw < 0.15:
            self._scene.witness.handed_back(copies)
            self._link.send(1, "basic.nack", delivery_tag=tag, multiple=multiple, requeue=True)
            return
        self._fence.acking(copies)
        if draw < 0.25:
            self._link.send(1, "basic.nack", delivery_tag=tag, multiple=multiple)
        else:
            self._link.send(1, "basic.ack", delivery_tag=tag, multiple=multiple)
        if dice.random() < 0.15:
            self._fence.set_up()


class Getter:
    """basic.get, acknowledged one by one, all at once, or handed back."""

    def __init__(self, scene: Scene, name: str, queues: tuple[str, ...]) -> None:
        self._scene = scene
        self._name = name
        self._queues = queues

    async def run(self) -> None:
        scene, dice = self._scene, self._scene.dice
        link = await scene.connect()
        fence = Fence(scene, link, 2, self._name)
        await fence.open()
        await link.open(1)
        while True:
            held = await _get(
                scene, link, self._name, dice.choice(self._queues), dice.randrange(1, 8)
            )
            if not held:
                fence.set_up()
                await fence.wait()
            elif dice.random() < 0.2:
                scene.witness.handed_back(held.values())
                link.send(1, "basic.recover-async", requeue=True)
            else:
                fence.acking(list(held.values()))
                link.send(1, "basic.ack", delivery_tag=0, multiple=True)
            if dice.random() < 0.3:
                fence.set_up()


async def _get(scene: Scene, link: Link, name: str, queue: str, count: int) -> dict[int, Copy]:
    """Up to that many messages, by delivery tag."""
    held: dict[int, Copy] = {}
    for _ in range(count):
        heard = await link.call(1, "basic.get", queue=queue)
        if heard.name == "basic.get-empty":
            break
        values = heard.values
        copy = scene.witness.received(queue, name, heard.body, values["redelivered"])
        if copy is not None:
            held[values["delivery_tag"]] = copy
    return held


class Transactor:
    """Publishes and acks in transactions, some rolled back."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name

    async def run(self) -> None:
        scene, dice = self._scene, self._scene.dice
        link = await scene.connect()
        fence = Fence(scene, link, 2, self._name)
        await fence.open()
        await link.open(1)
        await link.call(1, "tx.select")
        held: dict[int, Copy] = {}
        while True:
            held |= await _get(scene, link, self._name, "b", dice.randrange(0, 5))
            for tag in held:
                link.send(1, "basic.ack", delivery_tag=tag)
            written = self._publish(link)
            if dice.random() < 0.2:
                await link.call(1, "tx.rollback")  # held again, by the old tags
                continue
            copies = [copy for each in written for copy in self._sent(*each)]
            fence.acking(list(held.values()))
            held = {}
            await link.call(1, "tx.commit")
            scene.witness.confirmed(copies)
            if dice.random() < 0.5:
                fence.set_up()

    def _publish(self, link: Link) -> list[tuple[int, int, tuple[str, ...]]]:
        """(number, size, queues) of each; nobody may see them before commit."""
        scene = self._scene
        written = []
        for _ in range(scene.dice.randrange(0, 12)):
            exchange, key, queues = scene.dice.choice(_ROUTES)
            size = scene.size()
            link.write(message(1, exchange, key, scene.witness.next_body(size), 2))
            written.append((scene.witness.number, size, queues))
        return written

    def _sent(self, number: int, size: int, queues: tuple[str, ...]) -> list[Copy]:
        return self._scene.witness.sent_as(number, queues, self._name, size)
