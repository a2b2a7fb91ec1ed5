"""Hosts as their operators would have them: with mqd under RabbitMQ's names, or with RabbitMQ.

Decides what is on each: users, folders, programs at the usual paths. `host.sh` makes the host.
No broker runs at first.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("host.sh")
NAME = "opshost"
_BOOT_S = 120.0

# The machine's own RabbitMQ, if it has one, is not on mqd's host. The user rabbitmq is another name
# of the service's user there: rabbitmq-server-ha has that name built in.
_MQD = """
rm -rf /usr/lib/rabbitmq /usr/sbin/rabbitmq* /etc/rabbitmq /var/lib/rabbitmq /var/log/rabbitmq \
    /etc/default/rabbitmq-server /var/lib/mqd /var/log/mqd
for user in rabbitmq mqd; do userdel $user 2>/dev/null || :; groupdel $user 2>/dev/null || :; done
groupadd --system mqd
useradd --system --gid mqd --home-dir /var/lib/mqd --shell /usr/sbin/nologin mqd
groupadd --non-unique --gid $(id -g mqd) rabbitmq
useradd --non-unique --uid $(id -u mqd) --gid mqd --home-dir /var/lib/mqd \
    --shell /usr/sbin/nologin rabbitmq
packaging/install.sh
USUAL_PATHS=yes packaging/install-compat.sh
install -d -o root -g mqd -m 0755 /etc/rabbitmq
install -d -o mqd -g mqd -m 0750 /var/lib/mqd /var/log/mqd /run/mqd
ln -s mqd /var/lib/rabbitmq
ln -s mqd /var/log/rabbitmq
"""
_RABBITMQ = """
rm -rf /etc/rabbitmq/* /var/lib/rabbitmq/mnesia /var/log/rabbitmq/*
"""


class Host:
    """A host that is up."""

    def __init__(self, directory: Path, layers: Sequence[Path]) -> None:
        self._environ = os.environ | {"HOST_DIR": str(directory)}
        self._script("up", NAME, *map(str, layers))

    def _script(self, *words: str) -> None:
        subprocess.run([SCRIPT, *words], env=self._environ, check=True, timeout=60)

    def run(
        self, *words: str, within_s: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run as root inside; what it printed on both streams is stdout.

        What it leaves running may go on printing: nobody waits for that.
        """
        pairs = [f"{name}={value}" for name, value in environment.items()]
        with tempfile.TemporaryFile("w+") as printed:
            done = subprocess.run(
                [SCRIPT, "run", "env", *pairs, *words],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=within_s,
                check=False,
            )
            printed.seek(0)
            return subprocess.CompletedProcess(words, done.returncode, printed.read())

    def must(self, *words: str, within_s: float = 120, **environment: str) -> str:
        """Raises RuntimeError with what it printed."""
        done = self.run(*words, within_s=within_s, **environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stdout}")
        return done.stdout

    def down(self) -> None:
        self._script("down")


@contextlib.contextmanager
def host(directory: Path, layers: Sequence[Path], broker: str) -> Iterator[Host]:
    """A host with "mqd" or "RabbitMQ" installed."""
    made = Host(directory, layers)
    try:
        if broker == "mqd":
            programs = Path(sys.executable).parent
            for place in (programs, Path(sys.base_prefix)):
                for folder in (place, *place.parents):
                    made.must("chmod", "o+x", str(folder))
            made.must("sh", "-ec", f"cd {PROJECT}{_MQD}", BINDIR=str(programs))
        else:
            made.must("sh", "-ec", _RABBITMQ)
        yield made
    finally:
        made.down()


def start_broker(made: Host) -> None:
    """As a runbook does it, and until it answers. Raises RuntimeError."""
    made.must("rabbitmq-server", "-detached")
    end = time.monotonic() + _BOOT_S
    while made.run("rabbitmqctl", "await_startup").returncode:
        if time.monotonic() > end:
            raise RuntimeError("the broker does not come up")
        time.sleep(0.5)
