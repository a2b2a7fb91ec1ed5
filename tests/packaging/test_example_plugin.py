"""The example in packaging/example-plugin: installed by pip, switched on a running node."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from tests.nodes import Node
from tests.waiting import PATIENCE_S

EXAMPLE = Path(__file__).parents[2] / "packaging" / "example-plugin"
NAME = "round_robin_exchange"
_CALL = (
    "import sys; sys.argv[0] = 'mq-plugins'; from mqctl.main import main; raise SystemExit(main())"
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]  # pip builds a distribution


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has put it."""
    pytest.importorskip("setuptools")
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source)  # setuptools leaves files where it builds
    folder = tmp_path_factory.mktemp("plugins")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", folder, source], check=True)
    return folder


def plugins(node: Node, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", _CALL, *words],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_is_switched_on_and_off(folder: Path, tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.environment["RABBITMQ_PLUGINS_DIR"] = f"/nowhere:{folder}"
    with node:
        node.await_control()
        connection = pika.BlockingConnection(pika.ConnectionParameters(*node.address))
        channel = connection.channel()
        assert plugins(node, "list", "-s", "-v", NAME) == (
            0,
            f"[  ] {NAME}\n     Version:     \t1.0\n     Dependencies:\t[]\n     Description: \t"
            "Exchange type x-round-robin: each message to the next of its destinations\n",
            "",
        )
        assert "started 1 plugins." in plugins(node, "enable", NAME)[1]
        assert plugins(node, "list", "-s", NAME)[1] == f"[E*] {NAME} 1.0\n"
        channel.exchange_declare("x", "x-round-robin", durable=True)
        for queue in ("a", "b", "c"):
            channel.queue_declare(queue, durable=True)
            channel.queue_bind(queue, "x")
        channel.confirm_delivery()
        for _ in range(6):
            channel.basic_publish("x", "k", b"m")
        counts = [channel.queue_declare(q, passive=True).method.message_count for q in "abc"]
        assert counts == [2, 2, 2]
        assert "stopped 1 plugins." in plugins(node, "disable", NAME)[1]
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="type x-round-robin not"):
            channel.basic_publish("x", "k", b"m")
        assert "started 1 plugins." in plugins(node, "enable", NAME)[1]
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("x", "k", b"m", mandatory=True)
        connection.close()


def test_a_broken_one_is_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "plugins"
    shutil.copytree(folder, broken)
    (broken / f"{NAME}.py").write_text("import nothing_of_that_name\n")
    node = Node(tmp_path / "node", plugins=[NAME])
    node.environment["RABBITMQ_PLUGINS_DIR"] = str(broken)
    said = f"{NAME}:PLUGIN: ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
    with node:  # it starts all the same, and says so
        node.await_control()
        assert plugins(node, "list", "-s", NAME) == (0, f"[E ] {NAME} 1.0\n", "")
        assert plugins(node, "set")[0] == 0
        code, _, err = plugins(node, "enable", NAME)
        assert (code, err) == (70, f"Error:\nplugin {NAME} cannot run: {said}")
        assert plugins(node, "list", "-s", NAME) == (0, f"[  ] {NAME} 1.0\n", "")
    log = next((tmp_path / "node" / "log").glob("*.log")).read_text()
    assert f"plugin '{NAME}' is not started: {said}" in log
