"""What the report of a failure has of the logs of nodes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests import logs


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_places", set())


def written(path: Path, text: str, at: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))


def test_the_ends_of_its_own_nodes_and_of_others_that_wrote_since(tmp_path: Path) -> None:
    now = time.time()
    own, shared, earlier = (tmp_path / name for name in ("own", "shared", "earlier"))
    written(own / "n" / "log" / "a.log", "".join(f"line {n}\n" for n in range(100)), now - 500)
    written(own / "n" / "output", "Traceback\n", now - 500)
    written(own / "n" / "log" / "empty.log", "", now)
    written(shared / "log" / "b.log", "x" * 1000 + "\nlast", now)
    written(earlier / "log" / "c.log", "of another test\n", now - 500)
    for folder in (shared, earlier):
        logs.note(folder)
    found = {title.rpartition("/")[2]: text for title, text in logs.ends(now - 60, own)}
    assert sorted(found) == ["a.log", "b.log", "output"]
    assert found["output"] == "Traceback"
    assert found["a.log"].endswith("line 98\nline 99")
    assert len(found["a.log"].splitlines()) < 30
    assert found["b.log"].endswith("\nlast")
    assert len(found["b.log"]) < 400


def test_a_test_without_a_folder(tmp_path: Path) -> None:
    logs.note(tmp_path / "nowhere")
    assert logs.ends(0.0, None) == []
