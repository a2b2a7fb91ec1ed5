"""Which members the logs say were late, and when."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.cluster.chaos.history import Behind
from tests.cluster.chaos.late import late


def stamp(at: float) -> str:
    ahead = time.time() - time.monotonic()
    return datetime.fromtimestamp(at + ahead, UTC).isoformat(" ", "microseconds")


def test_of_each_from_before_it_was_told_until_it_had_caught_up(tmp_path: Path) -> None:
    members = []
    for index, name in enumerate(("a@h", "b@h", "c@h"), 1):
        (tmp_path / name / "log").mkdir(parents=True)
        members.append(SimpleNamespace(name=name, index=index, directory=tmp_path / name))
    late_c, late_b = (
        f"answered before node {name} has them: it is late" for name in ("c@h", "b@h")
    )
    (tmp_path / "a@h" / "log" / "a.log").write_text(
        f"{stamp(50.0)} [info] <0.230.0> Server startup complete; 0 plugins started.\n"
        f"{stamp(100.0)} [info] <0.230.0> changes are {late_c}\n"
        f"{stamp(100.5)} [info] <0.230.0> changes are {late_b}\n"
        f"{stamp(101.0)} [info] <0.230.0> node c@h is waited for again: it has the changes it was "
        "late with\n"
    )
    found = late(cast("list[Any]", members))
    near = [
        Behind(each.members, pytest.approx(each.start, abs=0.1), pytest.approx(each.end, abs=0.1))
        for each in (
            Behind(frozenset({3}), 98.0, 102.0),
            Behind(frozenset({2}), 98.5, inf),
        )
    ]
    assert found == near
