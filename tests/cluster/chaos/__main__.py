"""Rounds of faults on three nodes, with AMQP clients as witnesses.

    python -m tests.cluster.chaos [--target mqd|rabbitmq] [--rounds 10] [--seed N]
        [--faults kill,kill2,stop,hang,term,full,cut,oneway,slow,disc,churn,survivor,hasty]
        [--messages 10000] [--loopback]

A round works, does one fault, waits until all is well, confirms its share of the messages, takes
everything out and compares. Without --loopback each node has a network of its own (root), and
links can be cut. The seed chooses what is sent and what is done; what the cluster had done by then
is chance. Exit 1 when anything is broken; the folder is kept then.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.chaos.faults import Trouble
from tests.cluster.chaos.rounds import Chaos
from tests.cluster.trio import TARGETS, why_no_cells

_PLAIN = "kill,kill2,stop,hang,term,full,churn,survivor"
_ALL = "kill,cut,stop,hang,full,oneway,kill2,term,slow,full,disc,churn,survivor"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, default="mqd")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--messages", type=int, default=0, help="confirmed in all, at least")
    parser.add_argument("--faults", default="")
    parser.add_argument("--loopback", action="store_true")
    parser.add_argument("--history", type=Path, help="write what was asked and answered there")
    options = parser.parse_args()
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended too
    cells = not options.loopback
    if cells and (why := why_no_cells()):
        print(f"{why}; with --loopback it runs without cut links")
        return 2
    faults = (options.faults or (_ALL if cells else _PLAIN)).split(",")
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"{options.target}, seed {options.seed}, in {directory}", flush=True)
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True)

    chaos = Chaos(options.target, directory, options.seed, faults, cells=cells)
    broken = True
    try:
        quota = options.messages // options.rounds
        asyncio.run(chaos.play(options.rounds, quota, tell))
        broken = bool(chaos.witness.broken)
    except Trouble as trouble:
        print(f"TROUBLE: {trouble}", file=sys.stderr)
    finally:
        chaos.end()
        print(chaos.report())
        print("\n".join(chaos.witness.examples[:40]))
        if options.history:
            chaos.history.write(options.history)
    if not broken:
        shutil.rmtree(directory)
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
