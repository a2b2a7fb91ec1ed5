"""SIGHUP: what has changed is told and applied, or nothing is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from mqd.config.load import Configuration, load
from mqd.config.variables import Variables
from mqd.daemon.reload import changed_variables, changes, with_live
from tests.nodes import Node


def configured(tmp_path: Path, text: str) -> Configuration:
    path = tmp_path / "a.conf"
    path.write_text(text)
    return load([path], Variables({}))


def told(old: Configuration, new: Configuration) -> list[str]:
    return [f"{change}: {change.verdict}" for change in changes(old, new)]


def test_each_change_is_told_with_what_becomes_of_it(tmp_path: Path) -> None:
    old = configured(
        tmp_path, "heartbeat = 60\nframe_max = 8192\ndefault_pass = a\nlog.queue.level = debug\n"
    )
    new = configured(
        tmp_path,
        "heartbeat = 10\nframe_max = 8KB\nlisteners.tcp.1 = 5700\ndefault_pass = b\n"
        "prometheus.tcp.port = 1\n",
    )
    assert told(old, new) == [
        "default_pass: ******** -> ********: needs a restart",
        "heartbeat: 60 -> 10: applied",
        "listeners.tcp.1: (not set) -> 5700: needs a restart",
        "log.queue.level: debug -> (not set): applied",
        "prometheus.tcp.port: (not set) -> 1: without effect, mqd has no plugin for it in this "
        "version",
    ]
    assert told(new, new) == []


def test_a_default_that_is_written_down_is_no_change(tmp_path: Path) -> None:
    assert told(configured(tmp_path, ""), configured(tmp_path, "heartbeat = 60\n")) == []
    assert told(configured(tmp_path, "heartbeat = 5\n"), configured(tmp_path, "")) == [
        "heartbeat: 5 -> 60: applied"
    ]


def test_what_needs_a_restart_is_told_again_until_there_is_one(tmp_path: Path) -> None:
    old = configured(tmp_path, "heartbeat = 60\n")
    new = configured(tmp_path, "heartbeat = 10\nlisteners.tcp.1 = 5700\n")
    counting = with_live(old, new, changes(old, new))
    assert counting["heartbeat"] == 10
    assert not counting.is_set("listeners.tcp.1")
    assert told(counting, new) == ["listeners.tcp.1: (not set) -> 5700: needs a restart"]
    gone = configured(tmp_path, "")
    assert not with_live(counting, gone, changes(counting, gone)).is_set("heartbeat")


def test_variables_need_a_restart() -> None:
    old = Variables({"RABBITMQ_NODE_PORT": "1", "RABBITMQ_ERLANG_COOKIE": "a"})
    new = Variables({"RABBITMQ_NODE_PORT": "2", "RABBITMQ_ERLANG_COOKIE": "b"})
    assert list(changed_variables(old, new)) == [
        "RABBITMQ_ERLANG_COOKIE: ******** -> ********",
        "RABBITMQ_NODE_PORT: 1 -> 2",
    ]


# -- on a running node ----------------------------------------------------------------------------

BEFORE = "heartbeat = 60\nframe_max = 131072\n"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path, extra_config=BEFORE) as made:
        made.await_control()
        yield made


def reloaded(node: Node, text: str) -> str:
    """Send SIGHUP with this text in the file; what the log says of it."""
    assert node.process is not None
    (node.directory / "rabbitmq.conf").write_text(
        f"listeners.tcp.local = 127.0.0.1:{node.port}\n{text}"
    )
    log = node.directory / "log" / f"{node.name}.log"
    seen = len(log.read_text())
    node.process.send_signal(signal.SIGHUP)
    text = node.await_log("Configuration ", seen)
    lines = [line.partition("> ")[2] for line in text.splitlines()]
    first = next(at for at, line in enumerate(lines) if line.startswith("Configuration "))
    return "\n".join(line for line in lines[first:] if "AMQP connection" not in line)


def proposed(node: Node) -> tuple[int, int]:
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", node.port)) as connection:
        tuned = connection._impl.params
        return tuned.heartbeat, tuned.frame_max


def test_a_reload_is_applied_to_new_connections(node: Node) -> None:
    assert proposed(node) == (60, 131_072)
    said = reloaded(
        node,
        "heartbeat = 7\nframe_max = 8192\ntcp_listen_options.backlog = 5\n"
        "vm_memory_high_watermark.relative = 0.3\ndisk_free_limit.absolute = 1KB\n"
        "loopback_users = none\nlog.default.level = debug\n",
    )
    where = f"{node.directory}/rabbitmq.conf"
    assert said.splitlines() == [
        "Configuration reloaded, changes:",
        f"disk_free_limit.absolute: 50000000 -> 1000 ({where}:6): applied",
        f"frame_max: 131072 -> 8192 ({where}:3): applied",
        f"heartbeat: 60 -> 7 ({where}:2): applied",
        f"log.default.level: info -> debug ({where}:8): applied",
        f"loopback_users: (not set) -> none ({where}:7): applied",
        f"tcp_listen_options.backlog: 1024 -> 5 ({where}:4): needs a restart",
        f"vm_memory_high_watermark.relative: 0.4 -> 0.3 ({where}:5): applied",
    ]
    assert proposed(node) == (7, 8192)
    status = node.ctl("status")
    assert "Memory high watermark setting: 0.3 of available memory" in status
    assert "Low free disk space watermark: 0.0 gb" in status
    environment = node.ctl("environment")
    assert "{heartbeat,7}" in environment
    assert "{loopback_users,[]}" in environment
    assert "{backlog,128}" in environment  # RabbitMQ's, until a restart
    node.ctl("stop_app")
    node.ctl("start_app")
    assert proposed(node) == (7, 8192)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("heartbeat = 7\nheartbeet = 5\n", ":3: unknown key 'heartbeet'; did you mean"),
        ("heartbeat = 7\nframe_max = many\n", ":3: frame_max = many: must be a size"),
        ("heartbeat = 7\nwhat\n", ":3: not of the form 'key = value': what"),
    ],
)
def test_a_wrong_file_changes_nothing(node: Node, text: str, problem: str) -> None:
    said = reloaded(node, text)
    assert said.startswith("Configuration is not reloaded and nothing has changed:\n")
    assert f"{node.directory}/rabbitmq.conf{problem}" in said
    assert proposed(node) == (60, 131_072)
    assert reloaded(node, BEFORE) == "Configuration reloaded: nothing has changed"
