"""Links over a network, and to processes, that fail."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from mqd import limits
from mqd.cluster.ports import PeerDown
from mqd.daemon.clock import SystemClock
from mqd.metadata.commands import Member
from tests.cluster.links.nodes import HOST, Cluster, incarnation
from tests.cluster.links.proxy import Proxy
from tests.ports import free_ports
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio

DEAD_S = limits.LINK_DEAD_MS / 1000
SOONEST_S = DEAD_S / 2  # some of it had passed, or the last sign of life was late


@asynccontextmanager
async def between(cluster: Cluster) -> AsyncIterator[Proxy]:
    """Nodes a and b, linked through a proxy; a is the one that calls."""
    await cluster.start("a")
    await cluster.start("b")
    async with Proxy(cluster.members["b"].link_port) as proxy:
        cluster.join("b")
        cluster.redirect("a", "b", proxy.port)
        await cluster.linked()
        yield proxy
        for mesh in cluster.meshes.values():
            await mesh.close()


async def lasts(cluster: Cluster, node: str) -> float:
    """How long it takes until that node hears of the end. That it does at all is all that a machine
    with much else to do can promise."""
    began = time.monotonic()
    heard = cluster.heard[node]
    count = len(heard)
    await until(lambda: any(line.startswith("-") for line in heard[count:]))
    return time.monotonic() - began


async def test_a_cut_is_heard_at_once_and_mends(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster, between(cluster) as proxy:
        asked = asyncio.Event()

        async def never(_peer: str, _data: bytes) -> bytes:
            asked.set()
            await asyncio.Event().wait()
            return b""

        cluster["b"].answer("s", never)
        call = asyncio.ensure_future(cluster["a"].request("b", "s", b"", 60))
        await asked.wait()
        proxy.cut(for_good=True)
        with pytest.raises(PeerDown):
            await call
        await until(lambda: not cluster["b"].up)
        assert cluster.heard["a"] == ["+b", "-b"]
        assert cluster.heard["b"] == ["+a", "-a"]
        proxy.mend()
        await cluster.linked()
        assert cluster["a"].epoch("b") == 2
        cluster["a"].send("b", "t", b"1")
        await until(lambda: cluster.heard["b"][-1] == "a:1")


@pytest.mark.parametrize(("way", "first"), [("in", "b"), ("out", "a")])
async def test_silence_one_way_ends_it_for_both(tmp_path: Path, way: str, first: str) -> None:
    async with Cluster(tmp_path) as cluster, between(cluster) as proxy:
        sender = "a" if way == "in" else "b"
        proxy.stall(way)
        cluster[sender].send(first, "t", b"lost")
        elapsed = await lasts(cluster, first)
        assert elapsed > SOONEST_S
        await until(lambda: f"-{first}" in cluster.heard[sender])
        proxy.cut()
        proxy.mend()
        await cluster.linked()
        cluster[sender].send(first, "t", b"anew")
        await until(lambda: f"{sender}:anew" in cluster.heard[first])
        assert f"{sender}:lost" not in cluster.heard[first]


async def test_nothing_arrives_from_a_link_that_is_over(tmp_path: Path) -> None:
    """What the network kept comes out when the next link is up already."""
    async with Cluster(tmp_path) as cluster, between(cluster) as proxy:
        proxy.stall("in")
        cluster["a"].send("b", "t", b"old")
        await until(lambda: "-a" in cluster.heard["b"])
        async with Proxy(cluster.members["b"].link_port) as other:
            cluster.redirect("a", "b", other.port)
            await cluster.linked()
            proxy.release("in")
            cluster["a"].send("b", "t", b"new")
            await until(lambda: "a:new" in cluster.heard["b"])
            assert "a:old" not in cluster.heard["b"]


async def test_a_slow_network_is_not_a_dead_one(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster, between(cluster) as proxy:
        proxy.delay_s = 0.3
        for number in range(8):
            cluster["a"].send("b", "t", b"%d" % number)
            await asyncio.sleep(0.5)
        await until(lambda: cluster.heard["b"][-1] == "a:7")
        assert cluster.heard["b"] == ["+a", *(f"a:{number}" for number in range(8))]
        assert cluster.heard["a"] == ["+b"]


async def test_idle_links_stay(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster, between(cluster):
        await asyncio.sleep(DEAD_S + 1)
        assert cluster.heard == {"a": ["+b"], "b": ["+a"]}


class Shifted(SystemClock):
    """The machine's clock, ahead: as a process sees it that stood still."""

    ahead_ms = 0

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.ahead_ms


async def test_who_stood_still_too_long_takes_nothing_more(tmp_path: Path) -> None:
    """The others have given it up: what lies in its sockets is of links that are over."""
    async with Cluster(tmp_path) as cluster, between(cluster):
        clock = cluster["b"].clock = Shifted()
        cluster["a"].send("b", "t", b"while it stood still")
        clock.ahead_ms = limits.LINK_DEAD_MS + 1000
        await until(lambda: "-a" in cluster.heard["b"])
        await cluster.linked()
        cluster["a"].send("b", "t", b"now")
        await until(lambda: cluster.heard["b"][-1] == "a:now")
        assert cluster.heard["b"] == ["+a", "-a", "+a", "a:now"]


