"""Dead letters, time to live, full queues and delivery limits while the broker is killed.

Theory. Whatever was confirmed into a queue with a dead letter exchange is, for good, in that queue
or in the queue of its dead letters: it expired, was rejected, was pushed out by newer ones or came
back too often, and none of these may lose it.

Decides what is published where, and what has to be found when all of it is taken out. A message may
be found twice where a kill fell between its arrival at the dead letters and its departure from its
queue: that is counted and allowed, being found nowhere is not.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.fault.crash_actors import Scene
from tests.fault.crash_link import Confirmed, GoneError, Heard, Link, connect, message
from tests.fault.crash_streams import Feeder as StreamFeeder
from tests.fault.crash_streams import Follower, Streams, check_streams, declare_streams
from tests.waiting import PATIENCE_S

_DEAD = "dead"
_DLX: dict[str, Any] = {
    "x-dead-letter-exchange": ("S", "graves"),
    "x-dead-letter-routing-key": ("S", _DEAD),
}
_QUORUM = ("S", "quorum")
_SOURCES: dict[str, dict[str, Any]] = {
    "expiring": _DLX | {"x-message-ttl": ("I", 60)},
    "full": _DLX | {"x-max-length": ("I", 5)},
    "rejected": _DLX,
    "expiring-quorum": _DLX | {"x-queue-type": _QUORUM, "x-message-ttl": ("I", 60)},
    "limited": _DLX | {"x-queue-type": _QUORUM, "x-delivery-limit": ("I", 2)},
    "promised": _DLX
    | {
        "x-queue-type": _QUORUM,
        "x-delivery-limit": ("I", 1),
        "x-overflow": ("S", "reject-publish"),
        "x-dead-letter-strategy": ("S", "at-least-once"),
    },
}


@dataclass
class Features:
    """What is known. owed: confirmed messages by number, and the queue each was published to."""

    owed: dict[int, str] = field(default_factory=dict)
    sent: dict[int, str] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    found: int = 0
    twice: int = 0
    lost: int = 0
    streams: Streams = field(default_factory=Streams)

    def actors(self, scene: Scene) -> list[Feeder | Rejecter | StreamFeeder | Follower]:
        return [
            Feeder(scene, self),
            Rejecter(scene, "rejected", requeue=False),
            Rejecter(scene, "limited", requeue=True),
            Rejecter(scene, "promised", requeue=True),
            *self.streams.actors(scene),
        ]

    def report(self) -> str:
        dead = ", ".join(f"{count} of {queue}" for queue, count in sorted(self.dead.items()))
        lost = self.lost + self.streams.lost
        return (
            f"dead letters found: {dead}; found twice {self.twice}; {self.streams.report()}; "
            f"confirmed lost {lost}"
        )


async def declare_features(port: int) -> None:
    """What stays for all rounds."""
    link = await connect(port)
    await link.open(1)
    await link.call(1, "exchange.declare", exchange="graves", type="direct", durable=True)
    await link.call(1, "queue.declare", queue=_DEAD, durable=True)
    await link.call(1, "queue.bind", queue=_DEAD, exchange="graves", routing_key=_DEAD)
    for queue, arguments in _SOURCES.items():
        await link.call(1, "queue.declare", queue=queue, durable=True, arguments=arguments)
    await link.close()
    await declare_streams(port)


class Feeder:
    """Publishes to all of them, with confirms."""

    def __init__(self, scene: Scene, features: Features) -> None:
        self._scene = scene
        self._features = features

    async def run(self) -> None:
        dice, witness = self._scene.dice, self._scene.witness
        confirmed = Confirmed(await self._scene.connect(), 1)
        await confirmed.open()
        while True:
            for _ in range(dice.randrange(1, 30)):
                queue = dice.choice(list(_SOURCES))
                body = witness.next_body(self._scene.size())
                self._features.sent[witness.number] = queue
                frames = message(1, "", queue, body, 2)
                confirmed.publish(frames, partial(self._hear, queue, witness.number))
            await confirmed.room(dice.choice((0, 20)))

    def _hear(self, queue: str, number: int) -> None:
        self._features.owed[number] = queue


class Rejecter:
    """Consumes and never takes: rejects for good, or hands back until the limit is reached."""

    def __init__(self, scene: Scene, queue: str, *, requeue: bool) -> None:
        self._scene = scene
        self._queue = queue
        self._requeue = requeue

    async def run(self) -> None:
        self._link = link = await self._scene.connect()
        await link.open(1)
        link.unasked[1] = self._hear
        await link.call(1, "basic.qos", prefetch_count=10)
        await link.call(1, "basic.consume", queue=self._queue, consumer_tag="r")
        await link.gone

    def _hear(self, heard: Heard) -> None:
        tag = heard.values["delivery_tag"]
        try:
            self._link.send(1, "basic.nack", delivery_tag=tag, requeue=self._requeue)
        except GoneError:
            return


# -- counting ---------------------------------------------------------------------------------


async def take_stock(port: int, features: Features, dice: random.Random) -> list[str]:
    """Everything out, acknowledged behind a confirm; what is wrong with it."""
    link = await connect(port)
    await link.open(1)
    found: dict[int, list[str]] = {}
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        for queue in (*_SOURCES, _DEAD):
            for number in await _empty(link, queue):
                found.setdefault(number, []).append(queue)
        missing = [number for number in features.owed if number not in found]
        if not missing or asyncio.get_running_loop().time() > deadline:
            break
    wrong = _judge(features, found, missing)
    await link.close()
    return wrong + await check_streams(port, features.streams, dice)


async def _empty(link: Link, queue: str) -> list[int]:
    numbers = []
    while (heard := await link.call(1, "basic.get", queue=queue)).name != "basic.get-empty":
        numbers.append(int(heard.body.split(b" ")[0]))
        link.send(1, "basic.ack", delivery_tag=heard.values["delivery_tag"])
    return numbers


def _judge(features: Features, found: dict[int, list[str]], missing: list[int]) -> list[str]:
    wrong = [f"{number} into {features.owed[number]}: confirmed, and lost" for number in missing]
    features.lost += len(missing)
    features.found += len(found)
    for number, places in found.items():
        source = features.sent.get(number)
        if source is None:
            wrong.append(f"{number} in {places}: acknowledged or never sent, and there")
            continue
        if stray := set(places) - {source, _DEAD}:
            wrong.append(f"{number} into {source}: found in {stray}")
        if _DEAD in places:
            features.dead[source] = features.dead.get(source, 0) + 1
        if len(places) > 1:
            features.twice += 1
    features.owed.clear()
    return wrong
