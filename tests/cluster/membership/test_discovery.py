"""Peer discovery by dns with a name server, and nodes at addresses and names of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import dns
from tests.cluster.membership.members import Member
from tests.nodes import free_ports
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

SERVER = "127.0.53.1"
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

    def __init__(self, folder: Path, name: str, address: str, ports: tuple[int, int]) -> None:
        super().__init__(folder, name, "")
        self.name = f"rabbit@{name}"
        self.prefix = dns.private(self.directory, SERVER)
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
    addresses = {f"n{at}.test": f"127.0.53.{10 + at}" for at in (1, 2, 3)}
    port, dist = free_ports(2)
    dist = 10_700 + dist % 9000  # what others look for is dist + 10000, too
    nodes = [Host(folder, name, each, (port, dist)) for name, each in addresses.items()]
    table = {name: [each] for name, each in addresses.items()}
    try:
        with dns.NameServer(SERVER, table | {"mq.test": list(addresses.values())}) as server:
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
            assert sorted(node.status()["disk_nodes"]) == names
            assert "peer discovery backend: rabbit_peer_discovery_dns" in node.log
        assert ("mq.test", dns.A) in server.asked
        assert ("11.53.0.127.in-addr.arpa", dns.PTR) in server.asked
        nodes[2].ctl("add_user", "one_cluster", "pw")
        assert all("one_cluster" in node.users() for node in nodes)


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
        server.hosts["n2.test"] = ["127.0.53.99"]
        path = second.directory / "rabbitmq.conf"
        path.write_text(path.read_text().replace("127.0.53.12", "127.0.53.99"))
        for node in (first, second):
            node.launch()
        for node in (first, second):
            eventually(node.runs)
        first.ctl("add_user", "later", "pw")
        assert "later" in second.users()
        assert f"linked to node {second.name} at 127.0.53.99:" in first.log
        third.begin()
        assert "later" in third.users()
