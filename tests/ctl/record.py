"""Fill in what a scenario file expects, from RabbitMQ 3.10.8's own tools.

    python -m tests.ctl.record NODE PORT FILE...

NODE is a running RabbitMQ that may be reset at will; its tools are found on PATH and reach it by
the environment, RABBITMQ_ENABLED_PLUGINS_FILE included. Inputs stay, `exit`, `out` and `err` of
every step are written anew. Read the difference before committing it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.ctl.clients import Clients
from tests.ctl.golden import SCENARIOS, TOOLS, Place, load, take
from tests.waiting import PATIENCE_S


def _run(tool: str, words: list[str], stdin: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [TOOLS[tool], *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def record(name: str, place: Place) -> None:
    """Rewrite one file."""
    scenarios = load(name)
    for scenario in scenarios:
        for verb in ("stop_app", "reset", "start_app"):
            _run("mqctl", [verb], "")
        place.prepare(scenario)
        clients = Clients(place.port)
        for step in scenario["steps"]:
            _take(step, place, clients)
        clients.close()
    yaml.SafeDumper.add_representer(str, _text)
    with (SCENARIOS / f"{name}.yaml").open("w") as file:
        yaml.safe_dump(scenarios, file, sort_keys=False, allow_unicode=True, width=100)


def _take(step: dict[str, Any], place: Place, clients: Clients) -> None:
    for action in step.get("amqp", ()):
        clients.act(action)
    if "run" in step:
        for key in ("exit", "out", "err"):
            step.pop(key, None)
        step |= take(step, place, _run)


if __name__ == "__main__":
    node, port, *files = sys.argv[1:]
    for each in files:
        record(each, Place(node, int(port), Path(os.environ["RABBITMQ_ENABLED_PLUGINS_FILE"])))