async def test_standing_still_for_a_while_is_not_the_others_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINK_DEAD_MS", 20_000)  # beyond what a busy machine holds it up
    async with Cluster(tmp_path) as cluster, between(cluster) as proxy:
        clock = cluster["b"].clock = Shifted()
        proxy.stall("in")
        await asyncio.sleep(1.0)
        clock.ahead_ms = limits.LINK_DEAD_MS - 500
        await asyncio.sleep(2 * limits.LINK_TICK_S)
        proxy.release("in")
        await asyncio.sleep(2 * limits.LINK_TICK_S)
        assert cluster.heard["b"] == ["+a"]


async def test_who_does_not_read_is_waited_for_and_then_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINK_STOP_BYTES", 12_000_000)
    async with Cluster(tmp_path) as cluster, between(cluster) as proxy:
        mesh, payload = cluster["a"], bytes(100_000)
        proxy.stall("in")
        while not mesh.congested("b"):
            assert mesh.send("b", "nobody's", payload)
            await asyncio.sleep(0)
        relieved: list[str] = []
        mesh.on_relief("b", lambda: relieved.append("read"))
        proxy.release("in")
        await until(lambda: relieved)
        assert not mesh.congested("b")
        assert cluster.heard["a"] == ["+b"]
        proxy.stall("in")
        sent = 0
        while mesh.send("b", "nobody's", payload):
            sent += len(payload)
            assert sent < 60_000_000
            if mesh.congested("b") and len(relieved) == 1:
                relieved.append("waiting")
                mesh.on_relief("b", lambda: relieved.append("gone"))
            await asyncio.sleep(0)
        assert sent > 12_000_000
        assert relieved == ["read", "waiting", "gone"]
        assert cluster.heard["a"][:2] == ["+b", "-b"]


async def test_one_message_larger_than_what_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINK_STOP_BYTES", 1_000_000)
    async with Cluster(tmp_path) as cluster, between(cluster) as proxy:
        got: list[int] = []
        cluster["b"].take("large", lambda _, data: got.append(len(data)))
        proxy.delay_s = 0.002
        cluster["a"].send("b", "large", bytes(30_000_000))
        for _ in range(20):
            await asyncio.sleep(0.01)
            cluster["a"].send("b", "large", b"small")
        await until(lambda: len(got) == 21)
        assert got == [30_000_000] + [5] * 20


class Child:
    """Node b as a process, and a link to it from `a` in this one."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.folder = folder
        self.lines: list[str] = []
        self.process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self, epoch: int) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.cluster.links.child", str(self.folder), str(self.port), str(epoch)),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        self._reading = asyncio.get_running_loop().create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode().strip())

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()  # also when it stands still
            await self.process.wait()
        if self._reading is not None:
            await self._reading


@asynccontextmanager
async def child_of(folder: Path) -> AsyncIterator[tuple[Cluster, Child]]:
    async with Cluster(folder) as cluster:
        mesh = await cluster.start("a")
        child = Child(folder)
        await child.start(7)
        b = Member("b", incarnation("b"), 2, "disc", HOST, link_port=child.port)
        mesh.use_members({"b": b})
        try:
            await until(lambda: mesh.up)
            await until(lambda: child.lines == ["+a"])
            yield cluster, child
        finally:
            await child.end()


async def test_a_stopped_process_is_dead_and_comes_back_as_it_was(tmp_path: Path) -> None:
    async with child_of(tmp_path) as (cluster, child):
        mesh, heard = cluster["a"], cluster.heard["a"]
        child.signal(signal.SIGSTOP)
        mesh.send("b", "t", b"while it stands still")
        elapsed = await lasts(cluster, "a")
        assert elapsed > SOONEST_S
        await asyncio.sleep(0.5)
        child.signal(signal.SIGCONT)
        await until(lambda: mesh.up)
        assert heard == ["+b", "-b", "+b"]
        assert mesh.epoch("b") == 7
        mesh.send("b", "t", b"now")
        await until(lambda: child.lines[-1] == "a:now")
        # what lay in its socket was of a link that had ended for us
        assert child.lines == ["+a", "-a", "+a", "a:now"]


async def test_a_killed_process_is_heard_of_at_once_and_comes_back_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINK_DEAD_MS", 3_600_000)  # not by its silence
    async with child_of(tmp_path) as (cluster, child):
        mesh = cluster["a"]
        child.signal(signal.SIGKILL)
        await until(lambda: cluster.heard["a"][-1] == "-b")
        await child.end()
        await child.start(8)
        await until(lambda: mesh.up)
        assert mesh.epoch("b") == 8
        assert await mesh.request("b", "echo", b"x", PATIENCE_S) == b"x"
