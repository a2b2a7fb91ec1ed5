"""Other people's suites: where each is from, how it is told of a broker, how results are read.

Decides which of their tests are run, and for the others why not. Judges nothing: `compare` does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.suites.brokers import Running
from tests.suites.certificates import Certificates
from tests.suites.stand_in import StandIn

HERE = Path(__file__).resolve().parent
GO_SOURCES = Path("/usr/share/gocode/src/github.com/rabbitmq/amqp091-go")
_SUITE_S = 900  # one suite on one broker
_TEST_S = 90

Outcomes = dict[str, str]  # test -> "passed", "failed" or "skipped"


@dataclass(frozen=True, slots=True)
class Suite:
    """A set of tests. left_out: (what, why) that is not run."""

    name: str
    run: Callable[[Suite, Workshop, Running, Path], Outcomes]
    folder: str = ""
    paths: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Callable[[Workshop, Running], dict[str, str]] = field(
        default=lambda workshop, broker: {}
    )


class Workshop:
    """The folder that everything is downloaded and unpacked into, and kept for the next run."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.folder = folder
        self.certificates = certificates
        self.python = folder / "environment" / "bin" / "python"

    def prepare(self) -> None:
        """Download and unpack. Raises CalledProcessError: pip says why."""
        archives = self.folder / "archives"
        sources = self.folder / "sources"
        environment = self.folder / "environment"
        mark = self.folder / "ready"
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = (HERE / "sources.txt").read_text() + (HERE / "environment.txt").read_text()
        if mark.exists() and mark.read_text() == wanted:
            return
        for old in (archives, sources):
            shutil.rmtree(old, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        self._pip("install", "-r", str(HERE / "environment.txt"))
        self._pip(
            *("download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"),
            *("--require-hashes", "-r", str(HERE / "sources.txt"), "-d", str(archives)),
        )
        for archive in sorted(archives.glob("*.tar.gz")):
            with tarfile.open(archive) as opened:
                opened.extractall(sources, filter="data")
        mark.write_text(wanted)

    def _pip(self, *words: str) -> None:
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "-q", *words]
        subprocess.run(command, check=True, timeout=600)

    def source(self, name: str) -> Path:
        """The unpacked folder of a distribution. Raises FileNotFoundError."""
        found = sorted((self.folder / "sources").glob(f"{name}-*"))
        if not found:
            raise FileNotFoundError(f"no source of {name} in {self.folder / 'sources'}")
        return found[-1]


