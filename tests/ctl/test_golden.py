"""Every scenario of tests/ctl/scenarios against a real mqd."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ctl import golden
from tests.ctl.clients import Clients
from tests.nodes import Node
from tests.waiting import PATIENCE_S

_CALL = "import sys; sys.argv[0] = {!r}; from mqctl.main import main; raise SystemExit(main())"

FILES = sorted(path.stem for path in golden.SCENARIOS.glob("*.yaml"))
CASES = [(name, scenario) for name in FILES for scenario in golden.load(name)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("ctl")) as node:
        node.await_control()
        yield node


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{name}: {scenario['name']}" for name, scenario in CASES]
)
def test_golden(node: Node, case: tuple[str, dict[str, Any]]) -> None:
    def run(tool: str, words: list[str], stdin: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-c", _CALL.format(tool), *words],
            env=node.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    for verb in ("stop_app", "reset", "start_app"):
        done = run("mqctl", [verb], "")
        assert done[0] == 0, done
    file = Path(node.environment["RABBITMQ_ENABLED_PLUGINS_FILE"])
    place = golden.Place(node.name, node.port, file)
    place.prepare(case[1])
    clients = Clients(node.port)
    try:
        for step in case[1]["steps"]:
            for action in step.get("amqp", ()):
                clients.act(action)
            if "run" in step:
                assert golden.take(step, place, run) == golden.expected(step), step["run"]
    finally:
        clients.close()
