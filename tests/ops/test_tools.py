"""One of other people's tools in the default run; `make ops-tools` has all of them, and RabbitMQ.

Needs root, and what `make ops-tools` has downloaded before: nothing is fetched here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.ops.compare import differences, run
from tests.ops.tools import wrong
from tests.ops.workshop import Workshop, cache_folder

WORKSHOP = Workshop(cache_folder())


def test_rows_that_differ() -> None:
    assert differences({"a": "1", "b": "2"}, {"a": "1"}) == ["b\n  mqd:      '2'\n  RabbitMQ: None"]
    assert wrong({"a": "ok", "b": "not idempotent: x", "c": "failed: y"}) == ["b", "c"]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(os.geteuid() != 0, reason="hosts of their own want root")
@pytest.mark.skipif(not WORKSHOP.ready, reason="`make ops-tools` has downloaded nothing yet")
@pytest.mark.skipif(
    not (Path(sys.executable).parent / "mqctl").exists(),
    reason="mqctl is not installed beside this interpreter",
)
def test_pacemakers_agent() -> None:
    """heartbeat/rabbitmq-cluster, unchanged, at the paths it has built in."""
    rows = run("ocf-cluster", "mqd", WORKSHOP)
    assert {name: rows[name] for name in wrong(rows)} == {}
