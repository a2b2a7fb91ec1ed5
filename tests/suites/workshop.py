"""The folder that other people's suites are downloaded into, and what a suite is.

Decides what is fetched and kept, how long a suite may take and what its program sees of our
environment. Which suites there are is `suites`; `compare` judges.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.suites.brokers import Running
from tests.suites.certificates import Certificates

HERE = Path(__file__).resolve().parent
SUITE_S = 900  # one suite on one broker
TEST_S = 90

Outcomes = dict[str, str]  # test -> "passed", "failed" or "skipped"


@dataclass(frozen=True, slots=True)
class Suite:
    """A set of tests. left_out: (what, why) that is not run; missing: what to install first."""

    name: str
    run: Callable[[Suite, Workshop, Running, Path], Outcomes]
    folder: str = ""
    paths: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Callable[[Workshop, Running], dict[str, str]] = field(
        default=lambda workshop, broker: {}
    )
    missing: Callable[[], str | None] = lambda: None


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


def run_bounded(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    output: Path,
    *,
    within_s: float = SUITE_S + 60,
) -> None:
    """Run to its end whatever its exit code is; what it left running ends with it.

    Raises TimeoutExpired.
    """
    with output.open("wb") as printed:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=dict(environment),
            stdout=printed,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(within_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def said_outcomes(suite: Suite, output: Path) -> Outcomes:
    """What a program of ours printed: `outcome KIND NAME`, a line for each test, the last counts.

    Raises RuntimeError when there is none.
    """
    outcomes: Outcomes = {}
    for line in output.read_text(errors="replace").splitlines():
        if line.startswith("outcome "):
            _, kind, name = line.split(" ", 2)
            outcomes[name] = kind
    if not outcomes:
        raise RuntimeError(f"{suite.name} ran no test; see {output}")
    return outcomes


def read_junit(suite: Suite, report: Path, output: Path) -> Outcomes:
    """What pytest reported; a test with several outcomes failed if one is. Raises RuntimeError."""
    if not report.exists():
        raise RuntimeError(f"{suite.name} made no report; see {output}")
    outcomes: Outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        module = case.get("classname", "").removeprefix("amqpstorm.tests.").removeprefix("t.")
        name = f"{module}.{case.get('name')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            outcomes[name] = "failed"
        elif outcomes.get(name) != "failed":
            outcomes[name] = "skipped" if "skipped" in kinds else "passed"
    if not outcomes:
        raise RuntimeError(f"{suite.name} ran no test; see {output}")
    return outcomes
