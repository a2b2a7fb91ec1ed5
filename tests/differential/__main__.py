"""Plays drawn programs on mqd and on RabbitMQ 3.10.8 and reports every difference, shrunk.

python -m tests.differential --sequences 2000 --seed 7 --features classic,dlx
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.differential import brokers
from tests.differential.programs import FEATURES
from tests.differential.search import Outcome, Search


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--sequences", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--features", default=",".join(FEATURES), help="of " + ", ".join(FEATURES))
    parser.add_argument("--differences", type=int, default=20, help="stop after so many")
    options = parser.parse_args()
    features = options.features.split(",")
    unknown = set(features) - set(FEATURES)
    if unknown:
        parser.error(f"no feature {', '.join(sorted(unknown))}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        with brokers.mqd(work / "mqd") as ours, brokers.rabbitmq(work / "rabbitmq") as theirs:
            search = Search(theirs, ours, features)
            outcome = search.run(options.sequences, options.seed, options.differences)
    _report(outcome, features, time.monotonic() - began)
    return 1 if outcome.differences else 0


def _report(outcome: Outcome, features: list[str], took_s: float) -> None:
    print(
        f"{outcome.played} sequences, {outcome.steps} steps of {','.join(features)}:"
        f" {len(outcome.differences)} differences, {outcome.unsettled} unsettled,"
        f" {sum(outcome.named.values())} named in man/mqd-differences.7; {took_s:.0f} s"
    )
    for entry, count in outcome.named.items():
        print(f"  named {count} times: {entry}")
    for signature, found in outcome.differences.items():
        print(f"  {1 + outcome.again[signature]} times: {found.step}")


if __name__ == "__main__":
    sys.exit(main())
