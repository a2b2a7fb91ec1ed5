"""Three nodes over networks that fail at drawn moments: what `Mesh` promises holds all the while.

Each link's messages are numbered from 0 by the sender when it hears of the link; the receiver wants
them all, in a row, and none of another link. MQD_LINKS_SEED and MQD_LINKS_S choose another run.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mqd import limits
from mqd.cluster.links.mesh import LinkMesh
from mqd.cluster.ports import PeerDown
from tests.cluster.links.nodes import Cluster
from tests.cluster.links.proxy import Proxy
from tests.waiting import PATIENCE_S

SEED = int(os.environ.get("MQD_LINKS_SEED", "1"))
LASTS_S = float(os.environ.get("MQD_LINKS_S", "6"))
NODES = ("a", "b", "c")


class Witness:
    """What one node sends and sees."""

    def __init__(self, mesh: LinkMesh) -> None:
        self.mesh = mesh
        self.links = 0
        self.taken = 0
        self.outcomes = {"answered": 0, "down": 0, "late": 0}
        self._is_up: dict[str, bool] = {}
        self._sent: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        mesh.on_change(self._hear)
        mesh.take("row", self._take)
        mesh.answer("echo", self._echo)

    def saw_enough(self) -> bool:
        return self.links > 2 and self.taken > 50 and self.outcomes["answered"] > 10

    def _hear(self, peer: str, up: bool) -> None:
        assert self._is_up.get(peer, False) is not up, "heard twice"
        assert (peer in self.mesh.up) is up
        self._is_up[peer] = up
        self.links += up
        self._sent[peer] = self._wanted[peer] = 0

    def _take(self, peer: str, data: bytes) -> None:
        assert self._is_up[peer], "arrived while down"
        number, _, filling = data.partition(b":")
        assert int(number) == self._wanted[peer], "lost, repeated or of another link"
        assert filling == b"x" * len(filling)
        self._wanted[peer] += 1
        self.taken += 1

    async def _echo(self, _peer: str, data: bytes) -> bytes:
        return data

    def send(self, peer: str, size: int) -> None:
        data = b"%d:" % self._sent.get(peer, 0) + b"x" * size
        if self.mesh.send(peer, "row", data):
            self._sent[peer] += 1
        else:
            assert not self._is_up.get(peer)

    async def ask(self, peer: str) -> None:
        data = os.urandom(8)
        try:
            assert await self.mesh.request(peer, "echo", data, 1.0) == data
            self.outcomes["answered"] += 1
        except PeerDown:
            self.outcomes["down"] += 1
        except TimeoutError:
            self.outcomes["late"] += 1


@pytest.mark.asyncio
async def test_promises_hold_while_networks_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (("LINK_DEAD_MS", 600), ("LINK_BEAT_MS", 200), ("LINK_TICK_S", 0.05)):
        monkeypatch.setattr(limits, name, value)
    drawn = random.Random(SEED)
    async with Cluster(tmp_path) as cluster, AsyncExitStack() as stack:
        witnesses = {node: Witness(await cluster.start(node)) for node in NODES}
        proxies = []
        for caller in NODES:
            table = dict(cluster.members)
            for other in NODES:
                if caller < other:
                    proxy = Proxy(cluster.members[other].link_port)
                    proxies.append(await stack.enter_async_context(proxy))
                    moved = cluster.members[other].__class__(
                        other, table[other].incarnation, 1, "disc", "127.0.0.1", 0, proxy.port
                    )
                    table[other] = moved
            cluster[caller].use_members(table)
        await cluster.linked()
        asking: set[asyncio.Task[None]] = set()
        end = time.monotonic() + LASTS_S
        while time.monotonic() < end or not all(map(Witness.saw_enough, witnesses.values())):
            assert time.monotonic() < end + PATIENCE_S, f"seed {SEED}: too little happened"
            sender = witnesses[drawn.choice(NODES)]
            peer = drawn.choice([node for node in NODES if node != sender.mesh.node])
            if drawn.random() < 0.2:
                asking.add(asyncio.ensure_future(sender.ask(peer)))
            elif not sender.mesh.congested(peer):
                size = drawn.choice((0, 5, 500, 70_000, 300_000))
                sender.send(peer, size)
            if drawn.random() < 0.02:
                break_one(drawn, drawn.choice(proxies))
            await asyncio.sleep(drawn.choice((0, 0, 0.002)))
        for proxy in proxies:
            proxy.cut()
            proxy.mend()
        await asyncio.gather(*asking)
        await cluster.linked()
        for proxy in proxies:
            proxy.cut(for_good=True)
        for mesh in cluster.meshes.values():
            await mesh.close()
    traced = [record.getMessage() for record in caplog.records if record.exc_info]
    assert traced == [], f"seed {SEED}"


def break_one(drawn: random.Random, proxy: Proxy) -> None:
    match drawn.choice(("cut", "stall", "stall both", "slow", "gone", "mend", "mend", "mend")):
        case "cut":
            proxy.cut()
        case "stall":
            proxy.stall(drawn.choice(("in", "out")))
        case "stall both":
            proxy.stall("in", "out")
        case "slow":
            proxy.delay_s = 0.01
        case "gone":
            proxy.cut(for_good=True)
        case _:
            proxy.mend()
