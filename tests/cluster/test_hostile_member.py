"""A member gone mad: it has the cookie, greets as it should, and talks nonsense to every service.

The others end its link with a reason, or pass over what it says; none of them stops, and the
cluster goes on taking changes and messages.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from mqd.cluster import identity
from mqd.cluster.links import frames
from mqd.cluster.links.greeting import Hello
from mqd.cluster.membership import file
from mqd.cluster.membership.record import Record
from tests.cluster.trio import Member, Trio
from tests.waiting import PATIENCE_S, eventually

_JSON = (
    b"{}", b"[]", b"null", b"0", b'"x"', b"[[[]]]", b"[1,2,3,4]", b'{"do":1}', b'{"more":[]}',
    b'{"rpc":"Nodes.Shutdown"}', b'{"rpc":5,"actor":{}}\n', b'{"standing":5}', b'{"standing":{}}',
    b'{"clients":{"vhosts":{"/":"x"}}}', b'{"look":[]}', b"[" * 50_000, b"1e999", b"NaN",
    b"[1,0,0]\n\xff\xfe", b"[1,1,1]\n{", b'["p",1]\nnonsense', b"[99999999999999999999,0,true]\nx",
)  # fmt: skip
_SERVICES = (
    "gate", "standing", "admin", "engine", "queues", "shards", "shards.ask", "shards.home",
    "meta.hello", "meta.entries", "meta.snapshot", "meta.propose", "meta.refuse", "meta.ack",
    "none",
)  # fmt: skip
_ROUNDS = 8

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def nonsense(drawn: random.Random) -> bytes:
    """One payload."""
    match drawn.randrange(5):
        case 0:
            return drawn.randbytes(drawn.choice((0, 1, 7, 16, 300)))
        case 1:  # a record of a queue, with any body
            body = drawn.choice((drawn.randbytes(drawn.randrange(40)), drawn.choice(_JSON)))
            return struct.pack(">IB", len(body), drawn.randrange(26)) + body
        case 2:  # one that is cut off
            return struct.pack(">IB", drawn.choice((1 << 31, 60)), drawn.randrange(26)) + b"x"
        case _:
            return drawn.choice(_JSON)


def kinds(said: bytes) -> list[int]:
    """Of the frames that a node sent."""
    return [kind for kind, *_ in frames.Decoder(1 << 20).feed(said)]


class Mad:
    """Member a, which does not run, played by this process."""

    def __init__(self, of: Member, folder: Path) -> None:
        record = file.read(of.directory / "mnesia" / of.name)
        assert record is not None
        self.record: Record = record
        self.name = of.name
        cookie = (of.directory / "home" / ".erlang.cookie").read_text().strip()
        cluster = record.cluster
        self._context = identity.issue(
            folder, cookie, cluster.id, cluster.generation, of.name, ["localhost"]
        ).client_context()
        self._epoch = 1000

    def talk(self, to: str, data: bytes) -> bytes:
        """Greet, say that, and what comes back until the end or a while of silence."""
        self._epoch += 1
        record = self.record
        hello = Hello(
            self.name, record.incarnation, self._epoch, record.cluster.id, record.cluster.generation
        )
        names = [
            frames.frame(frames.NAME, number, 0, service.encode())
            for number, service in enumerate(_SERVICES)
        ]
        greeted = frames.frame(frames.HELLO, payload=hello.encode()) + frames.frame(frames.WELCOME)
        ready = frames.frame(frames.SEND, _SERVICES.index("gate"), 0, b"1")
        said = b""
        port = record.members[to].link_port
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            self._context.wrap_socket(plain, server_hostname=identity.name_of(to)) as link,
        ):
            try:
                link.sendall(greeted + b"".join(names) + ready + data)
                while got := link.recv(65_536):
                    said += got
                    if frames.HELLO in kinds(said):  # it may take its time for that alone
                        link.settimeout(0.3)
            except (TimeoutError, ssl.SSLError, ConnectionError):
                pass
        return said


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    made = Trio("mqd", tmp_path_factory.mktemp("mad") / "nodes")
    try:
        made.start()
        made.await_whole()
        await_majority(made)
        yield made
    finally:
        made.end()


def await_majority(trio: Trio) -> None:
    """Before, nobody could go on without the first one."""
    words = "3 copies of the log of changes"
    eventually(lambda: any(words in said_in_log(member) for member in trio))


def said_in_log(member: Member) -> str:
    log = "".join(path.read_text() for path in (member.directory / "log").glob("*.log"))
    assert "never retrieved" not in log + (member.directory / "output").read_text()
    return log


def works(member: Member, queue: str) -> None:
    """A change of the metadata, a confirmed message, and all listings."""
    parameters = pika.ConnectionParameters("127.0.0.1", member.port, socket_timeout=20)
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(queue, durable=True)
    channel.basic_publish("", queue, b"still here", mandatory=True)
    connection.close()
    for listing in ("list_queues", "list_connections", "list_channels", "list_consumers"):
        member.ctl("-q", listing)
    eventually(lambda: len(member.status()["running_nodes"]) == 2)


def test_it_harms_nobody_but_itself(trio: Trio, tmp_path: Path) -> None:
    mad_one, *others = trio.members
    mad = Mad(mad_one, tmp_path)
    assert all(mad.name < other.name for other in others), "the smaller name dials"
    mad_one.kill()
    drawn = random.Random(7)
    for other in others:
        greeted = kinds(mad.talk(other.name, b""))
        assert frames.HELLO in greeted, "it was not even greeted: this test would try nothing"
        for _ in range(_ROUNDS):
            data = b"".join(
                frames.frame(
                    drawn.choice((frames.SEND, frames.SEND, frames.REQUEST)),
                    drawn.randrange(len(_SERVICES)),
                    drawn.randrange(1 << 20),
                    nonsense(drawn),
                )
                for _ in range(drawn.randrange(1, 6))
            )
            mad.talk(other.name, data)
            assert other.alive, data
    for number, other in enumerate(others):
        works(other, f"after{number}")
        log = said_in_log(other)
        ends = [line for line in log.splitlines() if f"the link to node {mad.name} ended" in line]
        assert any("failed" in line or "garbled" in line for line in ends), ends


def test_each_service_by_itself(trio: Trio, tmp_path: Path) -> None:
    """So that what ends a link does not hide what comes behind it."""
    mad_one, other, _ = trio.members
    mad = Mad(mad_one, tmp_path)
    mad_one.kill() if mad_one.alive else None
    for number, service in enumerate(_SERVICES):
        drawn = random.Random(service)
        requests = b"".join(
            frames.frame(frames.REQUEST, number, call, nonsense(drawn)) for call in range(12)
        )
        answers = kinds(mad.talk(other.name, requests))
        assert other.alive, service
        assert frames.HELLO in answers, service
    works(other, "single")
    said_in_log(other)
    assert json.loads(other.ctl("cluster_status", "--formatter", "json"))
