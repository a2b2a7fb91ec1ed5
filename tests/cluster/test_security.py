"""What a stranger on the network, or on the machine, gets from a cluster: nothing.

Three daemons that are linked, with their engines; from outside, on every port they listen on.
`links/test_hostile.py` and `test_handshake.py` try the protocols alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from mqd.cluster.identity import issue
from tests.cluster.trio import Member, Trio
from tests.waiting import PATIENCE_S, eventually

_GARBAGE = {
    "noise": bytes(range(256)) * 40,
    "zeros": bytes(70_000),
    "http": b"GET /varz HTTP/1.1\r\nHost: x\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)),
    "amqp": b"AMQP\x00\x00\x09\x01",
    "nats": b'CONNECT {"verbose":true}\r\nPING\r\nSUB > 1\r\n',
    "route": b'INFO {"server_id":"x","cluster":"mqd"}\r\nCONNECT {"user":""}\r\nRS+ $G >\r\n',
    "huge frame": b"\xff" * 64,
}
_READ_S = 3.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    made = Trio("mqd", tmp_path_factory.mktemp("secure") / "nodes")
    try:
        made.start()
        made.await_whole()
        await_engines(made)
        yield made
    finally:
        made.end()


def await_engines(trio: Trio) -> None:
    """They come after the members."""

    def run() -> bool:
        return all(any("nats" in each[2] for each in listeners(member)) for member in trio)

    eventually(run)


def listeners(member: Member) -> set[tuple[str, int, str]]:
    """(address, port, program) of all its processes."""
    pids = set(member.pids)
    found = set()
    said = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        for program, pid in re.findall(r'\("([^"]+)",pid=(\d+)', line):
            if int(pid) in pids:
                address, _, port = line.split()[3].rpartition(":")
                found.add((address.strip("[]"), int(port), program))
    return found


def between_nodes(member: Member) -> list[int]:
    """Ports other than AMQP that more than this host may reach."""
    return sorted(
        {
            port
            for address, port, _ in listeners(member)
            if port != member.port and address not in ("127.0.0.1", "::1")
        }
    )


def answer_to(port: int, data: bytes, wrap: ssl.SSLContext | None = None) -> bytes:
    """All that comes back, until the other side closes or has said nothing for a while."""
    said = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
    ):
        plain.settimeout(_READ_S)
        link = wrap.wrap_socket(plain, server_hostname="localhost") if wrap else plain
        with link:
            link.sendall(data)
            while got := link.recv(65536):
                said += got
    return said


def passwords_of(member: Member) -> set[str]:
    """The secrets that its files hold: the cookie, keys, the engine's passwords."""
    cookie = (member.directory / "home" / ".erlang.cookie").read_text().strip()
    found = {cookie}
    for path in member.directory.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".key") and path.stat().st_size < 100_000:
            text = path.read_text(errors="replace")
            found |= set(re.findall(r'"(?:pass(?:word)?|token)"\s*:\s*"([^"]+)"', text))
            found |= {
                line
                for line in text.splitlines()
                if "PRIVATE" not in line and path.suffix == ".key"
            }
    return {one for one in found if len(one) >= 8}


def test_the_engine_runs_and_is_for_this_host_alone(trio: Trio) -> None:
    """Its clients' port is loopback; the port for its peers is one of the documented ones."""
    for member in trio:
        programs = {program for _, _, program in listeners(member)}
        assert any("nats" in program for program in programs), listeners(member)
        for address, port, program in listeners(member):
            if "nats" in program and address not in ("127.0.0.1", "::1"):
                assert port in between_nodes(member)
        assert len(between_nodes(member)) <= 3, listeners(member)  # control, links, routes


@pytest.mark.parametrize("kind", _GARBAGE)
def test_garbage_is_not_answered_with_anything_of_ours(trio: Trio, kind: str) -> None:
    member = trio.members[0]
    for port in between_nodes(member):
        said = answer_to(port, _GARBAGE[kind])
        for secret in passwords_of(member):
            assert secret.encode() not in said
        assert b"guest" not in said
        assert b"+OK" not in said, (port, said)
        assert b"PONG" not in said, (port, said)
    eventually(lambda: len(member.status()["running_nodes"]) == 3)


def test_without_a_certificate_nothing_is_said_over_tls(trio: Trio) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for member in trio:
        for port in between_nodes(member):
            assert answer_to(port, _GARBAGE["route"], context) == b""


def test_certificates_of_another_cookie_are_refused(trio: Trio, tmp_path: Path) -> None:
    status = trio.members[0].status()
    assert status["cluster_name"]
    for generation in (0, 1, 2):
        forged = issue(
            tmp_path, "ANOTHERCOOKIE", "x", generation, trio.members[1].name, ["localhost"]
        )
        context = forged.client_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        for port in between_nodes(trio.members[0]):
            assert answer_to(port, _GARBAGE["route"], context) == b""


def test_files_with_secrets_are_the_users_alone(trio: Trio) -> None:
    for member in trio:
        secrets = passwords_of(member)
        assert len(secrets) > 1, "the engine's passwords were not found: the test looks amiss"
        for path in member.directory.rglob("*"):
            if not path.is_file() or path.stat().st_size > 10_000_000:
                continue
            text = path.read_bytes()
            if any(secret.encode() in text for secret in secrets):
                mode = stat.S_IMODE(path.stat().st_mode)
                assert mode & 0o077 == 0, f"{path}: {mode:o}"


