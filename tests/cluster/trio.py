"""Three nodes as processes of this machine, of mqd or of RabbitMQ 3.10, on one of two fabrics.

Decides where nodes live, how they are started, joined, stopped, killed and asked. On "loopback"
they share 127.0.0.1 with ports of their own; in "cells" (root) each has a network, an address and
a name of its own (`lab.sh`), so that links between them can be cut. The process that uses cells
has to be in their switch's network: `enter_switch`. Never judges what the nodes do.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mqd.rpc.socket_path import socket_path
from tests import logs
from tests.nodes import answers_amqp_at
from tests.ports import control_port, free_ports

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("lab.sh")
TARGETS = ("mqd", "rabbitmq")
RABBITMQ = Path("/usr/lib/rabbitmq/bin")
_BOOT_S = 90.0
_CTL_S = 120.0
_STATUS_S = 20.0
_CTL = "import sys; sys.argv[0] = {!r}; from mqctl.main import main; sys.exit(main())"
_CONFIG = """\
listeners.tcp.local = {address}:{port}
loopback_users = none
mnesia_table_loading_retry_timeout = 3000
mnesia_table_loading_retry_limit = 10
"""


class Lab:
    """The networks of cells or booted hosts; all words of lab.sh."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = os.environ | {"LAB_DIR": str(directory)}

    def command(self, *words: str) -> list[str]:
        return [str(SCRIPT), *words]

    def do(self, *words: str, within_s: float = 120) -> str:
        """Raises RuntimeError with what it printed."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"lab.sh {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def enter_switch(self) -> None:
        """This process, its later threads and children see the hosts from now on; for good."""
        descriptor = os.open(f"/run/netns/{self.do('switch').strip()}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)


def why_no_cells() -> str:
    """Why hosts with networks of their own cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "networks of their own need root"
    missing = [tool for tool in ("ip", "nft", "nsenter", "unshare") if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def why_no_hosts() -> str:
    """Why no systemd can be booted here; empty when it can."""
    missing = [tool for tool in ("systemd-nspawn", "dbus-daemon") if not shutil.which(tool)]
    return why_no_cells() or (f"not installed: {', '.join(missing)}" if missing else "")


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


class Member:
    """One node. `process` is the daemon (RabbitMQ: the script that runs it)."""

    def __init__(self, target: str, directory: Path, index: int, lab: Lab | None) -> None:
        self.target = target
        self.directory = directory
        self.index = index
        self.lab = lab
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False
        if lab:
            self.cell = f"con{index}"
            self.name = f"rabbit@{self.cell}"
            self.address, self.port, dist = f"172.16.254.{59 + index}", 5672, 25672
        else:
            self.address = "127.0.0.1"
            self.port, dist = free_ports(1)[0], control_port()
            self.name = f"m{index}p{self.port}@localhost"
        self.environment = self._prepare(dist)

    def _prepare(self, dist: int) -> dict[str, str]:
        home = self.directory / "home"
        home.mkdir(parents=True)
        # Nodes of one machine find each other by their sockets; others have no such place.
        sockets = home if self.lab else self.directory.parent / "run"
        sockets.mkdir(exist_ok=True)
        cookie = home / ".erlang.cookie"
        cookie.write_text("TRIOTRIOTRIOTRIOTRIO")
        cookie.chmod(0o400)
        config = self.directory / "rabbitmq.conf"
        config.write_text(_CONFIG.format(address=self.address, port=self.port))
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "advanced.config").write_text("[].\n")
        (self.directory / "env.conf").write_text("")
        variables = {
            "NODENAME": self.name,
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(dist),
            "MNESIA_BASE": str(self.directory / "mnesia"),
            "LOG_BASE": str(self.directory / "log"),
            "ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "CONFIG_FILE": str(config),
            "ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "CONF_ENV_FILE": str(self.directory / "env.conf"),
            "PID_FILE": str(self.directory / "pid"),
        }
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "MQD_RUN_DIR": str(sockets),
            "LANG": "C.UTF-8",
        } | {f"RABBITMQ_{name}": value for name, value in variables.items()}

    def configure(self, text: str) -> None:
        """More lines of rabbitmq.conf, for the next start."""
        with (self.directory / "rabbitmq.conf").open("a") as file:
            file.write(text)

    # -- life ---------------------------------------------------------------------------------

    def _command(self, *words: str) -> list[str]:
        return self.lab.command("in", self.cell, *words) if self.lab else [*words]

    def _environ(self) -> dict[str, str]:
        return self.environment | ({"LAB_DIR": str(self.lab.directory)} if self.lab else {})

    def launch(self) -> None:
        """Start, and wait for nothing."""
        logs.note(self.directory)
        code = "from mqd.daemon.main import main; raise SystemExit(main())"
        daemon = [sys.executable, "-c", code]
        if self.target == "rabbitmq":
            daemon = [str(RABBITMQ / "rabbitmq-server")]
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self._command(*daemon),
                env=self._environ(),
                cwd=PROJECT if self.target == "mqd" else self.directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def answers(self) -> bool:
        """Clients, and (mqd opens that last) the tools."""
        if self.target == "mqd":
            with socket.socket(socket.AF_UNIX) as link:
                if link.connect_ex(str(socket_path(self.name, self.environment))):
                    return False
        return answers_amqp_at(self.address, self.port)

    def await_up(self, within_s: float = _BOOT_S) -> None:
        """Until AMQP is answered. Raises RuntimeError with what it printed."""
        end = time.monotonic() + within_s
        while not self.answers():
            if not self.alive or time.monotonic() > end:
                printed = (self.directory / "output").read_text(errors="replace")[-2000:]
                state = "runs" if self.alive else "has ended"
                raise RuntimeError(f"{self.name} {state} and does not answer: {printed}")
            time.sleep(0.02)

    def start(self) -> None:
        self.launch()
        self.await_up()

    def _signal(self, number: int, *, but: str = "") -> None:
        assert self.process is not None
        for pid in descendants(self.process.pid):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if not but or but not in Path(f"/proc/{pid}/comm").read_text():
                    os.kill(pid, number)

    def kill(self, *, child_too: bool = True) -> None:
        """SIGKILL to the daemon, and (a power cut) to all it has started in the same moment."""
        if not self.alive:
            return
        assert self.process is not None
        if child_too or self.target == "rabbitmq":
            self._signal(signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        self.paused = False

    def pause(self, *, child_too: bool = True) -> None:
        """The daemon does nothing, nor, or not, what it has started."""
        self._signal(signal.SIGSTOP, but="" if child_too else "nats-server")
        self.paused = True

    def resume(self) -> None:
        self._signal(signal.SIGCONT)
        self.paused = False

    def terminate(self) -> None:
        """Ask it to stop in order, and wait for nothing."""
        assert self.process is not None
        self.process.terminate()

    def stop(self, within_s: float = 60) -> None:
        """In order. What does not stop is killed, and RuntimeError raised."""
        if not self.alive:
            return
        self.terminate()
        assert self.process is not None
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} does not stop within {within_s} s") from None

    # -- asking -------------------------------------------------------------------------------

    def run(
        self, tool: str, *words: str, within_s: float = _CTL_S
    ) -> subprocess.CompletedProcess[str]:
        """A tool by RabbitMQ's name ("rabbitmqctl", ...) with this node's environment."""
        if self.target == "rabbitmq":
            program = [str(RABBITMQ / tool)]
        else:
            called = {"rabbitmqctl": "mqctl"}.get(tool, tool.replace("rabbitmq-", "mq-"))
            program = [sys.executable, "-c", _CTL.format(called)]
        process = subprocess.Popen(
            self._command(*program, *words),
            env=self._environ() | {"PYTHONFAULTHANDLER": "1"},
            cwd=PROJECT if self.target == "mqd" else self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # where it hangs is in what it prints then
            out, err = process.communicate()
            text = f"{self.name}: {' '.join(words)}: no answer within {within_s} s: {out}{err}"
            raise RuntimeError(text) from None
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def ctl(self, *words: str, within_s: float = _CTL_S) -> str:
        """rabbitmqctl; RuntimeError when it fails."""
        done = self.run("rabbitmqctl", *words, within_s=within_s)
        if done.returncode:
            raise RuntimeError(
                f"{self.name}: {' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    def status(self) -> dict[str, Any]:
        """cluster_status. Raises RuntimeError."""
        words = ("-q", "cluster_status", "--formatter", "json")
        return json.loads(self.ctl(*words, within_s=_STATUS_S))

    def definitions(self) -> dict[str, Any]:
        """What export_definitions tells, in an order of its own."""
        path = self.directory / "definitions.json"
        path.unlink(missing_ok=True)
        self.ctl("-q", "export_definitions", str(path))
        found = json.loads(path.read_text())
        for name in ("rabbit_version", "rabbitmq_version", "product_name", "product_version"):
            found.pop(name, None)
        return {
            key: sorted(value, key=lambda row: json.dumps(row, sort_keys=True))
            for key, value in found.items()
        }

    @property
    def pids(self) -> list[int]:
        assert self.process is not None
        return descendants(self.process.pid)

    def join(self, other: Member, *, ram: bool = False) -> None:
        self.ctl("stop_app")
        self.ctl("join_cluster", *(["--ram"] if ram else []), other.name)
        self.ctl("start_app")


class Trio:
    """Three nodes, started and joined: kinds are "disc" or "ram", of the second and the third."""

    def __init__(self, target: str, directory: Path, *, cells: bool = False) -> None:
        self.target = target
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.lab = Lab(directory / "lab") if cells else None
        if self.lab:
            self.lab.do("wire", "con1", "con2", "con3")
            self.lab.enter_switch()
        self.members = [Member(target, directory / f"n{i}", i, self.lab) for i in (1, 2, 3)]
        self._mappers: list[subprocess.Popen[bytes]] = []
        if target == "rabbitmq":
            self._start_port_mappers()

    def _start_port_mappers(self) -> None:
        """epmd, as children: Erlang would leave one behind."""
        if self.lab:
            commands = [self.lab.command("in", one.cell, "epmd") for one in self.members]
        else:
            port = str(control_port())
            commands = [["epmd", "-port", port]]
            for one in self.members:
                one.environment["ERL_EPMD_PORT"] = port
        environment = self.lab.environment if self.lab else None
        for command in commands:
            self._mappers.append(
                subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )

    def start(self, kinds: Sequence[str] = ("disc", "disc")) -> None:
        for member in self.members:
            member.launch()
        for member in self.members:
            member.await_up()
            member.ctl("await_startup")
        for member, kind in zip(self.members[1:], kinds, strict=True):
            member.join(self.members[0], ram=kind == "ram")

    def await_whole(self, within_s: float = _BOOT_S) -> None:
        """Until each says that all run. Raises TimeoutError with what they say instead."""
        end = time.monotonic() + within_s
        names = {member.name for member in self.members}
        while True:
            said = {}
            for member in self.members:
                try:
                    status = member.status()
                    said[member.name] = sorted(status["running_nodes"]), status["partitions"]
                except (RuntimeError, ValueError) as error:
                    said[member.name] = [str(error)[-300:]], {}
            if all(set(running) == names and not parts for running, parts in said.values()):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"the cluster is not whole: {said}")
            time.sleep(0.3)

    def end(self) -> None:
        """Kill what runs; the folder stays."""
        for member in self.members:
            member.kill()
        for mapper in self._mappers:
            mapper.kill()
            mapper.wait()
        if self.lab:
            self.lab.do("down")

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)
