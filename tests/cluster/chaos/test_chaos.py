"""A short run of the faults, with a seed. MQD_CHAOS=full has more of them, also of links (root);
`make chaos` has them all, a hundred rounds long.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cluster.trio import PROJECT, why_no_cells

_SEED = "20"
_QUICK = "kill,hang,stop"
_FULL = "kill,term,hang,stop,full,survivor"
_LINKS = "cut,oneway,slow,survivor"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cells", [False, True])
def test_nothing_confirmed_is_lost(cells: bool) -> None:
    full = os.environ.get("MQD_CHAOS", "") == "full"
    if cells and not full:
        pytest.skip("MQD_CHAOS=full cuts links, too")
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
        timeout=570,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
