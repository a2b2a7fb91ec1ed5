"""Brokers that tests share: `node`, a daemon process of the test's own. (`mqd_broker`, one inside
the test process for the whole session, comes from mqd's own pytest plugin.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.nodes import Node

# Where a red run blocks others the examples are the same every time; elsewhere they are new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A running daemon: free ports, everything under the test's own directory, ended by pid."""
    with Node(tmp_path) as running:
        yield running
