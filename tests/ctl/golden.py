"""Golden runs of the administration tool: a scenario file, a node, what must come out.

A scenario file is a list of scenarios; each starts on a virgin node, with the file of enabled
plugins that it names, if any (`enabled_plugins`), which the node has not read. A step is one call
of the tool (`run`, words as a shell would split them, `tool` when it is not mqctl, `stdin`) with
the exit code (`exit`, 0 when not said) and both streams (`out`, `err`, empty when not said), or a
list of client actions (`amqp`, see `clients.py`). `any_order` compares lines in any order.

Volatile parts are masked by name in what came out before it is compared: the node's name, ports,
process ids, connection names, times, and the usage text that follows a usage error. Expectations
come from RabbitMQ 3.10.8's own tools: `record.py` writes them, a person reads the difference.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SCENARIOS = Path(__file__).parent / "scenarios"
TOOLS = {
    "mqctl": "rabbitmqctl",
    "mq-diagnostics": "rabbitmq-diagnostics",
    "mq-plugins": "rabbitmq-plugins",
    "mq-queues": "rabbitmq-queues",
    "mq-streams": "rabbitmq-streams",
    "mq-upgrade": "rabbitmq-upgrade",
}

Run = Callable[[str, list[str], str], tuple[int, str, str]]  # (tool, words, stdin)


@dataclass(frozen=True)
class Place:
    """What is volatile about the node that a scenario runs on."""

    node: str
    port: int
    file: Path  # enabled_plugins

    def fill(self, text: str) -> str:
        """Words of a call: {node}, {port} and {file} (enabled_plugins) stand for the node's."""
        text = text.replace("{file}", str(self.file))
        return text.replace("{node}", self.node).replace("{port}", str(self.port))

    def prepare(self, scenario: dict[str, Any]) -> None:
        """Write the file of enabled plugins, where the scenario says how it looks."""
        if "enabled_plugins" in scenario:
            self.file.write_text(scenario["enabled_plugins"])

    def mask(self, text: str) -> str:
        """What came out, with the volatile parts named."""
        text = text.replace(str(self.file), "{file}")
        text = re.sub(r"#PID<[^<>\s]*>", "{pid}", text).replace(self.node, "{node}")
        text = re.sub(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+", "{peer}", text)
        text = re.sub(r"<\{node\}\.\d+\.\d+\.\d+>", "{pid}", text)
        text = text.replace(str(self.port), "{port}")
        text = re.sub(r"rabbitmq-cluster-id-[\w-]+", "{cluster_id}", text)
        text = re.sub(r"\n*\x1b\[1mUsage.*", "\n{usage}", text, flags=re.DOTALL)
        # the mirrored tools let some log lines of the node slip into their error stream
        text = re.sub(r"(?m)^\n?\d\d:\d\d:\d\d\.\d+ \[\w+\][^\n]*\n+", "", text)
        # boxes are as wide as the node's name
        text = re.sub(r"(?m)^\x1b\(0.*", lambda box: re.sub("q{2,}| {2,}", "~", box[0]), text)
        return text.rstrip("\n")


def load(name: str) -> list[dict[str, Any]]:
    """The scenarios of a file."""
    found: list[dict[str, Any]] = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())
    return found


def take(step: dict[str, Any], place: Place, run: Run) -> dict[str, Any]:
    """Make the call of a step; returns exit, out and err as a step would expect them."""
    words = shlex.split(place.fill(step["run"]))
    code, out, err = run(step.get("tool", "mqctl"), words, step.get("stdin", ""))
    seen = {"exit": code, "out": place.mask(out), "err": place.mask(err)}
    if step.get("any_order"):
        seen["out"] = _sorted(seen["out"])
    return {key: value for key, value in seen.items() if value}


def expected(step: dict[str, Any]) -> dict[str, Any]:
    """What `take` has to return for the step."""
    wanted = {key: step[key] for key in ("exit", "out", "err") if step.get(key)}
    if step.get("any_order") and "out" in wanted:
        wanted["out"] = _sorted(wanted["out"])
    return wanted


def _sorted(text: str) -> str:
    """Lines in order; which row of a JSON listing has no comma before it does not matter."""
    return "\n".join(sorted(line.lstrip(",") for line in text.split("\n")))
