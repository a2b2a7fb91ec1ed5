"""What mqctl doctor prints, and how it exits."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from mqctl.doctor import gather, report
from mqctl.doctor.drawn import draw
from mqctl.doctor.findings import ERROR, WARNING, Finding, Outcome
from mqd.rpc.v1 import doctor_pb2 as pb
from tests.unit.mqctl.fake_node import FakeNode, call
from tests.unit.mqctl.test_lean import HEAVY, loaded

FINE = Outcome("names", "all is well", [])
BAD = Outcome("clock", "", [Finding(ERROR, "it stands still", "time matters", "wind it up")])
DOUBTFUL = Outcome("swap", "", [Finding(WARNING, "much", "slow", "less")])


def test_lines() -> None:
    assert list(report.lines([FINE, BAD, DOUBTFUL], quiet=False)) == [
        "ok       names  all is well",
        "error    clock  it stands still",
        "                why: time matters",
        "                fix: wind it up",
        "warning  swap   much",
        "                why: slow",
        "                fix: less",
        "",
        "1 error and 1 warning.",
    ]


def test_quiet_lines_are_findings_alone() -> None:
    assert next(report.lines([FINE, DOUBTFUL], quiet=True)) == "warning  swap   much"
    assert list(report.lines([FINE], quiet=True)) == []


@pytest.mark.parametrize(
    ("outcomes", "verdict", "well"),
    [
        ([FINE], "Nothing is wrong", True),
        ([DOUBTFUL, DOUBTFUL], "2 warnings", True),
        ([BAD, FINE], "1 error", False),
    ],
)
def test_verdicts(outcomes: list[Outcome], verdict: str, well: bool) -> None:
    assert report.verdict(outcomes) == verdict
    assert report.is_well(outcomes) is well


def test_drawn_on_a_terminal() -> None:
    out = io.StringIO()
    draw(out, [FINE, BAD], quiet=False)
    text = out.getvalue()
    for part in ("all is well", "it stands still", "time matters", "$ wind it up", "1 error."):
        assert part in text


def answer(fake: FakeNode, facts: pb.Facts) -> None:
    fake.answer("Doctor/Examine", pb.ExamineRequest, lambda *_: facts)


def test_a_node_that_is_well(fake: FakeNode) -> None:
    answer(fake, pb.Facts(node="fake@localhost", app="running", pid=7, user="mqd"))
    done = call("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("ok       node           fake@localhost runs, process 7, user mqd\n")
    assert done.out.endswith("\nNothing is wrong.\n")
    assert call("doctor", "-q").out == ""


def test_json_has_keys_that_stay(fake: FakeNode) -> None:
    answer(fake, pb.Facts(node="fake@localhost", app="stopped"))
    done = call("doctor", "--formatter", "json", tool="mq-diagnostics")
    assert (done.code, done.err) == (69, "")
    found = json.loads(done.out)
    assert found.keys() == {"result", "node", "state", "checks", "findings"}
    assert (found["result"], found["node"], found["state"]) == (
        "error",
        "fake@localhost",
        "stopped",
    )
    assert found["findings"] == [
        {
            "check": "node",
            "severity": "error",
            "what": "the application of fake@localhost is stopped",
            "why": "the node answers this tool, and no client",
            "fix": "mqctl -n fake@localhost start_app",
        }
    ]
    assert {row["check"]: row["status"] for row in found["checks"]}["node"] == "error"


@pytest.mark.parametrize("formatter", ["csv", "table", "erlang", "pretty_table", "json_stream"])
def test_other_formats_have_a_row_for_each_finding(fake: FakeNode, formatter: str) -> None:
    answer(fake, pb.Facts(node="fake@localhost", app="stopped"))
    done = call("doctor", "--formatter", formatter)
    assert done.code == 69
    assert "mqctl -n fake@localhost start_app" in done.out


def test_arguments(fake: FakeNode) -> None:
    assert call("doctor", "x").code == 64
    assert call("doctor", "--dry-run").code == 0
    assert call("doctor", "-t", "0").code == 75
    assert fake.requests == []


def of_files(facts: pb.Facts) -> Callable[..., pb.Facts]:
    return lambda node, timeout_s: facts


def test_a_node_that_is_down(run_dir: object, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = pb.Facts(node="fake@localhost", names=pb.NameFacts(is_local=True))
    monkeypatch.setattr(gather, "facts_of_files", of_files(facts))
    done = call("doctor", "-q")
    assert done.code == 69
    assert "fake@localhost does not run" in done.out
    assert call("doctor", "-q", "--offline").code == 0


def test_a_node_of_another_machine(run_dir: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "facts_of_files", of_files(pb.Facts()))
    done = call("-n", "fake@not.a.host.invalid", "-l", "doctor")
    assert done.code == 69
    assert done.err.startswith("Error: unable to perform an operation on node")


def test_it_draws_nothing_without_a_terminal(fake: FakeNode) -> None:
    answer(fake, pb.Facts(node="fake@localhost", app="running"))
    assert not loaded("doctor") & HEAVY
