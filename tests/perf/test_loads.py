"""`make loads` in small, on mqd alone: the same steps, and bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.perf.loads import SMOKE, measure
from tests.perf.scale import Mqd

HELD_MB_MAX = 40  # for 40,000 messages of 1 KiB that nobody acknowledges, and as many in a stream


@pytest.mark.slow
def test_what_is_held_and_what_is_streamed_takes_little_memory(tmp_path: Path) -> None:
    figures = measure(Mqd(tmp_path), SMOKE)
    assert figures["unacknowledged MB"] - figures["backlog MB"] < HELD_MB_MAX, figures
    assert figures["stream read MB"] < figures["stream appended MB"] + HELD_MB_MAX, figures
