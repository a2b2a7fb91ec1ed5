"""Peer discovery by dns with a name server, and nodes at addresses and names of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import dns
from tests.cluster.membership.members import Member, know
from tests.ports import control_port, free_ports
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

_DAEMON = "from mqd.daemon.main import main; raise SystemExit(main())"
_CONFIG = """\
listeners.tcp.local = {address}:{port}
distribution.listener.interface = {address}
cluster_formation.peer_discovery_backend = dns
cluster_formation.dns.hostname = mq.test
cluster_formation.discovery_retry_limit = 20
"""


class Host(Member):
    """A node as on a host of its own: the same ports as the others, another address, no common run
    directory."""

    def __init__(
        self, folder: Path, name: str, address: str, server: str, ports: tuple[int, int]
    ) -> None:
        super().__init__(folder, name, "")
        self.name = f"rabbit@{name}"
        self.at = address
        self.prefix = dns.private(self.directory, server)
        (self.directory / "run").mkdir(mode=0o750)
        self.environment |= {
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_NODE_PORT": str(ports[0]),
            "RABBITMQ_DIST_PORT": str(ports[1]),
            "MQD_RUN_DIR": str(self.directory / "run"),
        }
        config = _CONFIG.format(address=address, port=ports[0])
        (self.directory / "rabbitmq.conf").write_text(config)

    def launch(self) -> None:
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-c", _DAEMON],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )


@contextmanager
def hosts(folder: Path) -> Iterator[tuple[list[Host], dns.NameServer]]:
    (port,), dist = free_ports(1), control_port()
    network = f"127.{dist // 100}.{dist % 100}"  # of this test alone, as the port is
    addresses = {f"n{at}.test": f"{network}.{10 + at}" for at in (1, 2, 3)}
    server_at = f"{network}.1"
    nodes = [Host(folder, name, each, server_at, (port, dist)) for name, each in addresses.items()]
    table = {name: [each] for name, each in addresses.items()}
    try:
        with dns.NameServer(server_at, table | {"mq.test": list(addresses.values())}) as server:
            yield nodes, server
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture(autouse=True)
def can_be() -> None:
    if why := dns.why_not():
        pytest.skip(why)


def test_nodes_that_dns_names_become_one_cluster(tmp_path: Path) -> None:
    with hosts(tmp_path) as (nodes, server):
        for node in nodes:
            node.launch()
        for node in nodes:
            eventually(node.runs)
        names = sorted(node.name for node in nodes)
        assert names[0] == "rabbit@n1.test"
        for node in nodes:
            eventually(lambda node=node: sorted(node.status()["disk_nodes"]) == names)
            eventually(
                lambda node=node: "peer discovery backend: rabbit_peer_discovery_dns" in node.log
            )
        assert ("mq.test", dns.A) in server.asked
        backwards = ".".join(reversed(nodes[0].at.split(".")))
        assert (f"{backwards}.in-addr.arpa", dns.PTR) in server.asked
        nodes[2].ctl("add_user", "one_cluster", "pw")
        for node in nodes:
            know("one_cluster", node)


def test_a_host_that_gets_another_address_is_found_by_its_name(tmp_path: Path) -> None:
    """All are down meanwhile, and one stays so: nobody can write the address down."""
    with hosts(tmp_path) as (nodes, server):
        first, second, third = nodes
        for node in nodes:
            node.launch()
        for node in nodes:
            eventually(node.runs)
        eventually(lambda: any("3 copies of the log" in node.log for node in nodes))
        for node in nodes:
            node.kill()
        moved = second.at.rpartition(".")[0] + ".99"
        server.hosts["n2.test"] = [moved]
        path = second.directory / "rabbitmq.conf"
        path.write_text(path.read_text().replace(second.at, moved))
        for node in (first, second):
            node.launch()
        for node in (first, second):
            eventually(node.runs)
        first.ctl("add_user", "later", "pw")
        know("later", second)
        eventually(lambda: f"linked to node {second.name} at {moved}:" in first.log)
        third.begin()
        know("later", third)
