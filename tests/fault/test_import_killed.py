"""A node killed while a file of definitions comes in has all of it or nothing, and starts again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mqd.metadata.log import CommandLog
from mqd.metadata.machine import State, apply
from tests.nodes import Node
from tests.waiting import PATIENCE_S

QUEUES = 1500
ROUNDS = 6
_CTL = "from mqctl.main import main; main()"


def document(round_: int) -> dict[str, Any]:
    vhost = f"v{round_}"
    return {
        "vhosts": [{"name": vhost}],
        "users": [{"name": f"u{round_}", "password_hash": "", "tags": ""}],
        "permissions": [
            {"user": f"u{round_}", "vhost": vhost, "configure": "", "write": "", "read": ""}
        ],
        "queues": [
            {"name": f"q{i}", "vhost": vhost, "durable": True, "auto_delete": False}
            for i in range(QUEUES)
        ],
        "bindings": [
            {
                "source": "amq.topic",
                "vhost": vhost,
                "destination": f"q{i}",
                "destination_type": "queue",
            }
            for i in range(QUEUES)
        ],
    }


def found(directory: Path, round_: int) -> tuple[int, int, int, int]:
    """Of the round's: vhosts, users and permissions, queues, bindings on disc."""
    log = CommandLog(next(directory.glob("mnesia/*/metadata.db")))
    state = State()
    for _, line in log.read():
        apply(state, line.command)
    log.close()
    vhost = f"v{round_}"
    return (
        sum(name == vhost for name in state.vhosts),
        sum(name == f"u{round_}" for name in state.users)
        + sum(place == vhost for _, place in state.permissions),
        sum(place == vhost for place, _ in state.queues),
        sum(key.vhost == vhost for key in state.bindings),
    )


@pytest.mark.slow
def test_all_or_nothing(tmp_path: Path) -> None:
    seed = random.randrange(10**6)  # printed where an assertion fails
    draw = random.Random(seed)
    node = Node(tmp_path / "n")
    outcomes = set()
    reach_s = 0.0
    for round_ in range(ROUNDS):
        file = tmp_path / "defs.json"
        file.write_text(json.dumps(document(round_)))
        node.start()
        node.await_control()
        began = time.monotonic()
        tool = subprocess.Popen(
            [sys.executable, "-c", _CTL, "import_definitions", str(file)],
            env=node.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if round_ == 0:  # how long it takes here; the others are killed before or about then
            assert tool.wait(PATIENCE_S) == 0
            reach_s = time.monotonic() - began
        else:
            time.sleep(draw.uniform(0.3, 1.1) * reach_s)
        node.kill()
        tool.wait(PATIENCE_S)
        counts = found(node.directory, round_)
        assert counts in ((0, 0, 0, 0), (1, 2, QUEUES, QUEUES)), (seed, round_)
        outcomes.add(counts)
    assert (1, 2, QUEUES, QUEUES) in outcomes
    node.start()
    node.stop()
