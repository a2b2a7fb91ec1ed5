"""A fake node and a quiet environment for the tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.mqctl.fake_node import FakeNode


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty run directory that the tools look into; short, as socket paths must be."""
    import tempfile

    directory = Path(tempfile.mkdtemp(prefix="mqctl"))
    for name in ("RABBITMQ_ERLANG_COOKIE", "RABBITMQ_USE_LONGNAME", "RABBITMQ_CLI_ALIASES_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MQD_RUN_DIR", str(directory))
    monkeypatch.setenv("RABBITMQ_NODENAME", "fake@localhost")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    return directory


@pytest.fixture
def fake(run_dir: Path) -> Iterator[FakeNode]:
    """A node without answers yet."""
    node = FakeNode(run_dir)
    yield node
    node.server.stop(None).wait()
