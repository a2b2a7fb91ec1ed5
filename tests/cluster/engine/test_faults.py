"""Servers that are killed, and daemons that are; MQD_ENGINE=full for more rounds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from mqd.cluster.engine.engine import NatsEngine
from mqd.cluster.ports import NoMajority
from tests.cluster.engine.nodes import FULL, full, nodes
from tests.waiting import PATIENCE_S, until

ROUNDS = 6 if FULL else 1
PROJECT = Path(__file__).parents[3]


async def write(engine: NatsEngine, name: str, acked: set[bytes], ends: asyncio.Event) -> None:
    """Until told to end; what is not answered is tried again under the same id."""
    for number in count():
        data = f"{name}-{number}".encode()
        while not ends.is_set():
            try:
                await engine.append("META", "META.x", data, unique=data.decode())
            except NoMajority:
                await asyncio.sleep(0.05)
            else:
                acked.add(data)
                break
        if ends.is_set():
            return


@pytest.mark.timeout(60 + 30 * ROUNDS)
def test_no_acknowledged_entry_is_lost_when_the_leader_is_killed(tmp_path: Path) -> None:
    """Its supervisor starts it again; all three go on writing through their own servers."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            engines = await cluster.found()
            await engines[0].create("META", replicas=3, tells=True)
            acked: set[bytes] = set()
            ends = asyncio.Event()
            async with asyncio.TaskGroup() as writers:
                for index, engine in enumerate(engines):
                    for each in range(4):
                        writers.create_task(write(engine, f"{index}.{each}", acked, ends))
                for _ in range(ROUNDS):

                    async def all_write() -> bool:
                        before = len(acked)
                        await asyncio.sleep(0.3)
                        return len(acked) > before + 50

                    await until(all_write)
                    leader = (await engines[0].info("META")).leader
                    assert leader is not None
                    killed = cluster.up[leader]
                    assert killed.pid is not None
                    os.kill(killed.pid, signal.SIGKILL)

                    async def leads_again() -> bool:
                        now = {engine.leads.get("META") for engine in engines}
                        return len(now) == 1 and None not in now

                    await until(leads_again)
                    await until(all_write)
                ends.set()
            last = (await engines[0].info("META")).last_seq
            for name in cluster.up:
                await engines[0].lead("META", name)
                data = await read_all(cluster.up[name], last)
                assert acked <= set(data)
                assert len(set(data)) == len(data)

    asyncio.run(run())


async def read_all(engine: NatsEngine, last: int) -> list[bytes]:
    """A copy that lags may answer a read."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            entries = await engine.read("META", 1, last + 1)
            if len(entries) == last:
                return [entry.data for entry in entries]
            await asyncio.sleep(0.05)


DAEMON = """
import asyncio, sys
from pathlib import Path
from tests.cluster.engine.nodes import Nodes
from mqd.cluster.engine.engine import Start

async def run():
    cluster = Nodes(Path(sys.argv[1]), 2)
    engine = await cluster.start("rabbit@a", Start.FOUND)
    print(engine.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_server(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("nats-server")
    except FileNotFoundError:
        return False


def daemon(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A process with an engine; and the pid of its server."""
    process = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(folder)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        return process, int(process.stdout.readline())


async def serves(pid: int) -> bool:
    return is_server(pid)


async def gone(pid: int) -> bool:
    return not runs(pid)


def test_a_server_dies_with_its_daemon(tmp_path: Path) -> None:
    async def run() -> None:
        process, pid = daemon(tmp_path)
        await until(lambda: serves(pid))
        process.kill()
        process.wait()
        await until(lambda: gone(pid))

    asyncio.run(run())


@full
def test_a_server_that_is_left_over_is_ended_by_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        process, pid = daemon(tmp_path)
        await until(lambda: serves(pid))
        os.kill(pid, signal.SIGSTOP)  # it will not hear of its parent's death
        process.kill()
        process.wait()
        assert runs(pid)
        async with nodes(tmp_path, 2) as cluster:
            engine = await cluster.start("rabbit@a")
            assert not runs(pid)
            own = engine.pid
            assert own is not None
            await until(lambda: serves(own))
        assert not runs(own)

    asyncio.run(run())


def test_a_daemon_answers_while_it_is_connected_to_its_server(tmp_path: Path) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, b = await cluster.found()
            assert await a.attended("rabbit@b")
            assert await b.attended("rabbit@b")
            await cluster.crash("rabbit@b")
            assert not await a.attended("rabbit@b")
            await cluster.stop("rabbit@a")
            with pytest.raises(NoMajority):
                await a.attended("rabbit@b")

    asyncio.run(run())


@pytest.mark.timeout(60)
def test_a_copy_that_says_nothing_holds_up_no_reader(tmp_path: Path) -> None:
    """The servers have some of the questions go to it for as long as its routes stand."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            a, b, c = await cluster.found()
            await a.create("Q0", replicas=3)
            await a.lead("Q0", "rabbit@a")
            await a.append("Q0", "Q0.x", b"first")

            async def has_it(engine: NatsEngine) -> bool:
                return len(await engine.read("Q0", 1, 1)) == 1

            for engine in (a, b, c):
                await until(lambda engine=engine: has_it(engine))
            assert c.pid is not None
            os.kill(c.pid, signal.SIGSTOP)
            try:
                unheard = 0  # all attempts may come to it, once in a thousand times
                for _ in range(20):
                    try:
                        assert [entry.data for entry in await a.read("Q0", 1, 1)] == [b"first"]
                    except NoMajority:
                        unheard += 1
                assert unheard <= 1
            finally:
                os.kill(c.pid, signal.SIGCONT)

    asyncio.run(run())
