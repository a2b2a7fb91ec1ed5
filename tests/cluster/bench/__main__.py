"""Three nodes of mqd beside three of RabbitMQ 3.10 on this machine, one after the other.

    python -m tests.cluster.bench [--targets mqd,rabbitmq] [--rounds 3]
        [--parts declares,quorum,remote,memory,failover,restart,many,cut] [--json FILE]

Rounds alternate between the targets; the table has the medians, and how many times better mqd is.
Read ratios, not figures, when something else runs. `many` takes minutes.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.cluster.bench import parts
from tests.cluster.trio import RABBITMQ, TARGETS, Trio

_NAMES = ("declares", *parts.PARTS, "cut")


def measure(target: str, names: list[str]) -> dict[str, float]:
    """A cluster of its own; the third node is a ram node at first, for `declares`. One more for
    `cut`."""
    others = [name for name in names if name != "cut"]
    found = _measure(target, others) if others else {}
    return found | parts.cut_off(target) if "cut" in names else found


def _measure(target: str, names: list[str]) -> dict[str, float]:
    directory = tempfile.TemporaryDirectory(prefix="cluster-bench-", ignore_cleanup_errors=True)
    found: dict[str, float] = {}
    with directory as folder:
        trio = Trio(target, Path(folder) / "nodes")
        try:
            trio.start(("disc", "ram" if "declares" in names else "disc"))
            if "declares" in names:
                found |= parts.declares(trio)
                last = trio.members[2]
                last.ctl("stop_app")
                last.ctl("change_cluster_node_type", "disc")
                last.ctl("start_app")
                trio.await_whole()
            for name in names:
                if name != "declares":
                    found |= parts.PARTS[name](trio)
        finally:
            trio.end()
    return found


def table(found: dict[str, dict[str, list[float]]], targets: list[str]) -> str:
    """Medians; with both targets how many times better mqd is (smaller is better for s, MB, %)."""
    rows = []
    for name in {name: None for target in targets for name in found[target]}:
        figures = [
            statistics.median(found[target].get(name) or [float("nan")]) for target in targets
        ]
        ratio = ""
        if len(targets) == 2:
            mqd, other = (figures[targets.index(each)] for each in ("mqd", "rabbitmq"))
            less = name.endswith((", s", ", MB", ", %"))
            upper, lower = (other, mqd) if less else (mqd, other)
            ratio = f"{upper / lower:8.2f}x" if lower else ""
        rows.append(f"{name:56}" + "".join(f"{figure:12.1f}" for figure in figures) + ratio)
    head = f"{'':56}" + "".join(f"{target:>12}" for target in targets)
    return "\n".join([head, *rows])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default=",".join(_NAMES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended too
    targets, names = options.targets.split(","), options.parts.split(",")
    if "rabbitmq" in targets and not RABBITMQ.exists():
        print(f"no RabbitMQ in {RABBITMQ}: mqd alone", file=sys.stderr)
        targets.remove("rabbitmq")
    found: dict[str, dict[str, list[float]]] = {target: defaultdict(list) for target in targets}
    for number in range(options.rounds):
        for target in targets if number % 2 == 0 else reversed(targets):
            began = time.monotonic()
            for name, figure in measure(target, names).items():
                found[target][name].append(figure)
            print(f"round {number + 1}, {target}: {time.monotonic() - began:.0f} s", flush=True)
            if options.json:
                options.json.write_text(json.dumps(found, indent=1))
    print(table(found, targets))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
