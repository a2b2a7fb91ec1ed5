"""A short run of the faults.

LIMIT: not in the default run, where it fails now and then: what is brought from one node's queue
into a log of another may be overtaken by what comes meanwhile. MQD_CHAOS=short kills and stops
nodes, MQD_CHAOS=full has more of them, `make chaos` has them all.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cluster.trio import PROJECT, why_no_cells

_SEED = "20"
_QUICK = "kill,term"
_FULL = "kill,hang,stop,full"
_LINKS = "cut,oneway,slow,survivor"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cells", [False, True])
def test_nothing_confirmed_is_lost(cells: bool) -> None:
    wanted = os.environ.get("MQD_CHAOS", "")
    full = wanted == "full"
    if not wanted or (cells and not full):
        pytest.skip("MQD_CHAOS=short kills nodes, MQD_CHAOS=full does more")
    if cells and (why := why_no_cells()):
        pytest.skip(why)
    faults = _LINKS if cells else _FULL if full else _QUICK
    rounds = str(faults.count(",") + 1)
    command = ["--rounds", rounds, "--seed", _SEED, "--faults", faults, "--messages", "3000"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.cluster.chaos",
            *command,
            *([] if cells else ["--loopback"]),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
