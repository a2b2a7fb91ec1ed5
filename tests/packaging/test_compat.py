"""RabbitMQ's names for mqd's programs: packaging/install-compat.sh, into a folder of the test's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nodes import Node
from tests.waiting import PATIENCE_S

SCRIPT = Path(__file__).parents[2] / "packaging" / "install-compat.sh"
BIN = Path(sys.executable).parent
TOOLS = (
    "rabbitmq-diagnostics",
    "rabbitmq-plugins",
    "rabbitmq-queues",
    "rabbitmq-server",
    "rabbitmq-streams",
    "rabbitmq-upgrade",
    "rabbitmqctl",
)

pytestmark = pytest.mark.skipif(
    not (BIN / "mqctl").exists(), reason="mqctl is not installed beside this interpreter"
)


def install(root: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "DESTDIR": str(root),
        "BINDIR": str(BIN),
        "COMPATDIR": "/usr/lib/mqd/compat",
        **variables,
    }
    return subprocess.run(
        [SCRIPT, *words], env=environment, capture_output=True, text=True, check=False
    )


def files(root: Path) -> list[str]:
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    )


def test_a_folder_of_their_own(tmp_path: Path) -> None:
    assert install(tmp_path).returncode == 0
    assert files(tmp_path) == [f"usr/lib/mqd/compat/{name}" for name in TOOLS]
    assert install(tmp_path).returncode == 0  # again
    assert install(tmp_path, "remove").returncode == 0
    assert files(tmp_path) == []


def test_the_usual_paths_where_nothing_is(tmp_path: Path) -> None:
    assert install(tmp_path, USUAL_PATHS="yes").returncode == 0
    assert install(tmp_path, USUAL_PATHS="yes").returncode == 0
    assert files(tmp_path) == sorted(
        f"{folder}/{name}"
        for folder in ("usr/lib/mqd/compat", "usr/lib/rabbitmq/bin", "usr/sbin")
        for name in TOOLS
    )
    assert os.readlink(tmp_path / "usr/sbin/rabbitmqctl") == "/usr/lib/mqd/compat/rabbitmqctl"
    assert install(tmp_path, "remove").returncode == 0
    assert files(tmp_path) == []


def test_rabbitmq_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "usr" / "sbin" / "rabbitmqctl"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("RabbitMQ's")
    done = install(tmp_path, USUAL_PATHS="yes")
    assert done.returncode == 1
    assert f"these are not mqd's: {theirs}" in done.stderr
    assert files(tmp_path) == ["usr/sbin/rabbitmqctl"]
    assert install(tmp_path).returncode == 0
    assert install(tmp_path, "remove").returncode == 0
    assert theirs.read_text() == "RabbitMQ's"


def test_the_names_work(tmp_path: Path) -> None:
    """And the one that was called stands in usage texts."""
    folder = str(tmp_path / "compat")
    assert install(Path("/"), COMPATDIR=folder).returncode == 0
    node = Node(tmp_path / "node")
    node.environment["PATH"] = f"{folder}:{node.environment['PATH']}"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            env=node.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    for tool in TOOLS:
        if tool != "rabbitmq-server":
            assert f"\n{tool} [--node <node>]" in run(tool, "--help").stdout, tool
            assert f"\n{tool} [--node <node>]" in run(tool, "nosuch").stderr, tool
    assert run("rabbitmq-server", "--version").stdout.startswith("mqd ")
    started = run("rabbitmq-server", "-detached")
    assert (started.returncode, started.stderr) == (0, "")
    try:
        assert run("rabbitmqctl", "await_startup").returncode == 0
        assert run("rabbitmqctl", "add_vhost", "qa").stdout == 'Adding vhost "qa" ...\n'
        assert run("rabbitmq-diagnostics", "-q", "ping").returncode == 0
        assert "started 1 plugins." in run("rabbitmq-plugins", "enable", "rabbitmq_sharding").stdout
    finally:
        assert run("rabbitmqctl", "shutdown").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_root_shell_becomes_the_services_user(tmp_path: Path) -> None:
    """In file systems of its own; mqd is played by a script that says who it is."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mqd").write_text('#!/bin/sh\necho "$(id -un) $(pwd) $HOME $*"\n')
    ours = [path for path in tmp_path.parents if path.name.startswith(("pytest-", "popen-"))]
    for path in (programs, programs / "mqd", tmp_path, *ours):
        path.chmod(path.stat().st_mode | 0o055)
    compat = tmp_path / "compat"
    assert install(Path("/"), BINDIR=str(programs), COMPATDIR=str(compat)).returncode == 0

    def run(prepare: str) -> str:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-ec", f'{prepare}\nexec {compat}/rabbitmq-server "a b"'],
            env={"PATH": os.environ["PATH"], "HOME": "/root"},
            capture_output=True,
            text=True,
            check=False,
        )
        if "unshare failed" in done.stderr or "permission denied" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\n")[0]

    mounts = "mount -t tmpfs none /var/lib; mount -t tmpfs none /run; mkdir /var/lib/mqd"
    assert run(f"{mounts}; chown nobody /var/lib/mqd; stat -c %U /var/lib/mqd >&2") == (
        "nobody /var/lib/mqd /var/lib/mqd a b"
    )
    here = os.getcwd()
    assert run(mounts) == f"root {here} /root a b"
