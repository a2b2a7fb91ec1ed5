"""Rounds of kill -9: work, die, come back, and be counted.

    python -m tests.fault.crash_rounds [--rounds 200] [--seed N]

A round works on the broker for a random fraction of a second, kills it, starts it again, sometimes
kills it while it recovers or while it stops in order, and most times takes everything out and
compares it with what the witness knows. All rounds share one data directory. The seed chooses
what is sent and when the kill comes; what the broker had done by then is chance.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.fault.crash_actors import (
    QUEUES,
    Actor,
    Consumer,
    Fence,
    Getter,
    Publisher,
    Scene,
    Transactor,
    declare,
    until_gone,
)
from tests.fault.crash_features import Features, declare_features
from tests.fault.crash_features import take_stock as take_stock_of_features
from tests.fault.crash_link import Heard, Link, connect, play
from tests.fault.crash_topology import Builder, Look, State, Topology, administer, check
from tests.fault.crash_witness import Copy, Witness
from tests.nodes import Node
from tests.waiting import PATIENCE_S

_WORK_MAX_S = 0.5
_BEGIN_MAX_S = 20.0


class Rounds:
    """A node, its witness, and what has happened so far."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.node = Node(directory)
        self.witness = Witness()
        self.topology = Topology()
        self.features = Features()
        self.restarts_s: list[float] = []
        self.deaths = {"working": 0, "starting": 0, "stopping": 0}

    def start(self) -> None:
        """For the first time."""
        self.node.start()
        play(declare(Scene(self.node.port, self.witness, self.dice)))
        play(declare_features(self.node.port))

    def round(self) -> None:
        """Raises AssertionError with all that is broken."""
        play(self._work())
        self._come_back()
        self.witness.restarted()
        if self.dice.random() < 0.6:
            self.take_stock()

    def take_stock(self) -> None:
        play(self._take_stock())
        wrong = play(take_stock_of_features(self.node.port, self.features, self.dice))
        self.witness.broken += [f"life {self.witness.life}: {each}" for each in wrong]
        assert not self.witness.broken, "\n".join(self.witness.broken[:20])

    # -- dying --------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Until the broker is dead and everything it had sent is read."""
        heavy = self.dice.random() < 0.15
        scene = Scene(self.node.port, self.witness, self.dice, heavy)
        actors: list[Actor] = [
            Publisher(scene, "p1"),
            Publisher(scene, "p2"),
            Transactor(scene, "tx"),
            Consumer(scene, "c1", ("a", "f1")),
            Getter(scene, "g1", ("b", "c", "f2")),
            Builder(scene, self.topology),
            *self.features.actors(scene),
        ]
        async with asyncio.TaskGroup() as group:
            if self.dice.random() < 0.12:
                group.create_task(administer(self.node, self.topology, self.dice))
            for actor in actors:
                group.create_task(until_gone(asyncio.ensure_future(actor.run())))
            await asyncio.to_thread(self._kill_in_a_while)
        for link in scene.links:
            await asyncio.wait_for(link.gone, PATIENCE_S)

    def _kill_in_a_while(self) -> None:
        """On a thread of its own: the moment has nothing to do with what the clients do."""
        process = self.node.process
        assert process is not None
        if self.dice.random() < 0.8:
            self._await_work()
        time.sleep(self.dice.uniform(0.0, _WORK_MAX_S))
        if self.dice.random() < 0.1:
            self.deaths["stopping"] += 1
            process.send_signal(signal.SIGTERM)
            time.sleep(self.dice.uniform(0.0, 0.08))
        else:
            self.deaths["working"] += 1
        self.node.kill()

    def _await_work(self) -> None:
        """Until messages are confirmed, a bounded time: on a busy machine all would die idle."""
        figures, streams = self.witness.figures, self.features.streams
        before = figures.confirmed, streams.active
        end = time.monotonic() + _BEGIN_MAX_S
        while time.monotonic() < end and (
            figures.confirmed == before[0] or streams.active == before[1]
        ):
            time.sleep(0.005)

    def _come_back(self) -> None:
        while self.dice.random() < 0.2:
            self.deaths["starting"] += 1
            self.node.launch()
            time.sleep(self.dice.uniform(0.0, 0.3))
            self.node.kill()
        self.node.start()
        self.restarts_s.append(self.node.boot_s)

    # -- counting -----------------------------------------------------------------------------

    async def _take_stock(self) -> None:
        scene = Scene(self.node.port, self.witness, self.dice)
        link = await connect(self.node.port)
        await link.open(1)
        fence = Fence(scene, link, 2, "stock")
        await fence.open()
        queues = [*QUEUES]
        for (kind, name), state in list(self.topology.states.items()):
            if kind == "queue" and await self._is_there(link, name, state):
                queues.append(name)
        for queue in queues:
            fence.acking(await self._drain(link, queue))
        fence.set_up()
        await asyncio.wait_for(fence.wait(), PATIENCE_S)
        wrong = await check(link, self.node, self.topology)
        self.witness.broken += [f"life {self.witness.life}: {each}" for each in wrong]
        await link.close()

    async def _is_there(self, link: Link, queue: str, state: State) -> bool:
        """A queue whose deletion was under way may have taken its messages with it."""
        if state is State.UNSURE:
            prober = await connect(self.node.port)
            there = await Look(prober).exists("queue", queue)
            prober.abort()
            if not there:
                self.witness.dropped(queue)
            return there
        return state is State.THERE

    async def _drain(self, link: Link, queue: str) -> list[Copy]:
        declared = await link.call(1, "queue.declare", queue=queue, durable=True)
        count = declared.values["message_count"]
        no_ack = self.dice.random() < 0.5
        copies: list[Copy] = []
        received = 0
        done = asyncio.get_running_loop().create_future()

        def hear(heard: Heard) -> None:
            nonlocal received
            received += 1
            values = heard.values
            copy = self.witness.received(queue, "stock", heard.body, values["redelivered"])
            if copy is not None:
                copies.append(copy)
            if received == count:
                if not no_ack:
                    link.send(1, "basic.ack", delivery_tag=0, multiple=True)
                done.set_result(None)

        link.unasked[1] = hear
        await link.call(1, "basic.consume", queue=queue, consumer_tag="stock", no_ack=no_ack)
        if count:
            await asyncio.wait_for(done, PATIENCE_S)
        await link.call(1, "basic.cancel", consumer_tag="stock")
        left = await link.call(1, "queue.declare", queue=queue, durable=True)
        assert left.values["message_count"] == 0, f"{queue} counts more than it gives"
        self.witness.drained(queue, copies)
        return copies

    def report(self) -> str:
        figures, restarts = self.witness.figures, self.restarts_s
        deaths = ", ".join(f"{count} {when}" for when, count in self.deaths.items())
        return (
            f"killed: {deaths}; published {figures.published}, confirmed {figures.confirmed}, "
            f"returned {figures.returned}; acks proven {figures.proven}; taken out after a "
            f"restart {figures.recovered}; changes of topology {self.topology.changes}; "
            f"confirmed lost {figures.lost}, acknowledged back {figures.back}; restart "
            f"{sum(restarts) / len(restarts):.2f} s on average, {max(restarts):.2f} s at most; "
            f"{self.features.report()}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="mqd-crash-"))
    rounds = Rounds(directory, options.seed)
    began = time.monotonic()
    try:
        rounds.start()
        for number in range(1, options.rounds + 1):
            rounds.round()
            if number % 20 == 0 or number == options.rounds:
                passed = time.monotonic() - began
                print(f"{number} rounds in {passed:.0f} s; {rounds.report()}", flush=True)
        rounds.take_stock()
    except BaseException as error:
        print(f"seed {options.seed}: kept in {directory}: {error}", file=sys.stderr)
        raise
    finally:
        rounds.node.kill()
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
