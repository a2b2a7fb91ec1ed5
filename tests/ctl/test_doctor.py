"""mqctl doctor against a real node: up, stopped, down, and with files that are wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.nodes import Node
from tests.waiting import PATIENCE_S

_OF_THE_MACHINE = ("clock", "disc_latency")
_CALL = "from mqctl.main import main; raise SystemExit(main())"


def doctor(node: Node, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON; what the machine is like is not this test's to judge."""
    done = subprocess.run(
        [sys.executable, "-c", _CALL, "doctor", "--formatter", "json", *words],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == ""
    report = json.loads(done.stdout)
    report["findings"] = [f for f in report["findings"] if f["check"] not in _OF_THE_MACHINE]
    is_well = not any(finding["severity"] == "error" for finding in report["findings"])
    return 0 if is_well else done.returncode, report


def found(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(finding["check"], finding["severity"]) for finding in report["findings"]}


def test_the_life_of_a_node(tmp_path: Path) -> None:
    node = Node(tmp_path, extra_config="net_ticktime = 60\n")
    code, report = doctor(node, "--offline")
    assert (code, report["state"]) == (0, "unknown")
    assert found(report) == {("configuration", "warning")}
    with node:
        node.await_control()
        code, report = doctor(node)
        assert (code, report["state"]) == (0, "running")
        assert found(report) == {("configuration", "warning")}
        assert report["findings"][0]["fix"] == (
            f"sed -i '2s/^/# /' {tmp_path}/rabbitmq.conf && mqd --check"
        )
        status = {check["check"]: check["status"] for check in report["checks"]}
        assert status["cookie"] == status["ports"] == "ok"
        assert status["disc_latency"] in ("ok", "warning", "error")  # it was looked at

        (tmp_path / "enabled_plugins").write_text("[rabbitmq_random_exchange].\n")
        (tmp_path / "home" / ".erlang.cookie").chmod(0o644)
        code, report = doctor(node)
        assert code == 69
        assert found(report) == {
            ("configuration", "warning"),
            ("cookie", "error"),
            ("plugins", "warning"),
        }
        node.ctl("stop_app", "-q")
        code, report = doctor(node)
        assert (code, report["state"]) == (69, "stopped")
        assert ("node", "error") in found(report)
    (tmp_path / "home" / ".erlang.cookie").chmod(0o400)
    code, report = doctor(node)
    assert (code, report["state"]) == (69, "down")
    assert ("node", "error") in found(report)
    assert report["findings"][0]["fix"] == "mqd -detached"


def test_a_node_that_cannot_start(tmp_path: Path) -> None:
    node = Node(tmp_path, extra_config="heartbit = 5\n")
    code, report = doctor(node, "--offline")
    assert code == 69
    assert found(report) == {("configuration", "error")}
    assert "did you mean 'heartbeat'?" in report["findings"][0]["what"]


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    node = Node(tmp_path)
    with socket.create_server(("127.0.0.1", node.port)):
        code, report = doctor(node, "--offline")
    assert code == 69
    assert found(report) == {("ports", "error")}
    assert "kill" in report["findings"][0]["fix"]
