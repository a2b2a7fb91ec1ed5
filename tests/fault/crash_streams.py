"""Streams while the broker is killed: one of the usual segments, one of small ones, and one that
lets its oldest segments go.

Theory. Whatever was confirmed into a stream is in it for good, once, in the order in which it was
published, unless the stream keeps only so much: then it may be gone, with all that is older. An
offset that anybody ever saw stays that message's: readers are shown nothing that a kill could take
back. Offsets have no gaps.

Decides what is published, who reads while the kill comes, and what has to be found afterwards.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.fault.crash_actors import Scene
from tests.fault.crash_link import Confirmed, GoneError, Heard, Link, connect, message
from tests.waiting import PATIENCE_S

_TYPE: dict[str, Any] = {"x-queue-type": ("S", "stream")}
_SMALL = _TYPE | {"x-stream-max-segment-size-bytes": ("l", 40_000)}
_STREAMS: dict[str, dict[str, Any]] = {
    "log": _TYPE,
    "log-of-small": _SMALL,
    "log-of-last": _SMALL | {"x-max-length-bytes": ("l", 400_000)},
}
_FORGETS = "log-of-last"


@dataclass
class Stream:
    """What is known of one. at: the number of the message at each offset that was ever seen."""

    name: str
    confirmed: set[int] = field(default_factory=set)
    at: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    first: int = 0

    def hear(self, heard: Heard, following: int | None, *, may_skip: bool = False) -> int:
        """A delivery, and the offset it ought to have; returns the next one. may_skip: what was
        due may have been let go meanwhile."""
        offset: int = heard.properties["headers"]["x-stream-offset"][1]
        number = int(heard.body.split(b" ")[0])
        if following is not None and (offset < following if may_skip else offset != following):
            self.wrong.append(f"{self.name}: offset {offset} where {following} was due")
        before = self.at.setdefault(offset, number)
        if before != number:
            self.wrong.append(f"{self.name}: {number} at {offset}, where {before} was")
        return offset + 1


@dataclass
class Streams:
    """All of them. active: rounds that confirmed some message into one; rounds: all."""

    streams: list[Stream] = field(default_factory=lambda: [Stream(name) for name in _STREAMS])
    rounds: int = 0
    active: int = 0
    read: int = 0
    lost: int = 0

    def actors(self, scene: Scene) -> list[Feeder | Follower]:
        self.rounds += 1
        followers = [Follower(scene, self, stream) for stream in self.streams]
        return [Feeder(scene, self), *followers]

    @property
    def confirmed_count(self) -> int:
        return sum(len(each.confirmed) for each in self.streams)

    def report(self) -> str:
        gone = next(each.first for each in self.streams if each.name == _FORGETS)
        return (
            f"streams of {self.confirmed_count} confirmed, in {self.active} of {self.rounds} "
            f"rounds; read while killed {self.read}; let go {gone}"
        )


async def declare_streams(port: int) -> None:
    """What stays for all rounds."""
    link = await connect(port)
    await link.open(1)
    for name, arguments in _STREAMS.items():
        await link.call(1, "queue.declare", queue=name, durable=True, arguments=arguments)
    await link.close()


class Feeder:
    """The only publisher: so the order of numbers is that of offsets."""

    def __init__(self, scene: Scene, streams: Streams) -> None:
        self._scene = scene
        self._streams = streams
        self._heard = False

    async def run(self) -> None:
        dice, witness = self._scene.dice, self._scene.witness
        confirmed = Confirmed(await self._scene.connect(), 1)
        await confirmed.open()
        while True:
            for _ in range(dice.randrange(1, 20)):
                stream = dice.choice(self._streams.streams)
                frames = message(1, "", stream.name, witness.next_body(self._scene.size()), 2)
                confirmed.publish(frames, partial(self._hear, stream, witness.number))
            await confirmed.room(dice.choice((0, 20)))

    def _hear(self, stream: Stream, number: int) -> None:
        stream.confirmed.add(number)
        self._streams.active += not self._heard
        self._heard = True


class Follower:
    """Reads on from somewhere."""

    def __init__(self, scene: Scene, streams: Streams, stream: Stream) -> None:
        self._scene = scene
        self._streams = streams
        self._stream = stream
        self._following: int | None = None

    async def run(self) -> None:
        self._link = link = await self._scene.connect()
        await link.open(1)
        link.unasked[1] = self._hear
        known = max(self._stream.at, default=0)
        begin = self._scene.dice.choice((("S", "next"), ("S", "last"), ("l", known)))
        await link.call(1, "basic.qos", prefetch_count=50)
        await link.call(
            1,
            "basic.consume",
            queue=self._stream.name,
            consumer_tag="f",
            arguments={"x-stream-offset": begin},
        )
        await link.gone

    def _hear(self, heard: Heard) -> None:
        stream = self._stream
        self._following = stream.hear(heard, self._following, may_skip=stream.name == _FORGETS)
        self._streams.read += 1
        try:
            self._link.send(1, "basic.ack", delivery_tag=heard.values["delivery_tag"])
        except GoneError:
            return


# -- counting ---------------------------------------------------------------------------------


async def check_streams(port: int, streams: Streams, dice: random.Random) -> list[str]:
    """What is wrong with them."""
    wrong = []
    link = await connect(port)
    for channel, stream in enumerate(streams.streams, 1):
        whole = stream.name == _FORGETS or dice.random() < 0.25
        begin = 0 if whole else dice.randrange(len(stream.at)) if stream.at else 0
        if not await _read_on(link, channel, stream, begin):
            wrong.append(f"{stream.name} ends before what was confirmed last, or was seen")
        gone = _gone(stream)
        streams.lost += len(gone)
        wrong += [f"{number}: confirmed into {stream.name}, and lost" for number in gone]
        wrong += stream.wrong
    await link.close()
    return wrong


def _gone(stream: Stream) -> list[int]:
    """Confirmed numbers that are not there, though what is older is."""
    found = [stream.at[offset] for offset in sorted(stream.at) if offset >= stream.first]
    if found != sorted(set(found)):
        stream.wrong.append(f"{stream.name} is out of order, or has a message twice")
    oldest = found[0] if stream.name == _FORGETS and found else 0
    return sorted(each for each in stream.confirmed - set(found) if each > oldest)


async def _read_on(link: Link, channel: int, stream: Stream, begin: int) -> bool:
    """Read from that offset until all is seen that has to be there; whether it was."""
    last = max(stream.confirmed, default=0)
    known = max(stream.at, default=-1)
    done = asyncio.get_running_loop().create_future()
    following: int | None = None if stream.name == _FORGETS else begin

    def hear(heard: Heard) -> None:
        nonlocal following
        if following is None:
            stream.first = heard.properties["headers"]["x-stream-offset"][1]
        following = stream.hear(heard, following)
        link.send(channel, "basic.ack", delivery_tag=heard.values["delivery_tag"])
        if following > known and stream.at[following - 1] >= last and not done.done():
            done.set_result(None)

    if not last and known < 0:
        return True
    await link.open(channel)
    link.unasked[channel] = hear
    await link.call(channel, "basic.qos", prefetch_count=500)
    first = {"x-stream-offset": ("l", begin)}
    await link.call(channel, "basic.consume", queue=stream.name, consumer_tag="s", arguments=first)
    await asyncio.wait((done,), timeout=PATIENCE_S)
    return done.done()
