"""Dead letters, time to live, full queues, delivery limits and streams while the broker is killed.

Theory. Whatever was confirmed into a queue with a dead letter exchange is, for good, in that queue
or in the queue of its dead letters: it expired, was rejected, was pushed out by newer ones or came
back too often, and none of these may lose it. Whatever was confirmed into a stream is in the
stream, once, in the order in which it was published.

Decides what is published where, and what has to be found when all of it is taken out. A message may
be found twice where a kill fell between its arrival at the dead letters and its departure from its
queue: that is counted and allowed, being found nowhere is not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.fault.crash_actors import Scene
from tests.fault.crash_link import Confirmed, GoneError, Heard, Link, RefusedError, connect, message

_DEAD = "dead"
_STREAM = "log"
_PATIENCE_S = 20.0
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
    streamed: list[int] = field(default_factory=list)
    sent: dict[int, str] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    found: int = 0
    twice: int = 0
    lost: int = 0
    streams: bool = True

    def actors(self, scene: Scene) -> list[Feeder | Rejecter]:
        return [
            Feeder(scene, self),
            Rejecter(scene, "rejected", requeue=False),
            Rejecter(scene, "limited", requeue=True),
            Rejecter(scene, "promised", requeue=True),
        ]

    def report(self) -> str:
        dead = ", ".join(f"{count} of {queue}" for queue, count in sorted(self.dead.items()))
        stream = f"stream of {len(self.streamed)} confirmed" if self.streams else "no streams"
        return (
            f"dead letters found: {dead}; {stream}; "
            f"found twice {self.twice}; confirmed lost {self.lost}"
        )


async def declare_features(port: int, features: Features) -> None:
    """What stays for all rounds."""
    link = await connect(port)
    await link.open(1)
    await link.call(1, "exchange.declare", exchange="graves", type="direct", durable=True)
    await link.call(1, "queue.declare", queue=_DEAD, durable=True)
    await link.call(1, "queue.bind", queue=_DEAD, exchange="graves", routing_key=_DEAD)
    for queue, arguments in _SOURCES.items():
        await link.call(1, "queue.declare", queue=queue, durable=True, arguments=arguments)
    stream = {"x-queue-type": ("S", "stream")}
    try:
        await link.call(1, "queue.declare", queue=_STREAM, durable=True, arguments=stream)
    except RefusedError as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        features.streams = False  # the report says so; the refusal has ended the connection
        return
    await link.close()


class Feeder:
    """Publishes to all of them, with confirms."""

    def __init__(self, scene: Scene, features: Features) -> None:
        self._scene = scene
        self._features = features

    async def run(self) -> None:
        dice, witness = self._scene.dice, self._scene.witness
        confirmed = Confirmed(await self._scene.connect(), 1)
        await confirmed.open()
        queues = (*_SOURCES, *((_STREAM,) if self._features.streams else ()))
        while True:
            for _ in range(dice.randrange(1, 30)):
                queue = dice.choice(queues)
                body = witness.next_body(self._scene.size())
                self._features.sent[witness.number] = queue
                frames = message(1, "", queue, body, 2)
                confirmed.publish(frames, partial(self._hear, queue, witness.number))
            await confirmed.room(dice.choice((0, 20)))

    def _hear(self, queue: str, number: int) -> None:
        if queue == _STREAM:
            self._features.streamed.append(number)
        else:
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


async def take_stock(port: int, features: Features) -> list[str]:
    """Everything out, acknowledged behind a confirm; what is wrong with it."""
    link = await connect(port)
    await link.open(1)
    found: dict[int, list[str]] = {}
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        for queue in (*_SOURCES, _DEAD):
            for number in await _empty(link, queue):
                found.setdefault(number, []).append(queue)
        missing = [number for number in features.owed if number not in found]
        if not missing or asyncio.get_running_loop().time() > deadline:
            break
    wrong = _judge(features, found, missing)
    wrong += await _check_stream(link, features)
    await link.close()
    return wrong


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


async def _check_stream(link: Link, features: Features) -> list[str]:
    """From its first message on: each once, in order, all that was confirmed among them."""
    if not features.streamed:
        return []
    numbers: list[int] = []
    last = features.streamed[-1]
    done = asyncio.get_running_loop().create_future()
    offsets: list[int] = []

    def hear(heard: Heard) -> None:
        numbers.append(int(heard.body.split(b" ")[0]))
        offsets.append(heard.properties["headers"]["x-stream-offset"][1])
        link.send(2, "basic.ack", delivery_tag=heard.values["delivery_tag"])
        if numbers[-1] >= last and not done.done():
            done.set_result(None)

    await link.open(2)
    link.unasked[2] = hear
    await link.call(2, "basic.qos", prefetch_count=500)
    first = {"x-stream-offset": ("S", "first")}
    await link.call(2, "basic.consume", queue=_STREAM, consumer_tag="s", arguments=first)
    await asyncio.wait((done,), timeout=_PATIENCE_S)
    wrong = []
    if numbers != sorted(set(numbers)):
        wrong.append("the stream is out of order, or has a message twice")
    if offsets != list(range(len(offsets))):
        wrong.append("the stream's offsets are not 0, 1, 2...")
    gone = set(features.streamed) - set(numbers)
    features.lost += len(gone)
    wrong += [f"{number}: confirmed into the stream, and lost" for number in sorted(gone)]
    return wrong
