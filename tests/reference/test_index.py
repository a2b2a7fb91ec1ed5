"""Every row of what RabbitMQ 3.10.8 does is proved by a test, or named as a difference.

A row's scenario is played by tests/protocol/test_transcripts.py under the scenario's label; here it
is seen to that the label exists and that it is not pending. A row whose scenario is pending fails,
and is expected to, until the scenario comes right.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.protocol import script
from tests.protocol.record import SCENARIOS
from tests.reference import index

ROWS = index.load()
LABELS = {
    scenario.label: scenario for file in script.load_all(SCENARIOS) for scenario in file.scenarios
}
TERMS = index.terms()


def pending(row: index.Row) -> str:
    """Why a scenario of it cannot be right yet."""
    found = [LABELS[label].pending for label in row.scenarios if label in LABELS]
    return "; ".join(filter(None, found))


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Node id, and without parameters -> what keeps cases from running ('' for one that runs)."""
    files = sorted({test.partition("::")[0] for row in ROWS for test in row.tests})
    files = [file for file in files if (index.TESTS / file).exists()]
    out = tmp_path_factory.mktemp("reference") / "collected"
    root = index.TESTS.parent
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only"]
    command += ["-p", "tests.reference.collected", *(f"tests/{file}" for file in files)]
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "COLLECTED": str(out)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    found: dict[str, set[str]] = {}
    for line in Path(out).read_text().splitlines():
        node, _, held = line.removeprefix("tests/").rpartition("\t")
        for name in {node, node.partition("[")[0]}:
            found.setdefault(name, set()).add(held)
    return found


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=row.label,
            marks=pytest.mark.xfail(reason=pending(row), strict=True) if pending(row) else (),
        )
        for row in ROWS
    ],
)
def test_a_row_is_proved(row: index.Row, collected: dict[str, set[str]]) -> None:
    where = f"rows.txt:{row.line}"
    assert row.proofs, f"{where}: nothing proves it"
    for label in row.scenarios:
        assert label in LABELS, f"{where}: no scenario {label!r}"
        assert not LABELS[label].pending
    for test in row.tests:
        assert "" in collected.get(test, ()), f"{where}: {test} is not collected, or never runs"
    for term in row.differences:
        assert term in TERMS, f"{where}: mqd-differences(7) does not say {term!r}"


def test_rows_are_told_apart() -> None:
    assert not [label for label, times in Counter(row.label for row in ROWS).items() if times > 1]


def test_a_term_of_the_manual_is_said_once() -> None:
    assert not [term for term, times in Counter(TERMS).items() if times > 1]


def test_a_proof_that_is_not_there_is_noticed(collected: dict[str, set[str]]) -> None:
    for proof in (
        "framing: no such scenario",
        "unit/broker/test_vhost.py::test_no",
        "man: nothing",
    ):
        with pytest.raises(AssertionError):
            test_a_row_is_proved(index.Row("0", "made up", 0, [proof]), collected)
    with pytest.raises(AssertionError):
        test_a_row_is_proved(index.Row("0", "nothing below it", 0), collected)
