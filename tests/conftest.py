"""Brokers that tests share: `node`, a daemon process of the test's own. (`mqd_broker`, one inside
the test process for the whole session, comes from mqd's own pytest plugin.)
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.nodes import Node

# Where a red run blocks others the examples are the same every time; elsewhere they are new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logged may be no Unicode text; several workers have to be able to say it."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A running daemon: free ports, everything under the test's own directory, ended by pid."""
    with Node(tmp_path) as running:
        yield running
