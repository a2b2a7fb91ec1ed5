"""Channels that wait for another member: their connection's other channels go on (as by 3.10.8).

First in one process, where links hold what the test says; then two real members, of which the one
that has the queue stands still.
"""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pamqp import frame
from pamqp.header import ProtocolHeader

from tests.cluster.membership.members import Member, members
from tests.cluster.queues.worlds import Client, Cluster
from tests.harness import Basic, Channel, Connection, Queue, Tx, published
from tests.waiting import PATIENCE_S, eventually

CLOSE = frame.marshal(Connection.Close(200, "bye", 0, 0), 0)


# -- in one process -------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Cluster:
    """Durable queue q lives on b, with one message."""
    cluster = Cluster("a", "b")
    there = cluster["b"].connect()
    there.declare("q", durable=True)
    there.publish("q", "m")
    return cluster


@pytest.fixture
def here(cluster: Cluster) -> Client:
    """On a, where own lives; what b sends to a is held from now on."""
    client = cluster["a"].connect(channels=3)
    client.declare("own")
    cluster.meshes.hold("b", "a")
    return client


ASKED: dict[str, Any] = {
    "get": Basic.Get(0, "q"),
    "consume": Basic.Consume(0, "q", "c"),
    "purge": Queue.Purge(queue="q"),
    "delete": Queue.Delete(queue="q"),
    "declare": Queue.Declare(queue="q", passive=True),
}


def go_on(cluster: Cluster) -> None:
    cluster.meshes.release("b", "a")
    cluster.run()


@pytest.mark.parametrize("what", ASKED)
def test_others_go_on_while_a_home_is_asked(what: str, cluster: Cluster, here: Client) -> None:
    here.send(ASKED[what], Basic.Qos(0, 5))
    here.publish("own", "x", channel=2)
    assert str(here.get("own", channel=2, no_ack=True)) == "got 1 x left 0"
    here.call(Tx.Select(), 3)
    assert here.said() == []
    go_on(cluster)
    answered = {"delete": "Queue.DeleteOk", "get": "Basic.GetOk"}.get(what, ASKED[what].name + "Ok")
    names = [got.name for got in here.take() if got.name != "Basic.Deliver"]
    assert names == [answered, "Basic.QosOk"]
    assert here.session.connection.waiting.kept == {}


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("opened_anew", [True, False])
def test_a_channel_that_is_closed_while_a_home_is_asked(
    what: str, opened_anew: bool, cluster: Cluster, here: Client
) -> None:
    """The late answer is nobody's, and what it brings goes back."""
    here.send(ASKED[what], Basic.Qos(0, 5))
    here.session.time_out(1, 1)
    here.feed(b"")
    assert [got.name for got in here.take()] == ["Channel.Close"]
    here.send(Channel.CloseOk())
    if opened_anew:
        here.call(Channel.Open())
        here.call(Basic.Qos(0, 1))
    go_on(cluster)
    assert here.said() == []
    assert here.session.connection.waiting.kept == {}
    if what == "delete":
        assert "q" not in cluster["b"].vhost.queues
        return
    home, seen = cluster["b"].queue("q"), cluster["a"].broker.vhosts["/"].queues["q"]
    assert home.ready_count == (0 if what == "purge" else 1)
    assert (home.unacked_count, home.consumers) == (0, [])
    assert (seen.unacked_count, seen.consumers) == (0, [])


def test_the_connections_close_waits_for_the_home(cluster: Cluster, here: Client) -> None:
    here.send(Basic.Get(0, "q", True))
    here.feed(published("own", "behind") + published("own", "beside", channel=2) + CLOSE)
    assert here.said() == []
    assert cluster["a"].queue("own").ready_count == 1
    go_on(cluster)
    assert here.said() == ["got 1 m left 0", "Connection.CloseOk"]
    assert cluster["a"].queue("own").ready_count == 2
    assert cluster["b"].queue("q").ready_count == 0


def test_a_client_that_is_lost_leaves_nothing(cluster: Cluster, here: Client) -> None:
    here.send(Basic.Get(0, "q"))
    here.publish("own", "behind")
    here.drop()
    go_on(cluster)
    assert cluster["b"].queue("q").ready_count == 1
    assert cluster["b"].queue("q").unacked_count == 0
    assert cluster["a"].queue("own").ready_count == 0


# -- real members ---------------------------------------------------------------------------------


