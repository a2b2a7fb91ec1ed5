"""Brokers that tests share: `node`, a daemon process of the test's own. (`mqd_broker`, one inside
the test process for the whole session, comes from mqd's own pytest plugin.) And what is the same
for all tests: the examples of property tests, and what the report of a failure has in it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import logs
from tests.nodes import Node

# Where a red run blocks others the examples are the same every time; elsewhere they are new ones.
# How long an example takes, or is made in, tells of the machine and of what else it has to do.
_unhurried = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("mqd", _unhurried)
hypothesis.settings.register_profile("ci", _unhurried, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "mqd")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure has the ends of the logs of its nodes with it.

    What a test logged may be no Unicode text; several workers have to be able to say it.
    """
    report = yield
    if report.failed:
        own = getattr(item, "funcargs", {}).get("tmp_path")
        report.sections += logs.ends(call.start, own)
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A running daemon: free ports, everything under the test's own directory, ended by pid."""
    with Node(tmp_path) as running:
        yield running
