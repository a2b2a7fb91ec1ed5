"""`make client-suites`: other people's suites against mqd and against RabbitMQ, side by side.

Decides what is a failure of mqd: a test that fails on it and passes on RabbitMQ. Where RabbitMQ is
not installed every failure is one: on 3.10.8 all of these tests pass. Everything is started on
free ports of 127.0.0.1, downloaded into one folder outside the checkout, and bounded in time.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.suites import brokers
from tests.suites.brokers import Running
from tests.suites.certificates import make
from tests.suites.suites import SUITES
from tests.suites.workshop import Outcomes, Suite, Workshop, cache_folder


@dataclass(frozen=True, slots=True)
class Comparison:
    """One suite. rabbitmq: outcomes there, or None when it was not run."""

    suite: Suite
    mqd: Outcomes
    rabbitmq: Outcomes | None

    @property
    def fails_there(self) -> set[str]:
        return failed(self.rabbitmq or {})

    @property
    def worse(self) -> set[str]:
        """Tests that mqd fails, skips or never reached, and RabbitMQ passes."""
        if self.rabbitmq is None:
            return failed(self.mqd)
        not_passed = {name for name in self.rabbitmq if self.mqd.get(name) != "passed"}
        here = failed(self.mqd) | (not_passed - _of_kind(self.rabbitmq, "skipped"))
        return here - self.fails_there


def failed(outcomes: Outcomes) -> set[str]:
    return _of_kind(outcomes, "failed")


def _of_kind(outcomes: Outcomes, kind: str) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome == kind}


def _run_all(
    suites: Sequence[Suite],
    workshop: Workshop,
    started: AbstractContextManager[Running],
    work: Path,
) -> dict[str, Outcomes]:
    results: dict[str, Outcomes] = {}
    with started as broker:
        for suite in suites:
            folder = work / suite.name
            folder.mkdir()
            results[suite.name] = suite.run(suite, workshop, broker, folder)
            print(f"{broker.title}: {suite.name}: {_counts(results[suite.name])}", flush=True)
    return results


def _counts(outcomes: Outcomes) -> str:
    kinds = ("passed", "failed", "skipped")
    return ", ".join(f"{len(_of_kind(outcomes, kind))} {kind}" for kind in kinds)


def _table(comparisons: Iterable[Comparison]) -> None:
    row = "{:<16} {:>6} {:>12} {:>12} {:>16} {:>16}".format
    print()
    print(row("suite", "tests", "mqd passed", "mqd failed", "RabbitMQ passed", "RabbitMQ failed"))
    for one in comparisons:
        there = one.rabbitmq
        rabbitmq = ("-", "-") if there is None else _passed_and_failed(there)
        print(row(one.suite.name, len(one.mqd), *_passed_and_failed(one.mqd), *rabbitmq))
    for one in comparisons:
        for name in sorted(failed(one.mqd) | one.fails_there):
            sides = (("mqd", failed(one.mqd)), ("RabbitMQ", one.fails_there))
            where = " and ".join(title for title, names in sides if name in names)
            print(f"fails on {where}: {one.suite.name} {name}")
        for what, why in one.suite.left_out:
            print(f"not run: {one.suite.name} {what}: {why}")
    print(
        "over TLS mqd is reached through a terminator of this program: it has no TLS of its own yet"
    )


def _passed_and_failed(outcomes: Outcomes) -> tuple[int, int]:
    return len(_of_kind(outcomes, "passed")), len(failed(outcomes))


def _chosen(names: Sequence[str]) -> list[Suite]:
    chosen: list[Suite] = []
    for suite in SUITES:
        if names and suite.name not in names:
            continue
        if missing := suite.missing():
            print(f"{suite.name} is left out: install {missing}")
        else:
            chosen.append(suite)
    return chosen


def _compare(suites: Sequence[Suite], work: Path, *, only_mqd: bool) -> bool:
    """Run and print; whether mqd does as well as RabbitMQ."""
    certificates = make(work / "certificates")
    workshop = Workshop(cache_folder(), certificates)
    workshop.prepare()
    for name in ("mqd", "rabbitmq"):
        (work / name).mkdir()
    started = brokers.mqd(work / "mqd" / "node", certificates)
    ours = _run_all(suites, workshop, started, work / "mqd")
    theirs: dict[str, Outcomes] = {}
    folder = None if only_mqd else brokers.rabbitmq_folder()
    if folder is not None:
        started = brokers.rabbitmq(folder, work / "rabbitmq" / "node", certificates)
        theirs = _run_all(suites, workshop, started, work / "rabbitmq")
    else:
        print("RabbitMQ is not run: every failure counts")
    comparisons = [Comparison(one, ours[one.name], theirs.get(one.name)) for one in suites]
    _table(comparisons)
    worse = sorted((one.suite.name, name) for one in comparisons for name in one.worse)
    for suite, name in worse:
        print(f"mqd fails where RabbitMQ does not: {suite} {name}")
    return not worse


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [suite.name for suite in SUITES]
    parser.add_argument("suites", nargs="*", help=f"only these of {' '.join(names)}; default all")
    parser.add_argument("--only-mqd", action="store_true", help="do not start RabbitMQ")
    wanted = parser.parse_args()
    if unknown := set(wanted.suites) - set(names):
        parser.error(f"no suite {' '.join(sorted(unknown))}; there are {' '.join(names)}")
    work = Path(tempfile.mkdtemp(prefix="mqd-client-suites-"))
    try:
        good = _compare(_chosen(wanted.suites), work, only_mqd=wanted.only_mqd)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"client-suites: {error}; folder: {work}", file=sys.stderr)
        return 1
    if good:
        shutil.rmtree(work, ignore_errors=True)
        print("ok")
    else:
        print(f"FAILED; output of the suites: {work}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
