"""`make client-suites`: other people's suites against mqd and against RabbitMQ, side by side.

Decides what is a failure of mqd: a test that fails on it and passes on RabbitMQ. Where RabbitMQ is
not installed, what failed on 3.10.8 is taken from `rabbitmq_failures.txt`. Everything is started
on free ports of 127.0.0.1, downloaded into one folder outside the checkout, and bounded in time.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.suites import brokers
from tests.suites.brokers import Running
from tests.suites.certificates import make
from tests.suites.suites import GO_SOURCES, HERE, SUITES, Outcomes, Suite, Workshop, cache_folder

_RECORDED = HERE / "rabbitmq_failures.txt"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One suite. rabbitmq: outcomes there, or None when it was not run."""

    suite: Suite
    mqd: Outcomes
    rabbitmq: Outcomes | None

    def fails_there(self, recorded: frozenset[str]) -> set[str]:
        if self.rabbitmq is None:
            return {name for name in self.mqd if f"{self.suite.name} {name}" in recorded}
        return failed(self.rabbitmq)

    def worse(self, recorded: frozenset[str]) -> set[str]:
        """Tests that mqd fails or never reached, and RabbitMQ does not fail."""
        missing = set(self.rabbitmq or ()) - set(self.mqd)
        return (failed(self.mqd) | missing) - self.fails_there(recorded)


def failed(outcomes: Outcomes) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome == "failed"}


def _recorded() -> frozenset[str]:
    lines = _RECORDED.read_text().splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


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
    said = [f"{list(outcomes.values()).count(kind)} {kind}" for kind in ("passed", "failed")]
    skipped = list(outcomes.values()).count("skipped")
    return ", ".join(said + ([f"{skipped} skipped"] if skipped else []))


def _table(comparisons: Iterable[Comparison], recorded: frozenset[str]) -> None:
    row = "{:<12} {:>6} {:>12} {:>12} {:>16} {:>16}".format
    print()
    print(row("suite", "tests", "mqd passed", "mqd failed", "RabbitMQ passed", "RabbitMQ failed"))
    for one in comparisons:
        there = one.rabbitmq
        print(
            row(
                one.suite.name,
                len(one.mqd),
                list(one.mqd.values()).count("passed"),
                len(failed(one.mqd)),
                "-" if there is None else list(there.values()).count("passed"),
                "-" if there is None else len(failed(there)),
            )
        )
    print(
        "over TLS mqd is reached through a terminator of this program: it has no TLS of its own yet"
    )
    for one in comparisons:
        for name in sorted(failed(one.mqd) | one.fails_there(recorded)):
            where = [
                title
                for title, names in (
                    ("mqd", failed(one.mqd)),
                    ("RabbitMQ", one.fails_there(recorded)),
                )
                if name in names
            ]
            print(f"fails on {' and '.join(where)}: {one.suite.name} {name}")
        for what, why in one.suite.left_out:
            print(f"not run: {one.suite.name} {what}: {why}")


def _chosen(names: Sequence[str]) -> list[Suite]:
    chosen = [suite for suite in SUITES if not names or suite.name in names]
    if not (shutil.which("go") and GO_SOURCES.exists()):
        chosen = [suite for suite in chosen if suite.name != "amqp091-go"]
        print("amqp091-go is left out: install golang-go and golang-github-rabbitmq-amqp091-go-dev")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", help="only these; default all")
    parser.add_argument("--only-mqd", action="store_true", help="do not start RabbitMQ")
    wanted = parser.parse_args()
    suites = _chosen(wanted.suites)
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="mqd-client-suites-"))
    certificates = make(work / "certificates")
    workshop = Workshop(cache, certificates)
    workshop.prepare()
    (work / "mqd").mkdir()
    (work / "rabbitmq").mkdir()
    started = brokers.mqd(work / "mqd" / "node", certificates)
    ours = _run_all(suites, workshop, started, work / "mqd")
    theirs: dict[str, Outcomes] = {}
    folder = None if wanted.only_mqd else brokers.rabbitmq_folder()
    if folder is not None:
        started = brokers.rabbitmq(folder, work / "rabbitmq" / "node", certificates)
        theirs = _run_all(suites, workshop, started, work / "rabbitmq")
    else:
        print("RabbitMQ is not run: compared with what failed on 3.10.8 when it was recorded")
    recorded = _recorded()
    comparisons = [Comparison(one, ours[one.name], theirs.get(one.name)) for one in suites]
    _table(comparisons, recorded)
    worse = [(one.suite.name, name) for one in comparisons for name in one.worse(recorded)]
    for suite, name in sorted(worse):
        print(f"mqd fails where RabbitMQ does not: {suite} {name}")
    print(f"{'FAILED' if worse else 'ok'}; output of the suites: {work}")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