def cache_folder() -> Path:
    """Where downloads are kept: MQD_SUITES_DIR, or a folder in the user's cache."""
    if chosen := os.environ.get("MQD_SUITES_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mqd-client-suites"


def plain_environment() -> dict[str, str]:
    """What a suite gets of our environment: nothing that could point it at another broker."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _run_pytest(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    report = work / "report.xml"
    with StandIn(broker) as stand_in:
        ports = f"5672={broker.port},5671={broker.tls_port},15672={stand_in.port}"
        environment = plain_environment() | {
            "PYTHONPATH": str(HERE / "plugins"),
            "MQD_SUITE_PORTS": ports,
            **suite.environment(workshop, broker),
        }
        words = [
            *(str(workshop.python), "-m", "pytest", "-q", "-c", "/dev/null"),
            *("-o", "python_classes=Test* test_*", "-o", "junit_family=xunit1"),
            *("--rootdir", ".", "-p", "mqd_suite_ports", "-p", "no:cacheprovider"),
            *("-W", "ignore", f"--timeout={_TEST_S}", f"--junitxml={report}"),
            *suite.arguments,
            *suite.paths,
        ]
        _run(words, workshop.source(suite.folder), environment, work / "output")
    outcomes = _read_junit(report) if report.exists() else {}
    if not outcomes:
        raise RuntimeError(f"{suite.name} ran no test; see {work / 'output'}")
    return outcomes


def _read_junit(report: Path) -> Outcomes:
    outcomes: Outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        module = case.get("classname", "").removeprefix("amqpstorm.tests.").removeprefix("t.")
        name = f"{module}.{case.get('name')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            outcomes[name] = "failed"
        elif outcomes.get(name) != "failed":
            outcomes[name] = "skipped" if "skipped" in kinds else "passed"
    return outcomes


def _run_go(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    environment = plain_environment() | {
        "GO111MODULE": "off",
        "GOPATH": str(GO_SOURCES.parents[3]),
        "GOCACHE": str(workshop.folder / "go-cache"),
        **suite.environment(workshop, broker),
    }
    output = work / "output"
    words = ["go", "test", "-json", "-count=1", f"-timeout={_SUITE_S}s", *suite.arguments, "."]
    _run(words, GO_SOURCES, environment, output)
    outcomes: Outcomes = {}
    for line in output.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        verb = {"pass": "passed", "fail": "failed", "skip": "skipped"}.get(event.get("Action", ""))
        if verb and "Test" in event:
            outcomes[event["Test"]] = verb
    if not outcomes:
        raise RuntimeError(f"{suite.name} ran no test; see {output}")
    return outcomes


def _run(words: list[str], folder: Path, environment: Mapping[str, str], output: Path) -> None:
    """Run to its end whatever its exit code is. Raises TimeoutExpired."""
    with output.open("wb") as printed:
        subprocess.run(
            words,
            cwd=folder,
            env=dict(environment),
            stdout=printed,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=_SUITE_S + 60,
            check=False,
        )


def _celery_project(workshop: Workshop, broker: Running) -> dict[str, str]:
    """What py-amqp and kombu read, and the certificates their archives leave out."""
    made = workshop.certificates
    folder = workshop.source("amqp") / "t" / "certs"
    folder.mkdir(exist_ok=True)
    for name, source in (
        ("ca_certificate.pem", made.authority),
        ("client_certificate.pem", made.client_certificate),
        ("client_key.pem", made.client_key),
        ("client_certificate_broken.pem", made.stranger_certificate),
        ("client_key_broken.pem", made.stranger_key),
    ):
        (folder / name).write_bytes(source.read_bytes())
    return {
        "RABBITMQ_HOST": "127.0.0.1",
        "RABBITMQ_5672_TCP": str(broker.port),
        "RABBITMQ_5671_TCP": str(broker.tls_port),
    }


def _amqpstorm(workshop: Workshop, broker: Running) -> dict[str, str]:
    made = workshop.certificates
    return {
        "AMQP_HOST": "127.0.0.1",
        "AMQP_USERNAME": "guest",
        "AMQP_PASSWORD": "guest",
        "AMQP_URI": "amqp://guest:guest@127.0.0.1:5672/%2F",
        "AMQP_SSL_URI": "amqps://guest:guest@127.0.0.1:5671/%2F",
        "AMQP_SSL_HOST": "127.0.0.1",
        "AMQP_HTTP_URL": "http://127.0.0.1:15672",
        "AMQP_CAFILE": str(made.authority),
        "AMQP_CERTFILE": str(made.client_certificate),
        "AMQP_KEYFILE": str(made.client_key),
    }


def _go_environment(workshop: Workshop, broker: Running) -> dict[str, str]:
    return {"AMQP_URL": f"amqp://guest:guest@127.0.0.1:{broker.port}/"}


_NO_INTERNET = "connects to tls-v1-2.badssl.com, not to a broker"
_MANAGEMENT = "tests the management API, which mqd does not have yet"

SUITES: tuple[Suite, ...] = (
    Suite(
        "py-amqp",
        _run_pytest,
        folder="amqp",
        paths=("t/integration",),
        left_out=(
            ("test_rmq.test_tls_default_certs", _NO_INTERNET),
            ("test_rmq.test_tls_no_default_certs_fails", _NO_INTERNET),
        ),
        arguments=(
            *("--deselect", "t/integration/test_rmq.py::test_tls_default_certs"),
            *("--deselect", "t/integration/test_rmq.py::test_tls_no_default_certs_fails"),
        ),
        environment=_celery_project,
    ),
    Suite(
        "kombu",
        _run_pytest,
        folder="kombu",
        paths=("t/integration/test_py_amqp.py",),
        environment=_celery_project,
    ),
    Suite(
        "amqpstorm",
        _run_pytest,
        folder="amqpstorm",
        paths=("amqpstorm/tests/functional",),
        left_out=(("functional.management", _MANAGEMENT),),
        arguments=("--ignore", "amqpstorm/tests/functional/management"),
        environment=_amqpstorm,
    ),
    Suite(
        "amqp091-go",
        _run_go,
        arguments=("-tags", "integration"),
        environment=_go_environment,
    ),
)
