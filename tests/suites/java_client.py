"""RabbitMQ's Java client 5.0.0: the functional and server tests of its Debian source package.

Decides where they come from (apt's own index, and a sum), what they are compiled against (Debian's
jars, the client among them), and what stands in for the programs they call: rabbitmqctl, and the
makefile of RabbitMQ's source tree that stops and starts a node or raises an alarm.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.suites.brokers import Running
from tests.suites.workshop import (
    HERE,
    Outcomes,
    Suite,
    Workshop,
    plain_environment,
    run_bounded,
    said_outcomes,
)

_PACKAGE = "rabbitmq-java-client=5.0.0-1.1"
_ARCHIVE = "rabbitmq-java-client_5.0.0.orig.tar.gz"
_SHA256 = "23c185a4b241c60223e8a800472d674f3d8e8fc5688bf99abe6ccdfd55e64aeb"
_FOLDER = "rabbitmq-java-client-5.0.0"
_INDEX = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} bookworm main\n"
_MIRROR = "http://deb.debian.org/debian"
_JARS = Path("/usr/share/java")
_NAMES = (
    *("amqp-client", "junit4", "mockito-core", "hamcrest-all", "slf4j-api", "slf4j-nop"),
    *("byte-buddy", "byte-buddy-agent", "objenesis", "metrics-core", "commons-cli"),
)
_TESTS = "com.rabbitmq.client.test"
SUITES = (f"{_TESTS}.functional.FunctionalTests", f"{_TESTS}.server.ServerTests")
_CLASS_S = 900
_PREPARE_S = 600
_SUITE_S = 2700  # RabbitMQ's tool takes a second each time, and they call it hundreds of times


def missing() -> str | None:
    if shutil.which("javac") and all((_JARS / f"{name}.jar").exists() for name in _NAMES):
        return "apt-get, to download the source" if shutil.which("apt-get") is None else None
    return (
        "default-jdk-headless librabbitmq-client-java junit4 libmockito-java libhamcrest-java "
        "libslf4j-java libcommons-cli-java libdropwizard-metrics-java"
    )


def run(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    source = _source(workshop)
    classes = _compiled(workshop, source)
    programs = work / "programs"
    programs.mkdir()
    _write_programs(programs, broker)
    words = [
        *("java", "--add-opens", "java.base/javax.net=ALL-UNNAMED"),
        *(f"-Dmqd.class.seconds={_CLASS_S}", f"-Dmqd.port={broker.port}"),
        *(f"-Drabbitmqctl.bin={programs / 'rabbitmqctl'}", f"-Dmake.bin={programs / 'make'}"),
        *(f"-Drabbitmq.dir={programs}", f"-Dtest-broker.A.nodename={broker.node}"),
        *("-cp", f"{classes}:{source / 'src/test/resources'}:{_class_path()}", "Report"),
        *suite.paths,
        *(f"-{name}" for name, _ in suite.left_out),
    ]
    run_bounded(words, source, plain_environment(), work / "output", within_s=_SUITE_S)
    return said_outcomes(suite, work / "output")


def _class_path() -> str:
    return ":".join(str(_JARS / f"{name}.jar") for name in _NAMES)


def _source(workshop: Workshop) -> Path:
    """Downloaded with an index of its own, so that nothing of the machine's apt changes."""
    folder = workshop.folder / "java"
    archive = folder / _ARCHIVE
    if not archive.exists():
        state = folder / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "sources.list").write_text(_INDEX.format(_MIRROR))
        options = (
            *("-qq", "-o", f"Dir::Etc::sourcelist={state / 'sources.list'}"),
            *("-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={state}/lists"),
            *("-o", f"Dir::Cache={state}/cache", "-o", "APT::Sandbox::User=root"),
        )
        # the package's second archive, a code generator, is not everywhere, and not needed
        for verb in (("update",), ("source", "--download-only", "--tar-only", _PACKAGE)):
            words = ("apt-get", *options, *verb)
            subprocess.run(words, cwd=folder, check=False, timeout=_PREPARE_S)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != _SHA256:
        raise RuntimeError(f"{archive} is not what was expected: its sum differs")
    if not (folder / _FOLDER).exists():
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
        _leave_out_metrics(folder / _FOLDER / "src/test/java")
    return folder / _FOLDER


def _leave_out_metrics(tests: Path) -> None:
    """The one class that wants a library Debian does not have, and its line in a suite."""
    folder = tests / _TESTS.replace(".", "/") / "functional"
    (folder / "Metrics.java").unlink()
    listed = folder / "FunctionalTests.java"
    listed.write_text(listed.read_text().replace("\tMetrics.class\n", ""))


def _compiled(workshop: Workshop, source: Path) -> Path:
    """The classes, compiled when they are older than our part of them."""
    ours = HERE / "java" / "Report.java"
    classes = workshop.folder / "java" / "classes"
    made = classes / "Report.class"
    if not made.exists() or made.stat().st_mtime < ours.stat().st_mtime:
        shutil.rmtree(classes, ignore_errors=True)
        files = sorted(map(str, (source / "src/test/java").rglob("*.java")))
        listed = classes.with_suffix(".txt")
        listed.write_text("\n".join((*files, str(ours))))
        words = ("javac", "-nowarn", "-d", str(classes), "-cp", _class_path(), f"@{listed}")
        done = subprocess.run(
            words, timeout=_PREPARE_S, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"javac: {done.stderr[-2000:]}")
    return classes


def _write_programs(folder: Path, broker: Running) -> None:
    """The rabbitmqctl that 5.0.0 knows prints tables without a line of headings."""
    exports = "".join(
        f"export {name}={shlex.quote(value)}\n" for name, value in broker.environment.items()
    )
    ctl = shlex.join(broker.ctl)
    _write_program(
        folder / "rabbitmqctl",
        f"{exports}"
        f'case " $* " in *" list_"*) exec {ctl} "$@" --no-table-headers;; esac\n'
        f'exec {ctl} "$@"\n',
    )
    tool = shlex.quote(str(folder / "rabbitmqctl"))
    _write_program(
        folder / "make",
        f"""for word; do case $word in SOURCE=*) source=${{word#SOURCE=}};; esac; done
for word; do case $word in
stop-rabbit-on-node|stop-node) {tool} stop_app || exit 1;;
start-rabbit-on-node|start-background-broker) {tool} start_app || exit 1;;
set-resource-alarm)
    case $source in
    memory) {tool} set_vm_memory_high_watermark 0.000000001;;
    *) {tool} set_disk_free_limit 100000GB;;
    esac || exit 1;;
clear-resource-alarm)
    case $source in
    memory) {tool} set_vm_memory_high_watermark 0.4;;
    *) {tool} set_disk_free_limit 50MB;;
    esac || exit 1;;
esac; done
""",
    )


def _write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
