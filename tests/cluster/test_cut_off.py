"""Network partitions between real processes: who pauses, who goes on, what is told of it; and what
becomes of a member that is forgotten behind one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cluster.trio import PROJECT, why_no_cells


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("play", ["cut_off", "struck_out"])
def test_it_goes_as_played(play: str) -> None:
    if why := why_no_cells():
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, "-m", f"tests.cluster.{play}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=570,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
