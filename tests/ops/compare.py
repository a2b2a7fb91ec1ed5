"""`make ops-tools`: other people's tools on a host with mqd and, where it is installed, RabbitMQ.

    python -m tests.ops.compare [--mqd-only] [--rows] [ansible puppet ocf-cluster ocf-server]

Judges: mqd is wrong where a row is wrong by itself or RabbitMQ's is another. Wants root (hosts are
namespaces over an overlay of this machine's root) and downloads at the first run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.ops.hosts import host
from tests.ops.tools import TOOLS, Rows, wrong
from tests.ops.workshop import Workshop, cache_folder


def run(tool: str, broker: str, workshop: Workshop) -> Rows:
    """A tool's rows on a fresh host."""
    with (
        tempfile.TemporaryDirectory(prefix="mqd-ops") as folder,
        host(Path(folder) / "host", [workshop.layer], broker) as made,
    ):
        return TOOLS[tool](made, workshop)


def differences(mqd: Rows, rabbitmq: Rows) -> list[str]:
    """Rows that differ, as text."""
    names = [*mqd, *(name for name in rabbitmq if name not in mqd)]
    return [
        f"{name}\n  mqd:      {mqd.get(name)!r}\n  RabbitMQ: {rabbitmq.get(name)!r}"
        for name in names
        if mqd.get(name) != rabbitmq.get(name)
    ]


def main() -> int:
    """Exit code 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", choices=[*TOOLS, []], help="all when none is named")
    parser.add_argument("--mqd-only", action="store_true")
    parser.add_argument("--rows", action="store_true", help="print every row")
    options = parser.parse_args()
    if os.geteuid():
        print("ops-tools: root is needed: a host of its own is made for each tool")
        return 2
    workshop = Workshop(cache_folder())
    workshop.prepare()
    beside = not options.mqd_only and Path("/usr/sbin/rabbitmq-server").exists()
    bad = 0
    for tool in options.tools or TOOLS:
        rows = run(tool, "mqd", workshop)
        problems = [f"{name}: {rows[name]}" for name in wrong(rows)]
        if beside:
            problems += differences(rows, run(tool, "RabbitMQ", workshop))
        if options.rows:
            for name, end in rows.items():
                print(f"  {name}: {end.rstrip()}")
        compared = "as RabbitMQ" if beside else "RabbitMQ was not run"
        print(f"{tool}: {len(rows)} rows, {len(problems)} wrong ({compared})", flush=True)
        for problem in problems:
            print(problem, flush=True)
        bad += len(problems)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
