"""Nodes that have no socket where the tool looks: reached over TCP, or said to be out of reach."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes import Node
from tests.ports import free_ports
from tests.waiting import PATIENCE_S

_CALL = "from mqctl.main import main; raise SystemExit(main())"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose control socket the tools of this module do not find."""
    directory = tmp_path_factory.mktemp("far")
    node = Node(directory)
    node.environment["MQD_RUN_DIR"] = str(directory / "run")
    with node:
        node.await_control()
        node.environment["MQD_RUN_DIR"] = str(directory / "elsewhere")
        yield node


def ctl(node: Node, *words: str, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", _CALL, *words],
        env=node.environment | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def unreachable(outcome: tuple[int, str, str], node: str, *reasons: str) -> None:
    code, _, err = outcome
    assert code == 69
    assert f"Error: unable to perform an operation on node '{node}'. Please see diag" in err
    for reason in reasons:
        assert reason in err


def test_verbs_of_a_far_node(far: Node) -> None:
    assert ctl(far, "-q", "add_user", "far", "secret") == (0, "", "")
    assert "far\t[]" in ctl(far, "list_users")[1]
    assert ctl(far, "-q", "delete_user", "far") == (0, "", "")
    code, _, err = ctl(far, "-q", "delete_user", "far")
    assert (code, err) == (67, 'Error:\nUser "far" does not exist\n')


def test_a_far_node_answers_with_its_application_stopped(far: Node) -> None:
    assert ctl(far, "stop_app")[0] == 0
    assert ctl(far, "ping")[0] == 0
    assert ctl(far, "start_app")[0] == 0


def test_a_wrong_cookie(far: Node) -> None:
    outcome = ctl(far, "-q", "list_users", "--erlang-cookie", "WRONG")
    unreachable(outcome, far.name, "the node refused this tool's cookie")


def test_another_node_answers_there(far: Node) -> None:
    outcome = ctl(far, "-n", "nosuch@localhost", "list_users")
    unreachable(outcome, "nosuch@localhost", f"node {far.name} answers there, not nosuch@")


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "x" * 70 + ".y"])
def test_a_host_that_is_none(far: Node, host: str) -> None:
    began = time.monotonic()
    outcome = ctl(far, "-l", "-n", f"rabbit@{host}", "list_users")
    unreachable(outcome, f"rabbit@{host}", "cannot connect to")
    assert time.monotonic() - began < 45  # what a tool gives a node is a minute


def test_a_host_where_nobody_listens(far: Node) -> None:
    (port,) = free_ports(1)
    outcome = ctl(far, "list_users", RABBITMQ_DIST_PORT=str(port))
    unreachable(outcome, far.name, f"cannot connect to localhost:{port}: Connection refused")


def test_something_else_answers_there(far: Node) -> None:
    outcome = ctl(far, "list_users", RABBITMQ_DIST_PORT=str(far.port))  # AMQP
    unreachable(outcome, far.name, "closed the connection")


def test_an_impostor_is_told_nothing(far: Node) -> None:
    """Whoever does not know the cookie gets neither the request nor the cookie."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:
        tool = subprocess.Popen(
            [sys.executable, "-c", _CALL, "add_user", "u", "SECRETWORD"],
            env=far.environment | {"RABBITMQ_DIST_PORT": str(server.getsockname()[1])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        server.settimeout(PATIENCE_S)
        link, _ = server.accept()
        with link:
            link.settimeout(PATIENCE_S)
            while chunk := link.recv(65536):
                heard += chunk
        _, err = tool.communicate(timeout=PATIENCE_S)
    assert tool.returncode == 69
    assert b"no answer to the handshake" in err
    assert b"Peer/Hello" in heard or b"PRI * HTTP/2.0" in heard
    cookie = (Path(far.environment["HOME"]) / ".erlang.cookie").read_bytes()
    assert cookie
    assert cookie not in heard
    assert b"SECRETWORD" not in heard


def test_the_port_is_the_first_listener(far: Node) -> None:
    out = ctl(far, "-q", "cluster_status")[1]
    lines = [line for line in out.splitlines() if line.startswith("Node: ") and "port" in line]
    assert lines[0] == (
        f"Node: {far.name}, interface: [::], port: {far.environment['RABBITMQ_DIST_PORT']}, "
        "protocol: clustering, purpose: inter-node and CLI tool communication"
    )
    assert "protocol: amqp" in lines[1]
