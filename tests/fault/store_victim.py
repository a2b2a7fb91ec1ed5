"""The process that tests/fault/test_store.py kills or starves.

    python store_victim.py kill DIRECTORY FIRST     publish and acknowledge until killed
    python store_victim.py starve DIRECTORY         run into a limit of file size, then lift it

Says on stdout what is permanent, one fact a line: a message number confirmed ("c 5"), about
to be acknowledged ("s 5"), acknowledged for good ("a 5").
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections import deque

from mqd.broker.message import Message
from mqd.storage.engine import StorageEngine
from mqd.storage.messages import VhostStore
from tests.stores import message


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Victim:
    """Publishes in bursts, acknowledges half of it later, tells what became permanent."""

    def __init__(self, store: VhostStore, number: int) -> None:
        self.store = store
        self.number = number
        self.waiting: deque[tuple[int, int]] = deque()  # (batch, number)
        self.live: dict[int, Message] = {}
        self.durable = asyncio.Event()
        store.on_durable = self.on_durable

    def on_durable(self) -> None:
        while self.waiting and self.waiting[0][0] <= self.store.durable_batch:
            say("c", self.waiting.popleft()[1])
        self.durable.set()

    def publish(self, count: int) -> int:
        batch = 0
        for _ in range(count):
            self.number += 1
            each = message(b"%d " % self.number + bytes(self.number % 700))
            batch = self.store.append(1, each)
            self.waiting.append((batch, self.number))
            self.live[self.number] = each
        return batch

    def acknowledge(self) -> list[int]:
        """Every second of those confirmed, so that rows stay half full."""
        confirmed = [number for number in self.live if number < self._first_waiting()]
        chosen = confirmed[::2]
        for number in chosen:
            say("s", number)
            self.store.settle(1, self.live.pop(number))
        return chosen

    def _first_waiting(self) -> int:
        return self.waiting[0][1] if self.waiting else self.number + 1

    async def reach(self, batch: int) -> None:
        while self.store.durable_batch < batch:
            self.durable.clear()
            await self.durable.wait()


async def kill(directory: str, first: int) -> None:
    engine = StorageEngine.open(directory)
    store = engine.open_store("/")
    list(store.recover())
    victim = Victim(store, first)
    for turn in range(100_000):
        acknowledged = victim.acknowledge()
        batch = victim.publish(1 + turn % 37)
        await victim.reach(batch)
        # settled in the same commit as the messages, or earlier
        for number in acknowledged:
            say("a", number)


async def starve(directory: str) -> None:
    engine = StorageEngine.open(directory)
    store = engine.open_store("/")
    list(store.recover())
    victim = Victim(store, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
    trouble = asyncio.Event()

    def on_trouble(text: str | None) -> None:
        say("trouble", text)
        trouble.set()

    engine.on_trouble = on_trouble
    batch = 0
    while not trouble.is_set():
        batch = victim.publish(100)
        await asyncio.sleep(0)
    say("durable", store.durable_batch, "of", batch)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    await victim.reach(batch)
    await engine.close()


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        asyncio.run(kill(sys.argv[2], int(sys.argv[3])))
    else:
        asyncio.run(starve(sys.argv[2]))
