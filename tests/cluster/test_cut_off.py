"""Network partitions between real processes: who pauses, who goes on, what is told of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cluster.trio import PROJECT, why_no_cells


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_minority_pauses_and_partitions_are_told() -> None:
    if why := why_no_cells():
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.cut_off"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
