"""The packaged service in a booted host: what systemctl shows, starts, stops and keeps.

Not part of the default run: it wants root, systemd-nspawn and the host's own Python 3.11
(`make systemd-test`). The host is `host.sh`; mqd is installed in it from wheels, with pip and with
packaging/install.sh, as an operator would do it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("host.sh")
PYTHON = "/usr/bin/python3.11"

pytestmark = pytest.mark.timeout(300)


class Host:
    """A booted host with mqd installed, service not yet enabled."""

    def __init__(self, directory: Path) -> None:
        self._environ = os.environ | {"HOST_DIR": str(directory)}

    def script(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *words],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def run(self, *words: str) -> str:
        """Run a command in the host; it must succeed."""
        done = self.script("run", *words)
        assert done.returncode == 0, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *words: str) -> int:
        return self.script("run", *words).returncode

    def amqp(self, code: str) -> str:
        """Run Python with a pika channel `c` in the host."""
        prelude = (
            "import pika; k = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1')); "
            "c = k.channel(); "
        )
        return self.run("/opt/mqd/bin/python", "-c", prelude + code).strip()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.fail("boots a host: run it as root")
    folder = tmp_path_factory.mktemp("host")
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(wheels), str(PROJECT), "pika"]
    subprocess.run(pip, check=True, timeout=250)
    host = Host(folder / "machine")
    try:
        up = host.script("up")
        assert up.returncode == 0, up.stderr
        _install(host, wheels)
        yield host
    finally:
        host.script("down")


def _install(host: Host, wheels: Path) -> None:
    host.run("mkdir", "/opt/mqd-files")
    host.script("copy", str(wheels), "/opt/mqd-wheels")
    host.script("copy", str(PROJECT / "packaging"), "/opt/mqd-files/packaging")
    host.script("copy", str(PROJECT / "man"), "/opt/mqd-files/man")
    host.run(PYTHON, "-m", "venv", "/opt/mqd")
    pip = ("/opt/mqd/bin/pip", "install", "-q", "--no-index", "--find-links", "/opt/mqd-wheels")
    host.run(*pip, "mqd", "pika")
    host.run("env", "BINDIR=/opt/mqd/bin", "/opt/mqd-files/packaging/install.sh")
    host.run("systemd-sysusers")
    host.run("systemd-tmpfiles", "--create")
    host.run("systemctl", "daemon-reload")
    host.run("ln", "-s", "/opt/mqd/bin/mqctl", "/usr/local/bin/mqctl")


def test_the_service_from_enable_to_stop(host: Host) -> None:
    host.run("systemctl", "enable", "--now", "mqd")
    # start returned, so AMQP is answered: no retry
    assert host.amqp("print(k.is_open)") == "True"

    status = host.run("systemctl", "status", "--no-pager", "rabbitmq-server")
    assert re.search(r"Active: active \(running\)", status)
    assert re.search(r'Status: "Ready', status)
    sockets = host.run("ss", "-lntp")
    assert re.search(r":5672 .*mqd", sockets)

    assert host.run("mqctl", "ping").endswith("Ping succeeded\n")
    assert "Changing password" in host.run("mqctl", "change_password", "guest", "guest")
    owner = host.run("stat", "-c", "%U %a", "/var/lib/mqd/.erlang.cookie").strip()
    assert owner == "mqd 400"
    assert host.run("stat", "-c", "%U %a", "/run/mqd").strip() == "mqd 750"
    assert host.run("readlink", "/var/lib/rabbitmq").strip() == "mqd"


def test_restart_keeps_durable_messages(host: Host) -> None:
    host.run("systemctl", "start", "mqd")
    host.amqp(
        "c.queue_declare('kept', durable=True); c.confirm_delivery(); "
        "c.basic_publish('', 'kept', b'm', pika.BasicProperties(delivery_mode=2))"
    )
    host.run("systemctl", "restart", "mqd")
    assert host.amqp("print(c.basic_get('kept', auto_ack=True)[2])") == "b'm'"


def test_stop_drains(host: Host) -> None:
    host.run("systemctl", "start", "mqd")
    waiting = (
        "import sys\n"
        "try:\n"
        "    print('open', flush=True)\n"
        "    while True: k.process_data_events(time_limit=30)\n"
        "except pika.exceptions.ConnectionClosedByBroker as e: print(e.reply_code)\n"
    )
    code = (
        "import pika, subprocess\n"
        "k = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1'))\n"
        "subprocess.Popen(['systemctl', 'stop', 'mqd'])\n" + waiting
    )
    assert host.run("/opt/mqd/bin/python", "-c", code).split() == ["open", "320"]
    host.run("systemctl", "stop", "mqd")
    assert host.fails("systemctl", "is-active", "mqd") == 3
    result = host.run("systemctl", "show", "-p", "Result", "-p", "ExecMainStatus", "mqd")
    assert result.split() == ["Result=success", "ExecMainStatus=0"]


def test_stop_app_leaves_the_service_active(host: Host) -> None:
    host.run("systemctl", "start", "mqd")
    host.run("mqctl", "stop_app")
    status = host.run("systemctl", "status", "--no-pager", "mqd")
    assert "Broker application stopped" in status
    host.run("mqctl", "start_app")
    assert host.amqp("print(k.is_open)") == "True"


def test_reload_reads_the_configuration_again(host: Host) -> None:
    """With limits of rabbitmq-env.conf inside the service's own."""
    host.run("sh", "-c", "echo 'ulimit -S -n 4096' >/etc/rabbitmq/rabbitmq-env.conf")
    host.run("systemctl", "restart", "mqd")
    assert "limit: 3999" in host.run("mqctl", "status")
    host.run("sh", "-c", "echo 'heartbeat = 7' >/etc/rabbitmq/rabbitmq.conf")
    host.run("systemctl", "reload", "rabbitmq-server.service")
    host.amqp("assert k._impl.params.heartbeat == 7, k._impl.params.heartbeat")
    host.run("sh", "-c", "echo 'heartbeet = 8' >/etc/rabbitmq/rabbitmq.conf")
    host.run("systemctl", "reload", "mqd")
    assert host.run("systemctl", "is-active", "mqd").strip() == "active"
    host.amqp("assert k._impl.params.heartbeat == 7, k._impl.params.heartbeat")
    log = host.run("sh", "-c", "cat /var/log/mqd/*.log")
    assert "heartbeat: 60 -> 7 (/etc/rabbitmq/rabbitmq.conf:1): applied" in log
    assert "rabbitmq.conf:1: unknown key 'heartbeet'; did you mean 'heartbeat'?" in log
    host.run("rm", "/etc/rabbitmq/rabbitmq.conf", "/etc/rabbitmq/rabbitmq-env.conf")
    host.run("systemctl", "restart", "mqd")


