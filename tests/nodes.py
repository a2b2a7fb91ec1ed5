"""A broker as a process of its own, for tests that must see it from outside.

Decides how such a process is started, found ready, stopped and killed. Everything it has is under
one temporary directory and on free ports of 127.0.0.1. MQD_TEST_BROKER=host:port points the
client tests at a broker that runs already (real RabbitMQ, to see that a test is right).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mqd.rpc.socket_path import socket_path
from tests import logs
from tests.ports import control_port, free_ports
from tests.waiting import PATIENCE_S

_BOOT_S = PATIENCE_S
_LOOK_S = 2.0  # of one look, where more follow
_STOP_S = 60.0
_CONSTRUCTED = "from mqd.daemon.main import main; raise SystemExit(main())"
_CTL = "from mqctl.main import main; raise SystemExit(main())"


def answers_amqp(port: int, within_s: float = PATIENCE_S) -> bool:
    """Whether connection.start comes back for a protocol header."""
    return answers_amqp_at("127.0.0.1", port, within_s)


def answers_amqp_at(host: str, port: int, within_s: float = _LOOK_S) -> bool:
    """The same, of another address."""
    try:
        with socket.create_connection((host, port), within_s) as link:
            link.sendall(b"AMQP\x00\x00\x09\x01")
            return link.recv(16)[:1] == b"\x01"
    except OSError:
        return False


def await_amqp(port: int, within_s: float) -> None:
    """Until a broker answers there. Raises TimeoutError."""
    end = time.monotonic() + within_s
    while not answers_amqp(port, _LOOK_S):
        if time.monotonic() > end:
            raise TimeoutError(f"nothing answers on port {port}")
        time.sleep(0.01)


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(path) == 0


class Node:
    """One mqd process. Use as a context manager; the directory outlives it."""

    def __init__(
        self,
        directory: Path,
        name: str = "t",
        extra_config: str = "",
        plugins: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        (self.port,) = free_ports(1)
        self.name = f"{name}{self.port}@localhost"
        home = directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        config = directory / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\n{extra_config}")
        enabled = directory / "enabled_plugins"
        enabled.write_text(f"[{','.join(plugins)}].\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(control_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(enabled),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.boot_s = 0.0

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def launch(self) -> None:
        """Start, and wait for nothing."""
        logs.note(self.directory)
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CONSTRUCTED],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def start(self) -> None:
        """Start and wait until AMQP is answered. Raises RuntimeError with what it printed."""
        began = time.monotonic()
        self.launch()
        assert self.process is not None
        while not answers_amqp(self.port, _LOOK_S):
            if self.process.poll() is not None or time.monotonic() - began > _BOOT_S:
                self.kill()
                printed = (self.directory / "output").read_text()[-2000:]
                raise RuntimeError(f"mqd did not come up: {printed}")
            time.sleep(0.005)
        self.boot_s = time.monotonic() - began

    def await_control(self) -> None:
        """Until the control socket is there, which is after AMQP is answered. The file may be there
        before, of another process that had this name and was killed."""
        path = socket_path(self.name, self.environment)
        end = time.monotonic() + _BOOT_S
        while not _listens(path):
            if time.monotonic() > end:
                raise RuntimeError(f"nobody listens at the control socket {path}")
            time.sleep(0.005)

    def await_log(self, words: str, after: int) -> str:
        """The log from that character on, once the words are in it."""
        path = self.directory / "log" / f"{self.name}.log"
        end = time.monotonic() + _BOOT_S
        while words not in (text := path.read_text()[after:]):
            if time.monotonic() > end:
                raise RuntimeError(f"no {words!r} in the log: {text}")
            time.sleep(0.005)
        return text

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_S)

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def cpu_s(self) -> float:
        """What it has used of the processors so far, whatever else they had to do."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime, stime

    @property
    def rss_mb(self) -> float:
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def ctl(self, *words: str) -> str:
        """mqctl against this node; RuntimeError when it fails."""
        done = subprocess.run(
            [sys.executable, "-c", _CTL, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mqctl {' '.join(words)}: {done.returncode}: {done.stderr}")
        return done.stdout

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()


def external() -> tuple[str, int] | None:
    """The broker named by MQD_TEST_BROKER, if any."""
    value = os.environ.get("MQD_TEST_BROKER")
    if not value:
        return None
    host, _, port = value.partition(":")
    return host, int(port)