def test_nothing_secret_in_logs_or_process_lists(trio: Trio) -> None:
    for member in trio:
        secrets = passwords_of(member)
        said = (member.directory / "output").read_text(errors="replace")
        for path in (member.directory / "log").rglob("*"):
            said += path.read_text(errors="replace") if path.is_file() else ""
        for pid in member.pids:
            said += Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            if pid != os.getpid():
                said += Path(f"/proc/{pid}/comm").read_text()
        assert not [secret for secret in secrets if secret in said]


def test_a_wrong_cookie_is_refused_by_hash(trio: Trio) -> None:
    member = trio.members[0]
    said = member.run(
        "rabbitmqctl", "-n", trio.members[1].name, "status", "--erlang-cookie", "WRONGWRONGWRONG"
    )
    assert said.returncode == 69
    for secret in passwords_of(member) | {"WRONGWRONGWRONG"}:
        assert secret not in said.stdout + said.stderr


def test_a_recorded_conversation_is_worth_nothing(trio: Trio, tmp_path: Path) -> None:
    """All that a tool sent to the control port, said again."""
    target = trio.members[0]
    port = int(target.environment["RABBITMQ_DIST_PORT"])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        heard = tmp_path / "heard"
        near = listener.getsockname()[1]
        environment = target.environment | {
            "RABBITMQ_DIST_PORT": str(near),
            "MQD_RUN_DIR": str(tmp_path),
        }
        process = subprocess.Popen(
            [*_tool(), "-q", "add_user", "replayed", "pw"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        _relay(listener, port, heard)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    target.ctl("-q", "delete_user", "replayed")
    answer_to(port, heard.read_bytes())
    assert "replayed" not in target.ctl("-q", "list_users")


@pytest.mark.parametrize("path", ["/mqd.rpc.v1.Peer/Hello", "/mqd.rpc.v1.Definitions/Import"])
def test_a_stranger_cannot_have_a_node_hold_its_messages(trio: Trio, path: str) -> None:
    """Twelve that begin one of 60 MiB, and send what the node takes of it."""
    member = trio.members[1]
    assert member.process is not None
    before = resident_mib(member.process.pid)
    port = int(member.environment["RABBITMQ_DIST_PORT"])
    with contextlib.ExitStack() as opened:
        senders = [opened.enter_context(Sender(port, path)) for _ in range(12)]
        for sender in senders:
            sender.send()
        assert max(sender.sent for sender in senders) < 4 << 20
        assert resident_mib(member.process.pid) < before + 100


class Sender:
    """A call over HTTP/2 whose message does not end."""

    def __init__(self, port: int, path: str) -> None:
        self.sent = 0
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socket.settimeout(_READ_S)
        self._http = H2Connection(H2Configuration())
        self._http.initiate_connection()
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
        more = {"te": "trailers", "content-type": "application/grpc"}
        self._http.send_headers(1, list((headers | more).items()))
        self._http.send_data(1, b"\0" + (60 << 20).to_bytes(4, "big"))

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self) -> None:
        """Until the node wants no more."""
        with contextlib.suppress(OSError, ProtocolError):
            while self.sent < 59 << 20:
                room = min(self._http.local_flow_control_window(1), 16_384)
                self._http.send_data(1, bytes(room))
                self.sent += room
                self._socket.sendall(self._http.data_to_send())
                if room == 0:
                    data = self._socket.recv(65_536)
                    if not data:
                        return
                    self._http.receive_data(data)


def resident_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) // 1024


def test_hundreds_that_connect_and_say_nothing(trio: Trio) -> None:
    """On every port: they are sent away, and the cluster is there meanwhile."""
    member = trio.members[2]
    with contextlib.ExitStack() as opened:
        silent = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
            for port in between_nodes(member)
            for _ in range(150)
        ]
        eventually(lambda: len(member.status()["running_nodes"]) == 3)
        with selectors.DefaultSelector() as selector:
            for one in silent:
                selector.register(one, selectors.EVENT_READ)
            end = time.monotonic() + PATIENCE_S  # our own ports: 5 s, the engine's: 2
            while selector.get_map() and time.monotonic() < end:
                for key, _ in selector.select(1):
                    assert isinstance(key.fileobj, socket.socket)
                    with contextlib.suppress(OSError):
                        if key.fileobj.recv(4096):
                            continue
                    selector.unregister(key.fileobj)
            left = [key.fileobj for key in selector.get_map().values()]
        assert left == []
    eventually(lambda: len(member.status()["running_nodes"]) == 3)


def _tool() -> list[str]:
    return [sys.executable, "-c", "from mqctl.main import main; raise SystemExit(main())"]


def _relay(listener: socket.socket, port: int, heard: Path) -> None:
    """One connection, both ways, until either side has closed."""
    listener.settimeout(PATIENCE_S)
    near, _ = listener.accept()
    far = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    with near, far, heard.open("wb") as file, selectors.DefaultSelector() as selector:
        selector.register(near, selectors.EVENT_READ)
        selector.register(far, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(PATIENCE_S):
                source = near if key.fileobj is near else far
                data = source.recv(65536)
                if not data:
                    return
                if source is near:
                    file.write(data)
                (far if source is near else near).sendall(data)
