"""Three booted hosts with a broker installed as its operator would, and a script played on them.

Decides how mqd and RabbitMQ get onto the hosts, how a line of the script is typed and what counts
as its expected answer. The lines themselves are in the sections.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.bench.client import Client
from tests.cluster.trio import PROJECT, Lab

NAMES = ("con1", "con2", "con3")
ADDRESSES = {name: f"172.16.254.{60 + at}" for at, name in enumerate(NAMES)}
DATA = "/var/lib/rabbitmq/mnesia"
COOKIE = "/var/lib/rabbitmq/.erlang.cookie"
SERVICE = "rabbitmq-server.service"
_PYTHON = "/usr/bin/python3.11"
_BOOT_S = 120.0
# What the machine has of either broker is not on the hosts.
_BARE = """
rm -rf /var/lib/rabbitmq/* /var/lib/rabbitmq/.erlang.cookie /var/log/rabbitmq/* /etc/rabbitmq/* \
    /var/lib/mqd /var/log/mqd
"""
_MQD = """
rm -rf /usr/lib/rabbitmq /usr/sbin/rabbitmq* /etc/rabbitmq /var/lib/rabbitmq /var/log/rabbitmq \
    /etc/default/rabbitmq-server /etc/init.d/rabbitmq-server \
    /usr/lib/systemd/system/rabbitmq-server.service
userdel rabbitmq 2>/dev/null || :
groupdel rabbitmq 2>/dev/null || :
{python} -m venv /opt/mqd
/opt/mqd/bin/pip install -q --no-index --find-links /opt/wheels 'mqd[cluster]' pika
BINDIR=/opt/mqd/bin /opt/files/packaging/install.sh
BINDIR=/opt/mqd/bin USUAL_PATHS=yes /opt/files/packaging/install-compat.sh
for each in mqd mqctl mq-plugins mq-diagnostics mq-queues mq-streams mq-upgrade; do
    ln -sf /opt/mqd/bin/$each /usr/local/bin/
done
"""
# Section E of the tutorial, with the address of each host (D12); guest may come from afar (D21).
_ENVIRONMENT = """\
RABBITMQ_NODE_PORT=5672
ulimit -S -n 4096
RABBITMQ_NODE_IP_ADDRESS={address}
"""
_PLACES = {"any": r"[^\n]*", "lines": r"[\s\S]*", "int": r"\d+", "word": r"\S+", "esc": "\x1b"}


class Wrong(Exception):
    """A line was not answered as the script says."""


def matches(expected: str, said: str) -> bool:
    """<any>, <int>, <word>, <lines> and <esc> match by shape; the rest is literal."""
    parts = re.split(r"<(any|lines|int|word|esc)>", expected.strip("\n"))
    pattern = "".join(_PLACES[part] if at % 2 else re.escape(part) for at, part in enumerate(parts))
    return re.fullmatch(pattern, said.strip("\n")) is not None


class Stage:
    """The hosts, and what is typed on them. `target`: "mqd" or "rabbitmq"."""

    def __init__(self, target: str, directory: Path, tell: Callable[[str], None]) -> None:
        self.target = target
        self.lab = Lab(directory / "lab")
        self._directory = directory
        self.tell = tell
        self.notes: list[str] = []

    # -- hosts --------------------------------------------------------------------------------

    def build(self) -> None:
        """Boot three hosts with the broker on them, not yet started."""
        self.lab.directory.mkdir(parents=True)
        if self.target == "mqd":
            self._bring_mqd()
        self.lab.do("image", "sh", "-ec", _BARE)
        if self.target == "mqd":
            self.lab.do("image", "sh", "-ec", _MQD.format(python=_PYTHON), within_s=300)
        self.lab.do("up", *NAMES)
        self.lab.enter_switch()
        for name in NAMES:
            if self.target == "mqd":
                self.quietly(name, "systemd-sysusers && systemd-tmpfiles --create")
            self.quietly(name, "systemctl daemon-reload")
            if self.target == "mqd":  # its alias comes with `enable`; the script starts it itself
                wants = "/etc/systemd/system/multi-user.target.wants/mqd.service"
                self.quietly(name, f"systemctl enable mqd && rm {wants}")
            text = _ENVIRONMENT.format(address=ADDRESSES[name])
            self.write(name, "/etc/rabbitmq/rabbitmq-env.conf", text)
            self.write(name, "/etc/rabbitmq/rabbitmq.conf", "loopback_users = none\n")

    def _bring_mqd(self) -> None:
        wheels = self._directory / "wheels"
        packages = [f"{PROJECT}[cluster]", "pika"]
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(wheels), *packages],
            check=True,
            capture_output=True,
            timeout=300,
        )
        self.lab.do("image", "true")
        upper = self.lab.directory / "image" / "upper" / "opt"
        upper.mkdir(parents=True, exist_ok=True)
        shutil.copytree(wheels, upper / "wheels")
        for folder in ("packaging", "man"):
            shutil.copytree(PROJECT / folder, upper / "files" / folder)

    def down(self) -> None:
        self.lab.do("down")

    # -- typing -------------------------------------------------------------------------------

    def _run(self, host: str, command: str, within_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.lab.command("run", host, "sh", "-c", command),
            env=self.lab.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    def quietly(self, host: str, command: str, within_s: float = _BOOT_S) -> str:
        """What has to succeed and nobody looks at."""
        done = self._run(host, command, within_s)
        if done.returncode:
            raise Wrong(f"{host}# {command}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def type(
        self,
        host: str,
        command: str,
        out: str | None = None,
        *,
        err: str | None = None,
        code: int | tuple[int, ...] = 0,
        within_s: float = _BOOT_S,
        again_s: float = 0.0,
    ) -> str:
        """A line of the script. out, err: what it must print, not compared without. again_s: typed
        again until it is answered so, that long."""
        codes = code if isinstance(code, tuple) else (code,)
        end = time.monotonic() + again_s
        while True:
            began = time.monotonic()
            done = self._run(host, command, within_s)
            fits = (
                done.returncode in codes
                and (out is None or matches(out, done.stdout))
                and (err is None or matches(err, done.stderr))
            )
            if fits or time.monotonic() > end:
                break
            time.sleep(0.3)
        self.tell(f"  {host}# {command}  [{time.monotonic() - began:.1f} s]")
        if not fits:
            raise Wrong(
                f"{host}# {command}\n--- exit {done.returncode}, wanted {code}\n"
                f"--- printed\n{done.stdout}{done.stderr}--- wanted\n{out or ''}\n{err or ''}"
            )
        return done.stdout + done.stderr

    def write(self, host: str, path: str, text: str) -> None:
        (self.lab.directory / host / "root" / path.lstrip("/")).write_text(text)

    def note(self, text: str) -> None:
        """A difference between the two brokers, on purpose."""
        self.notes.append(text)
        self.tell(f"  ({text})")

    def client(self, host: str) -> Client:
        return Client((ADDRESSES[host], 5672), timeout_s=30)

    # -- situations ---------------------------------------------------------------------------

    def fresh(self, **kinds: str) -> None:
        """All services new, started, one cookie; con2="ram" and the like join con1."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._renew, NAMES))
            self.copy_cookie("con2", "con3")
            wanted = ["con1", *kinds]
            list(pool.map(self._start, wanted))
        for name, kind in kinds.items():
            flag = "--ram " if kind == "ram" else ""
            self.quietly(
                name,
                f"rabbitmqctl stop_app && rabbitmqctl join_cluster {flag}rabbit@con1 "
                "&& rabbitmqctl start_app",
            )

    def _start(self, name: str) -> None:
        """Twice if need be: a killed RabbitMQ's name is known to its epmd for a moment yet."""
        start = f"systemctl start {SERVICE}"
        self.quietly(name, f"{start} || {{ sleep 2; {start}; }}")

    def _renew(self, name: str) -> None:
        if not (self.lab.directory / name / "pid").exists():
            self.lab.do("boot", name)
        self.quietly(
            name,
            f"systemctl kill -s KILL {SERVICE}; systemctl stop {SERVICE}; "
            f"systemctl reset-failed {SERVICE}; rm -rf {DATA}/* {DATA}/.[a-z]* ; true",
        )
        if name == "con1":
            self.quietly(name, f"test -e {COOKIE} || systemctl start {SERVICE}")

    def copy_cookie(self, *hosts: str) -> None:
        """D17: by hand, as scp and chmod would."""
        cookie = self.quietly("con1", f"cat {COOKIE}")
        for host in hosts:
            self.quietly(
                host,
                f"rm -f {COOKIE}; printf %s '{cookie}' >{COOKIE}; chmod 400 {COOKIE}; "
                f"chown --reference=/var/lib/rabbitmq/. {COOKIE}",
            )

    def log(self, host: str) -> str:
        return self.quietly(host, "cat /var/log/rabbitmq/*.log /var/log/rabbitmq/*/*.log || true")
