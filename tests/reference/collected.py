"""A plugin of pytest: writes down which tests were collected and which of them are to run.

    COLLECTED=file python -m pytest --collect-only -p tests.reference.collected ...

One line a test: its node id, a tab, and the mark that keeps it from proving anything.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    lines = []
    for item in session.items:
        held = [mark.name for mark in item.iter_markers() if mark.name in ("skip", "xfail")]
        lines.append(f"{item.nodeid}\t{','.join(held)}\n")
    Path(os.environ["COLLECTED"]).write_text("".join(lines))