class Peer:
    """A client that sends what it is told and notes what comes, by channel."""

    def __init__(self, node: Member, channels: int, heartbeat_s: int = 0) -> None:
        self._link = socket.create_connection(node.address, timeout=PATIENCE_S)
        self._buffer = b""
        self._link.sendall(ProtocolHeader(0, 9, 1).marshal())
        self.until(0, "Connection.Start")
        self.send(Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"), channel=0)
        self.until(0, "Connection.Tune")
        self.send(Connection.TuneOk(2047, 131_072, heartbeat_s), Connection.Open("/"), channel=0)
        self.until(0, "Connection.OpenOk")
        for number in range(1, channels + 1):
            self.send(Channel.Open(), channel=number)
            self.until(number, "Channel.OpenOk")

    def send(self, *methods: Any, channel: int) -> None:
        self.feed(b"".join(frame.marshal(method, channel) for method in methods))

    def feed(self, data: bytes) -> None:
        self._link.sendall(data)

    def until(self, channel: int, name: str) -> list[tuple[int, str]]:
        """What comes up to that, and that. Heartbeats are answered and left out; content too."""
        seen: list[tuple[int, str]] = []
        while (channel, name) not in seen:
            got, what = self._next()
            if what == "Heartbeat":
                self.feed(b"\x08\0\0\0\0\0\0\xce")
                if (channel, name) == (0, "Heartbeat"):
                    return seen
            elif not what.startswith("Content"):
                seen.append((got, what))
        return seen

    def _next(self) -> tuple[int, str]:
        while True:
            if len(self._buffer) >= 7:
                end = struct.unpack_from(">I", self._buffer, 3)[0] + 8
                if len(self._buffer) >= end:
                    _, channel, piece = frame.unmarshal(self._buffer[:end])
                    self._buffer = self._buffer[end:]
                    return channel, piece.name
            data = self._link.recv(65_536)
            assert data, "the socket was closed"
            self._buffer += data

    def ends(self) -> None:
        """The server has hung up when this returns."""
        self._link.shutdown(socket.SHUT_WR)
        while self._link.recv(65_536):
            pass
        self._link.close()


@contextmanager
def standing_still(node: Member) -> Iterator[Callable[[], None]]:
    """Until what is yielded is called."""
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        yield lambda: node.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    finally:
        node.process.send_signal(signal.SIGCONT)


def ready(node: Member, queue: str) -> bool:
    """Whether it has one message."""
    rows = node.ctl("-q", "list_queues", "--no-table-headers", "name", "messages_ready")
    return dict(line.split("\t") for line in rows.splitlines())[queue] == "1"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_with_a_member_that_stands_still(tmp_path: Path) -> None:
    """As 3.10.8 does when a member is stopped amid a declare. It stands still for less than the
    three seconds after which it counts as lost."""
    with members(tmp_path, "a", "b") as (a, b):
        b.join(a, "--ram")
        there = Peer(b, 1)
        there.send(Queue.Declare(queue="q", durable=True), channel=1)
        there.until(1, "Queue.DeclareOk")
        there.feed(published("q", "m"))
        eventually(lambda: ready(b, "q"))
        there.ends()
        here = Peer(a, 2, heartbeat_s=2)
        here.send(Queue.Declare(queue="own"), channel=2)
        here.until(2, "Queue.DeclareOk")

        with standing_still(b) as end:
            here.send(Basic.Get(0, "q"), Basic.Qos(0, 1), channel=1)
            here.feed(published("own", "x", channel=2))
            here.send(Basic.Get(0, "own"), channel=2)
            here.send(Channel.Open(), channel=3)
            meanwhile = here.until(3, "Channel.OpenOk")
            meanwhile += here.until(0, "Heartbeat")
            end()
            assert meanwhile == [(2, "Basic.GetOk"), (3, "Channel.OpenOk")]
            assert here.until(1, "Basic.QosOk") == [(1, "Basic.GetOk"), (1, "Basic.QosOk")]

        here.send(Basic.Nack(1, requeue=True), channel=1)
        eventually(lambda: ready(b, "q"))
        with standing_still(b) as end:
            here.send(Basic.Get(0, "q", True), channel=1)
            here.feed(published("own", "y", channel=1) + CLOSE)
            end()
            closed = here.until(0, "Connection.CloseOk")
        assert closed == [(1, "Basic.GetOk"), (0, "Connection.CloseOk")]
        here.ends()
        eventually(lambda: not ready(b, "q"))
