"""`make scale` in small, on mqd alone: the same steps, and bounds that a slow machine keeps too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.perf.scale import SMOKE, Mqd, measure

QUEUE_KB_MAX = 16  # of memory, with a binding: 3.2 were measured over ten thousand
MESSAGE_BYTES_MAX = 1_500  # of memory, with a body of a hundred: 440 over a million
LISTING_S_MAX = 60.0  # by the clock, so other work of the machine counts as well


@pytest.mark.slow
def test_many_of_each_are_declared_listed_and_recovered(tmp_path: Path) -> None:
    figures = measure(Mqd(tmp_path), SMOKE)
    declared_kb = (figures["declared MB"] - figures["empty MB"]) * 1024
    published_bytes = (figures["published MB"] - figures["declared MB"]) * 1024 * 1024
    assert declared_kb / SMOKE.queues < QUEUE_KB_MAX, figures
    assert published_bytes / SMOKE.messages < MESSAGE_BYTES_MAX, figures
    assert figures["recovered MB"] < 1.5 * figures["connected MB"], figures
    listings = {step: s for step, s in figures.items() if step.startswith("list ")}
    assert max(listings.values()) < LISTING_S_MAX, figures
