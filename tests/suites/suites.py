"""Other people's suites: where each is from, how it is told of a broker, how results are read.

Decides which of their tests are run, and for the others why not. Judges nothing: `compare` does.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.suites import celery_suite, java_client, oslo
from tests.suites.brokers import Running
from tests.suites.workshop import (
    HERE,
    SUITE_S,
    TEST_S,
    Outcomes,
    Suite,
    Workshop,
    plain_environment,
    read_junit,
    run_bounded,
)

GO_SOURCES = Path("/usr/share/gocode/src/github.com/rabbitmq/amqp091-go")


def _run_pytest(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    report = work / "report.xml"
    ports = f"5672={broker.port},5671={broker.tls_port},15672={broker.http_port}"
    environment = plain_environment() | {
        "PYTHONPATH": str(HERE / "plugins"),
        "MQD_SUITE_PORTS": ports,
        **suite.environment(workshop, broker),
    }
    words = [
        *(str(workshop.python), "-m", "pytest", "-q", "-c", "/dev/null"),
        *("-o", "python_classes=Test* test_*", "-o", "junit_family=xunit1"),
        *("--rootdir", ".", "-p", "mqd_suite_ports", "-p", "no:cacheprovider"),
        *("-W", "ignore", f"--timeout={TEST_S}", f"--junitxml={report}"),
        *suite.arguments,
        *suite.paths,
    ]
    run_bounded(words, workshop.source(suite.folder), environment, work / "output")
    return read_junit(suite, report, work / "output")


def _run_go(suite: Suite, workshop: Workshop, broker: Running, work: Path) -> Outcomes:
    environment = plain_environment() | {
        "GO111MODULE": "off",
        "GOPATH": str(GO_SOURCES.parents[3]),
        "GOCACHE": str(workshop.folder / "go-cache"),
        **suite.environment(workshop, broker),
    }
    output = work / "output"
    words = ["go", "test", "-json", "-count=1", f"-timeout={SUITE_S}s", *suite.arguments, "."]
    run_bounded(words, GO_SOURCES, environment, output)
    outcomes: Outcomes = {}
    for line in output.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        verb = {"pass": "passed", "fail": "failed", "skip": "skipped"}.get(event.get("Action", ""))
        if verb and "Test" in event:
            outcomes[event["Test"]] = verb
    if not outcomes:
        raise RuntimeError(f"{suite.name} ran no test; see {output}")
    return outcomes


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


def _go_missing() -> str | None:
    if shutil.which("go") and GO_SOURCES.exists():
        return None
    return "golang-go and golang-github-rabbitmq-amqp091-go-dev"


def _go_environment(workshop: Workshop, broker: Running) -> dict[str, str]:
    return {"AMQP_URL": f"amqp://guest:guest@127.0.0.1:{broker.port}/"}


_NO_INTERNET = "connects to tls-v1-2.badssl.com, not to a broker"
_CELERY_RACE = "forgets what the worker says if that is quicker than its own next line"
_ERLANG = "sets RabbitMQ up by evaluating Erlang in it"
_CLUSTER = "wants a second node"
_OSLO_LEFT_OUT = (
    (oslo.NEEDS_METRICS, "wants oslo.metrics' server on port 3000"),
    (f"{oslo.TESTS}.test_rabbitmq", "starts clusters of three RabbitMQ nodes itself"),
)

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
        environment=_amqpstorm,
    ),
    Suite(
        "amqp091-go",
        _run_go,
        arguments=("-tags", "integration"),
        environment=_go_environment,
        missing=_go_missing,
    ),
    Suite(
        "oslo",
        oslo.run_functional,
        folder="oslo_messaging",
        paths=(f"{oslo.TESTS}.test_functional", f"{oslo.TESTS}.notify.test_logger"),
        left_out=_OSLO_LEFT_OUT,
    ),
    Suite(
        "oslo-durable",
        oslo.run_functional,
        folder="oslo_messaging",
        paths=(f"{oslo.TESTS}.test_functional",),
        left_out=_OSLO_LEFT_OUT,
        arguments=("amqp_durable_queues=true",),
    ),
    Suite(
        "oslo-quorum",
        oslo.run_functional,
        folder="oslo_messaging",
        paths=(f"{oslo.TESTS}.test_functional",),
        left_out=_OSLO_LEFT_OUT,
        arguments=("rabbit_quorum_queue=true", "rabbit_transient_quorum_queue=true"),
    ),
    Suite(
        "java-client",
        java_client.run,
        paths=java_client.SUITES,
        left_out=(
            ("Metrics", "wants awaitility, which Debian does not have"),
            ("ChannelLimitNegotiation", _ERLANG),
            ("LoopbackUsers", _ERLANG),
            ("EffectVisibilityCrossNodeTest", _CLUSTER),
        ),
        missing=java_client.missing,
    ),
    Suite(
        "celery",
        celery_suite.run_integration,
        folder="celery",
        paths=("t/integration/test_tasks.py", "t/integration/test_inspect.py"),
        left_out=(("test_replaced_task_nesting_level_0", _CELERY_RACE),),
        arguments=("-k", "not test_replaced_task_nesting_level_0"),
    ),
    Suite(
        "celery-scenarios",
        celery_suite.run_scenarios,
        paths=("tests/clients/test_celery.py", "tests/clients/test_celery_scenarios.py"),
    ),
    Suite("oslo-simulator", oslo.run_simulator),
)
