"""oslo.messaging's functional tests and its simulator: how both are run, and what is a failure.

Its tests run as they are, with other defaults of the driver where a suite says so; each suite in a
vhost of its own, because they agree on an exchange and not on its durability. The simulator is a
load program and judges nothing, so each of its modes is a test of ours here: a server and a client
of bounded length, and every message counted on both sides.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import amqp

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

TESTS = "oslo_messaging.tests.functional"
NEEDS_METRICS = f"{TESTS}.test_functional.MetricsTestCase.test_functional"
_TEST_S = 60
_CLIENTS = 4
_MESSAGES = 50  # of each client
_SUMMARY = ("client", "error", "round_trip")
_READY_S = 60.0
_CLIENT_S = 180.0
_STOP_S = 30.0
_BOUND_S = 1.0  # a server has more queues than the one that is looked at
_COUNT_S = 2.5  # they count once a second
_LOOK_S = 0.2


def _url(suite: Suite, broker: Running) -> str:
    """Of a new vhost."""
    broker.control("add_vhost", suite.name)
    broker.control("set_permissions", "-p", suite.name, "guest", ".*", ".*", ".*")
    return f"rabbit://guest:guest@127.0.0.1:{broker.port}/{suite.name}"


def run_functional(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    """arguments: other defaults of the driver's options, each `name=value`."""
    url = _url(suite, broker)
    environment = plain_environment() | {
        "RPC_TRANSPORT_URL": url,
        "NOTIFY_TRANSPORT_URL": url,
        "OS_TEST_TIMEOUT": str(_TEST_S),
        "PYTHONPATH": ".",
        "MQD_OSLO_OPTIONS": ",".join(suite.arguments),
    }
    program = str(HERE / "plugins" / "mqd_oslo.py")
    left_out = [f"-{name}" for name, _ in suite.left_out]
    words = [str(workshop.python), "-W", "ignore", program, *suite.paths, *left_out]
    run_bounded(words, workshop.source(suite.folder), environment, work / "output")
    return said_outcomes(suite, work / "output")


@dataclass(frozen=True, slots=True)
class _Mode:
    """A pair of programs. queue: a ready server's; {} is the topic, then the server."""

    name: str
    server: tuple[str, ...]
    client: tuple[str, ...]
    queue: str
    servers: int = 1
    is_answered: bool = False


_RPC = ("rpc-client", "--timeout", "60")
_MODES = (
    _Mode("rpc-call", ("rpc-server",), _RPC, "{}.{}", is_answered=True),
    _Mode("rpc-cast", ("rpc-server",), (*_RPC, "--is-cast"), "{}.{}"),
    _Mode("rpc-fanout", ("rpc-server",), (*_RPC, "--is-cast", "--is-fanout"), "{}.{}", servers=2),
    _Mode("notify", ("notify-server",), ("notify-client",), "{}.info"),
    _Mode("batch-notify", ("batch-notify-server",), ("notify-client",), "{}.info"),
)


def run_simulator(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    outcomes: Outcomes = {}
    program = str(workshop.source("oslo_messaging") / "tools" / "simulator.py")
    words = (str(workshop.python), "-W", "ignore", program, "--url", _url(suite, broker))
    for mode in _MODES:
        folder = work / mode.name
        folder.mkdir()
        try:
            _run_mode(mode, words, broker, suite.name, folder)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            (folder / "why").write_text(f"{error}\n")
            outcomes[mode.name] = "failed"
        else:
            outcomes[mode.name] = "passed"
    return outcomes


def _run_mode(
    mode: _Mode, common: Sequence[str], broker: Running, vhost: str, folder: Path
) -> None:
    """Raises RuntimeError with what was lost, came twice or failed."""
    sent = _CLIENTS * _MESSAGES
    with ExitStack() as stack:
        outputs: list[Path] = []
        for index in range(mode.servers):
            name = f"server{index}"
            output = folder / name
            words = (*common, "-tp", mode.name, "-s", name, *mode.server)
            stack.enter_context(_server(words, output))
            _await_consumer(broker, vhost, mode.queue.format(mode.name, name))
            outputs.append(output)
        time.sleep(_BOUND_S)
        counts = folder / "counts"
        words = (
            *(*common, "-tp", mode.name, "-tg", f"{mode.name}.server0", "-j", str(counts)),
            *(*mode.client, "-p", str(_CLIENTS), "-m", str(_MESSAGES)),
        )
        _run_client(words, folder / "client")
        summary = json.loads(counts.read_text())["summary"]
        answered = sent if mode.is_answered else 0
        wanted = (sent, 0, answered)
        if wanted != (found := tuple(summary.get(key, {}).get("count", 0) for key in _SUMMARY)):
            raise RuntimeError(f"sent, failed, answered: {found}, not {wanted}")
        for output in outputs:
            _await_count(output, sent)


@contextmanager
def _server(words: Sequence[str], output: Path) -> Iterator[None]:
    """Ended by SIGTERM, which it answers by cancelling its consumers."""
    with output.open("wb") as printed:
        process = subprocess.Popen(
            words,
            env=plain_environment(),
            stdout=printed,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run_client(words: Sequence[str], output: Path) -> None:
    with output.open("wb") as printed:
        subprocess.run(
            words,
            env=plain_environment(),
            stdout=printed,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=_CLIENT_S,
            check=True,
        )


def _await_consumer(broker: Running, vhost: str, queue: str) -> None:
    end = time.monotonic() + _READY_S
    while time.monotonic() < end:
        host = f"127.0.0.1:{broker.port}"
        link = amqp.Connection(host, "guest", "guest", virtual_host=vhost)
        with link, suppress(amqp.NotFound):
            if link.channel().queue_declare(queue, passive=True).consumer_count:
                return
        time.sleep(_LOOK_S)
    raise RuntimeError(f"no consumer of {queue}")


def _await_count(output: Path, wanted: int) -> None:
    """Until a server has counted so many messages, and then no more."""
    end = time.monotonic() + _READY_S
    while _counted(output) < wanted and time.monotonic() < end:
        time.sleep(_LOOK_S)
    time.sleep(_COUNT_S)
    if (found := _counted(output)) != wanted:
        raise RuntimeError(f"{output.name} received {found}, not {wanted}")


def _counted(output: Path) -> int:
    lines = re.findall(r"server +: seq: \d+ +count: (\d+)", output.read_text(errors="replace"))
    return sum(map(int, lines))
