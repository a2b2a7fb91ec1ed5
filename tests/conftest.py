"""Brokers that tests share: `node`, a daemon process of the test's own. (`mqd_broker`, one inside
the test process for the whole session, comes from mqd's own pytest plugin.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A running daemon: free ports, everything under the test's own directory, ended by pid."""
    with Node(tmp_path) as running:
        yield running
