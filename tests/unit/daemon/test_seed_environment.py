"""The environment file of a cloud's runbook, on a running node: every flag where it must arrive.

The file has RABBITMQ_NODE_PORT and RABBITMQ_NODE_IP_ADDRESS (E1, E10: a listener on that address
and port only), ulimit (E2), and flags of the Erlang runtime (E3 +K, E4 +A30, E5 +P, E6/E7 nodelay
and E8 {raw,6,18,<<5000:64/native>>} of outgoing sockets, E9 the same of listening ones, inherited
by what they accept). E11: the text as lines and as one physical line. Walked once by hand against
3.10.8 too: same listener, same limits in `status` (1,900 files less 97), option 18 of the listening
socket 5000 there as here; its outgoing sockets lose the raw option to the server script's own flag.
By hand as well, the file as one line and the client behind a link that was cut: with a message on
its way the connection was gone after 5.4 s, heartbeats off (E8).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from tests.nodes import Node
from tests.waiting import eventually

FORMS = {"lines": "\n", "one line": " "}
_PIDFD_GETFD = 438


@pytest.fixture(params=FORMS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    text = (
        f"RABBITMQ_NODE_PORT={made.port}\n"
        "ulimit -S -n 1900\n"
        'RABBITMQ_SERVER_ERL_ARGS="+K true +A30 +P 1048576 -kernel inet_default_connect_options '
        "[{nodelay,true},{raw,6,18,<<5000:64/native>>}] -kernel inet_default_listen_options "
        '[{raw,6,18,<<5000:64/native>>}]"\n'
        "RABBITMQ_NODE_IP_ADDRESS=127.0.0.2\n"
    )
    (tmp_path / "env.conf").write_text(text.replace("\n", FORMS[request.param]))
    (tmp_path / "rabbitmq.conf").write_text("loopback_users = none\n")
    del made.environment["RABBITMQ_NODE_PORT"]
    made.environment["RABBITMQ_CONF_ENV_FILE"] = str(tmp_path / "env.conf")
    made.launch()
    try:
        made.await_control()
        yield made
    finally:
        made.stop()


def sockets_of(pid: int) -> Iterator[socket.socket]:
    """Copies of a process's TCP sockets: setsockopt is asked where it counts."""
    libc = ctypes.CDLL(None, use_errno=True)
    watched = os.pidfd_open(pid)
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                    continue
            except FileNotFoundError:  # closed meanwhile
                continue
            copy = libc.syscall(_PIDFD_GETFD, watched, int(number), 0)
            if copy < 0 and ctypes.get_errno() == errno.EBADF:
                continue
            if copy < 0:
                pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            with socket.socket(fileno=copy) as found:
                if found.family in (socket.AF_INET, socket.AF_INET6):
                    yield found
    finally:
        os.close(watched)


def test_every_flag_arrives(node: Node) -> None:
    assert node.process is not None
    pid = node.process.pid
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.2", node.port)):
        listening, accepted = [], []
        for each in sockets_of(pid):
            if each.getsockname()[1] != node.port:
                continue
            is_listening = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            assert each.getsockopt(socket.IPPROTO_TCP, 18) == 5000  # TCP_USER_TIMEOUT, ms
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            (listening if is_listening else accepted).append(each.getsockname())
        assert listening == [("127.0.0.2", node.port)]
        assert accepted == [("127.0.0.2", node.port)]
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max open files            1900 " in limits
    status = node.ctl("status")
    assert "limit: 1803\n" in status  # as 3.10.8 counts: a part is kept for itself
    environment = node.ctl("environment")
    assert "{inet_default_listen_options,[{raw,6,18,<<136,19,0,0,0,0,0,0>>}]}" in environment


def test_sockets_have_what_rabbitmq_conf_says(tmp_path: Path) -> None:
    extra = (
        "tcp_listen_options.nodelay = false\ntcp_listen_options.keepalive = true\n"
        "tcp_listen_options.linger.on = true\ntcp_listen_options.linger.timeout = 3\n"
        "tcp_listen_options.sndbuf = 65536\ntcp_listen_options.recbuf = 32768\n"
        "tcp_listen_options.priority = 2\n"
    )
    with Node(tmp_path, extra_config=extra) as node:
        assert node.process is not None
        with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", node.port)):
            pid = node.process.pid

            def mine() -> list[bool]:
                found = (each for each in sockets_of(pid) if each.getsockname()[1] == node.port)
                return [_options(each) for each in found]

            eventually(lambda: len(mine()) == 2)  # that of the start may still be there


def _options(each: socket.socket) -> bool:
    plain = {
        socket.SO_KEEPALIVE: 1,
        socket.SO_SNDBUF: 2 * 65_536,  # socket(7): the kernel doubles it
        socket.SO_RCVBUF: 2 * 32_768,
        socket.SO_PRIORITY: 2,
    }
    for name, value in plain.items():
        assert each.getsockopt(socket.SOL_SOCKET, name) == value
    linger = each.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert linger == (1).to_bytes(4, "little") + (3).to_bytes(4, "little")
    assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
    return True
