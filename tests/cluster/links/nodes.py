"""Real links among nodes of one process: sockets, TLS, the machine's clock.

Decides how such nodes come to be and what is waited for, always with a bound.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mqd.cluster import identity
from mqd.cluster.links.greeting import Hello
from mqd.cluster.links.mesh import LinkMesh, Passport, Refused
from mqd.daemon.clock import SystemClock
from mqd.metadata.commands import Member
from tests.ports import free_ports
from tests.waiting import until

COOKIE = "CHOCOLATE"
CLUSTER = "c1"
HOST = "127.0.0.1"


def incarnation(node: str) -> str:
    """Of a node, unless a test has it otherwise."""
    return node.encode().hex()[:8].zfill(8)


def passport(
    folder: Path,
    node: str,
    *,
    epoch: int = 1,
    cookie: str = COOKIE,
    cluster: str = CLUSTER,
    generation: int = 1,
    says: Hello | None = None,
) -> Passport:
    """says: a greeting that does not fit the certificate."""
    issued = identity.issue(folder / node, cookie, cluster, generation, node, [HOST])
    hello = says or Hello(node, incarnation(node), epoch, cluster, generation)
    return Passport(hello, issued.server_context(), issued.client_context())


class Cluster:
    """Nodes and their members' table. Use as an asynchronous context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meshes: dict[str, LinkMesh] = {}
        self.members: dict[str, Member] = {}
        self.heard: dict[str, list[str]] = {}
        self.refused: dict[str, list[Refused]] = {}
        self._ports = iter(free_ports(8))
        self._epoch = 0

    def __getitem__(self, node: str) -> LinkMesh:
        return self.meshes[node]

    async def start(self, node: str, given: Passport | None = None) -> LinkMesh:
        """A process of that name that listens. Not a member for others yet: see `join`."""
        self._epoch += 1
        given = given or passport(self.folder, node, epoch=self._epoch)
        refused = self.refused[node] = []
        mesh = LinkMesh(given, SystemClock(), refused.append)
        before = self.members.get(node)
        ports = [before.link_port] if before is not None else self._ports
        port = await mesh.listen(HOST, ports)
        self.meshes[node] = mesh
        self.members[node] = Member(node, given.hello.incarnation, 1, "disc", HOST, link_port=port)
        heard = self.heard[node] = []
        mesh.on_change(lambda peer, up: heard.append(f"{'+' if up else '-'}{peer}"))
        mesh.take("t", lambda peer, data: heard.append(f"{peer}:{data.decode()}"))
        return mesh

    def join(self, *nodes: str) -> None:
        """All know all."""
        for node in nodes or self.meshes:
            self.meshes[node].use_members(self.members)

    async def form(self, *nodes: str) -> None:
        """Start, join, wait until all are linked."""
        for node in nodes:
            await self.start(node)
        self.join()
        await self.linked()

    async def linked(self, *nodes: str) -> None:
        """Until these, or all, are linked with each other."""
        names = set(nodes or self.meshes)
        await until(lambda: all(names - {n} <= set(self.meshes[n].up) for n in names))

    def redirect(self, node: str, to: str, port: int) -> None:
        """`node` reaches `to` by way of that port from now on."""
        moved = {**self.members, to: replace(self.members[to], link_port=port)}
        self.meshes[node].use_members(moved)

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        for mesh in self.meshes.values():
            await mesh.close()
