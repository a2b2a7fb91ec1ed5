"""`make clients`: programs in other languages against mqd, each with its language's usual client.

Decides which there are, what each needs, and how it is started; the programs judge. A language
that is not installed is named and left out; a run of which nothing is left fails. The broker is a
daemon of its own on a free port; MQD_TEST_BROKER=host:port names another one, such as RabbitMQ, to
see that a program is right.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests import nodes
from tests.suites.suites import GO_SOURCES
from tests.suites.workshop import HERE, cache_folder, plain_environment

_PROGRAM_S = 180
_INSTALL_S = 300
_RUBY_PROBE = ("ruby", "-e", "require 'bunny'; require 'minitest'")


@dataclass(frozen=True, slots=True)
class Client:
    """A language. missing: what has to be installed first, or None; argv: makes ready and says."""

    name: str
    missing: Callable[[], str | None]
    argv: Callable[[Path], Sequence[str]]
    environment: tuple[tuple[str, str], ...] = ()


def _node_missing() -> str | None:
    if shutil.which("node") and shutil.which("npm"):
        return None
    return "nodejs 20 or later with npm"


def _node(cache: Path) -> Sequence[str]:
    """npm puts packages beside the program, so the program is copied out of the checkout."""
    folder = cache / "node"
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "package-lock.json"
    wanted = (HERE / "node" / "package-lock.json").read_bytes()
    fresh = lock.exists() and lock.read_bytes() == wanted and (folder / "node_modules").exists()
    for source in (HERE / "node").iterdir():
        shutil.copy(source, folder)
    if not fresh:
        words = ("npm", "ci", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent")
        subprocess.run(words, check=True, timeout=_INSTALL_S)
    return ("node", "--test", "--test-reporter=spec", str(folder / "amqplib.test.js"))


def _go_missing() -> str | None:
    if shutil.which("go") and GO_SOURCES.exists():
        return None
    return "golang-go and golang-github-rabbitmq-amqp091-go-dev"


def _go(_: Path) -> Sequence[str]:
    return (
        "go",
        "test",
        "-v",
        "-count=1",
        f"-timeout={_PROGRAM_S}s",
        str(HERE / "go/amqp091_test.go"),
    )


def _ruby_missing() -> str | None:
    if shutil.which("ruby"):
        probe = subprocess.run(_RUBY_PROBE, capture_output=True, timeout=60, check=False)
        if probe.returncode == 0:
            return None
    return "ruby, ruby-bunny and ruby-minitest"


def _ruby(_: Path) -> Sequence[str]:
    return ("ruby", "-W1", str(HERE / "ruby/bunny_test.rb"), "-v")


CLIENTS = (
    Client(
        "go",
        _go_missing,
        _go,
        (("GO111MODULE", "off"), ("GOPATH", str(GO_SOURCES.parents[3]))),
    ),
    Client("node", _node_missing, _node),
    Client("ruby", _ruby_missing, _ruby),
)


def _passes(client: Client, url: str, cache: Path) -> bool:
    environment = plain_environment() | {
        "AMQP_URL": url,
        "GOCACHE": str(cache / "go-cache"),
        **dict(client.environment),
    }
    began = time.monotonic()
    try:
        words = client.argv(cache)
        done = subprocess.run(words, env=environment, timeout=_PROGRAM_S, check=False)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        print(f"{client.name}: {error}", flush=True)
        return False
    print(f"{client.name}: exit {done.returncode}, {time.monotonic() - began:.1f} s", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", help="only these; default all")
    names = parser.parse_args().clients
    ran: dict[str, bool] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        address = nodes.external()
        if address is None:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqd-clients-")))
            address = stack.enter_context(nodes.Node(work, "clients")).address
        url = f"amqp://guest:guest@{address[0]}:{address[1]}"
        for client in CLIENTS:
            if names and client.name not in names:
                continue
            missing = client.missing()
            if missing is None:
                ran[client.name] = _passes(client, url, cache_folder())
            else:
                left_out[client.name] = missing
    print()
    for name, good in ran.items():
        print(f"{name}: {'ok' if good else 'FAILED'}")
    for name, missing in left_out.items():
        print(f"{name}: not run; install {missing}")
    return 0 if ran and all(ran.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
