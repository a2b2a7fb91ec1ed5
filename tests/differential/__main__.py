"""Plays drawn programs on mqd and on RabbitMQ 3.10.8 and reports every difference, shrunk.

python -m tests.differential --sequences 2000 --seed 7 --features classic,dlx --features stream,ttl

Without --features each set of features that is recorded has its turn, then nearly all features
together.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.differential import brokers
from tests.differential.programs import FEATURES, LOST_IN_STREAMS
from tests.differential.recorded import SETS
from tests.differential.search import Outcome, Search

_WIDE = (
    ",".join(name for name in FEATURES if name not in ("bad", "stream")),
    ",".join(name for name in FEATURES if name not in ("bad", *LOST_IN_STREAMS)),
    ",".join(name for name in FEATURES if name != "stream"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--sequences", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--features", action="append", help="of " + ", ".join(FEATURES))
    parser.add_argument("--differences", type=int, default=20, help="stop after so many")
    options = parser.parse_args()
    sets = [chosen.split(",") for chosen in options.features or (*SETS, *_WIDE)]
    unknown = {name for chosen in sets for name in chosen} - set(FEATURES)
    if unknown:
        parser.error(f"no feature {', '.join(sorted(unknown))}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        with brokers.mqd(work / "mqd") as ours, brokers.rabbitmq(work / "rabbitmq") as theirs:
            search = Search(theirs, ours, sets)
            outcome = search.run(options.sequences, options.seed, options.differences)
    _report(outcome, time.monotonic() - began)
    return 1 if outcome.differences else 0


def _report(outcome: Outcome, took_s: float) -> None:
    for features, count in outcome.of_set.items():
        print(f"{count} sequences of {features}")
    print(
        f"{outcome.played} sequences, {outcome.steps} steps:"
        f" {len(outcome.differences)} differences, {outcome.unsettled} unsettled,"
        f" {sum(outcome.named.values())} named in man/mqd-differences.7; {took_s:.0f} s"
    )
    for entry, count in outcome.named.items():
        print(f"  named {count} times: {entry}")
    for signature, found in outcome.differences.items():
        print(f"  {1 + outcome.again[signature]} times: {found.step}")


if __name__ == "__main__":
    sys.exit(main())
