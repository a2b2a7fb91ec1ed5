"""The two brokers that other people's suites run against: mqd, and RabbitMQ where it is installed.

Decides how each is started on free ports of 127.0.0.1 with folders of its own, and what the suites
are told of it. Both offer the same: AMQP, AMQP over TLS, the management API, the user guest. Ended
by pid.

mqd has no TLS listener yet: `tests.suites.terminator` stands in front of it and takes TLS off. What
suites see there is mqd's AMQP, not mqd's TLS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.nodes import Node, answers_amqp
from tests.ports import free_ports
from tests.suites.certificates import Certificates
from tests.suites.terminator import Terminator

_MQCTL = "from mqctl.main import main; raise SystemExit(main())"
_RABBITMQ_FOLDERS = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin")
_RABBITMQ_BOOT_S = 120.0
_STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A broker that answers. ctl: argv before a verb; environment: what ctl finds it by."""

    title: str
    port: int
    tls_port: int
    http_port: int  # of the management API; 0: none
    ctl: tuple[str, ...]
    environment: dict[str, str]

    @property
    def node(self) -> str:
        return self.environment["RABBITMQ_NODENAME"]

    def control(self, *words: str) -> None:
        """Run a verb of rabbitmqctl. Raises RuntimeError with what it printed."""
        done = subprocess.run(
            [*self.ctl, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr}")


@contextlib.contextmanager
def mqd(directory: Path, certificates: Certificates) -> Iterator[Running]:
    """The daemon of this checkout, and the terminator in front of it."""
    (http_port,) = free_ports(1)
    made = Node(directory, "suites", _management(http_port), ("rabbitmq_management",))
    with made as node, Terminator(node.port, certificates) as terminator:
        node.await_control()
        node.ctl("await_startup")
        ctl = (sys.executable, "-c", _MQCTL)
        yield Running("mqd", node.port, terminator.port, http_port, ctl, node.environment)


def rabbitmq_folder() -> Path | None:
    """Where rabbitmq-server and rabbitmqctl are: RABBITMQ_BIN, a known folder, PATH; or None."""
    found = shutil.which("rabbitmq-server")
    folders: Sequence[str] = (
        os.environ.get("RABBITMQ_BIN", ""),
        *_RABBITMQ_FOLDERS,
        str(Path(found).parent) if found else "",
    )
    for folder in filter(None, folders):
        if (Path(folder) / "rabbitmq-server").exists():
            return Path(folder)
    return None


@contextlib.contextmanager
def rabbitmq(folder: Path, directory: Path, certificates: Certificates | None) -> Iterator[Running]:
    """A RabbitMQ node, with TLS and the management API when there are certificates.

    Raises RuntimeError with what it printed when it does not come up.
    """
    port, tls_port, dist_port, http_port = free_ports(4)
    http_port = http_port if certificates else 0
    environment = _rabbitmq_files(directory, port, tls_port, dist_port, http_port, certificates)
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            [folder / "rabbitmq-server"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _await_boot(process, port, directory)
        ctl = (str(folder / "rabbitmqctl"),)
        yield Running("RabbitMQ", port, tls_port, http_port, ctl, environment)
    finally:
        _end(process)


def _rabbitmq_files(
    directory: Path,
    port: int,
    tls_port: int,
    dist_port: int,
    http_port: int,
    certificates: Certificates | None,
) -> dict[str, str]:
    home = directory / "home"
    home.mkdir(parents=True)
    plugins = "rabbitmq_management" if http_port else ""
    (directory / "enabled_plugins").write_text(f"[{plugins}].\n")
    (directory / "advanced.config").write_text("[].\n")
    (directory / "env.conf").write_text("")
    tls = certificates and (
        f"listeners.ssl.local = 127.0.0.1:{tls_port}\n"
        f"ssl_options.cacertfile = {certificates.authority}\n"
        f"ssl_options.certfile = {certificates.server_certificate}\n"
        f"ssl_options.keyfile = {certificates.server_key}\n"
        "ssl_options.verify = verify_peer\n"
        "ssl_options.fail_if_no_peer_cert = true\n"
    )
    management = _management(http_port) if http_port else ""
    (directory / "rabbitmq.conf").write_text(
        f"listeners.tcp.local = 127.0.0.1:{port}\n{management}{tls or ''}"
    )
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
        "RABBITMQ_NODENAME": f"suites{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(dist_port),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
    }


def _management(port: int) -> str:
    return f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n"


def _await_boot(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    deadline = time.monotonic() + _RABBITMQ_BOOT_S
    while not answers_amqp(port):
        if process.poll() is not None or time.monotonic() > deadline:
            printed = (directory / "output").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"RabbitMQ did not come up: {printed}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the script, which stops the node; then the whole session it was given."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