_DATA = "/var/lib/mqd/mnesia/rabbit@mqhost"
_DROP_IN = "/etc/systemd/system/mqd.service.d"


def _findings(host: Host) -> dict[str, str]:
    """check -> command that mends it. The container has its machine's clock."""
    done = host.script("run", "mqctl", "doctor", "--formatter", "json")
    found = json.loads(done.stdout)["findings"]
    return {row["check"]: row["fix"] for row in found if row["check"] != "clock"}


@pytest.mark.parametrize(
    ("check", "breaks"),
    [
        ("service", "systemctl disable mqd"),
        ("node", "mqctl stop_app"),
        ("node", "systemctl stop mqd"),
        ("cookie", "chmod 644 /var/lib/mqd/.erlang.cookie"),
        ("directories", f"touch {_DATA}/stray"),
        ("directories", f"systemctl stop mqd; chown root {_DATA}; sleep 0.1"),
        ("configuration", "echo 'net_ticktime = 60' >/etc/rabbitmq/rabbitmq.conf"),
        ("plugins", "echo '[rabbitmq_random_exchange].' >/etc/rabbitmq/enabled_plugins"),
        (
            "open_files",
            f"mkdir -p {_DROP_IN}; printf '[Service]\\nLimitNOFILE=1024\\n' >{_DROP_IN}/a.conf; "
            "systemctl daemon-reload; systemctl restart mqd",
        ),
    ],
)
def test_what_the_doctor_says_mends_it(host: Host, check: str, breaks: str) -> None:
    host.run("ln", "-sf", "/opt/mqd/bin/mqd", "/opt/mqd/bin/mq-plugins", "/usr/local/bin/")
    host.run("systemctl", "enable", "--now", "mqd")
    host.run("mqctl", "await_startup")
    assert _findings(host) == {}
    host.run("sh", "-c", breaks)
    host.run("sh", "-c", _findings(host)[check])
    host.run("systemctl", "start", "mqd")
    assert _findings(host) == {}
    host.run("rm", "-rf", "/etc/rabbitmq/rabbitmq.conf", _DROP_IN)
    host.run("systemctl", "daemon-reload")


def test_a_node_that_cannot_start_fails_the_start(host: Host) -> None:
    host.run("systemctl", "stop", "mqd")
    host.run("sh", "-c", "echo heartbeet = 5 >/etc/rabbitmq/rabbitmq.conf")
    try:
        assert host.fails("systemctl", "start", "mqd") != 0
        log = host.run("journalctl", "-u", "mqd", "--no-pager", "-n", "50")
        assert "unknown key 'heartbeet'; did you mean 'heartbeat'?" in log
    finally:
        host.run("rm", "/etc/rabbitmq/rabbitmq.conf")
        host.run("systemctl", "reset-failed", "mqd")
    host.run("systemctl", "start", "mqd")
