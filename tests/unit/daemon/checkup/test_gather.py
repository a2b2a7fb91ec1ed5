"""All facts of a node that is down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mqd.daemon.checkup.gather import gather, running_pid
from mqd.rpc.v1 import doctor_pb2 as pb
from tests.waiting import PATIENCE_S


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "RABBITMQ_NODENAME": "unit@localhost",
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_CONFIG_FILE": str(tmp_path / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(tmp_path / "env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "enabled_plugins"),
        "MQD_RUN_DIR": str(tmp_path),
    }


def test_a_node_that_never_ran(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.conf").write_text(
        "listeners.tcp.1 = 127.0.0.1:1\nnet_ticktime = 60\n"
        "vm_memory_high_watermark.absolute = 1GB\n"
    )
    (tmp_path / "enabled_plugins").write_text("[rabbitmq_consistent_hash_exchange,nothing].")
    facts = gather(environ)
    assert (facts.node, facts.pid, facts.app) == ("unit@localhost", 0, "")
    assert list(facts.configuration.files) == [str(tmp_path / "rabbitmq.conf")]
    assert [note.what for note in facts.configuration.notes] == ["net_ticktime"]
    assert [port.purpose for port in facts.ports] == ["amqp", "clustering"]
    assert facts.memory.limit_bytes == 1_000_000_000
    assert list(facts.plugins.wanted) == ["rabbitmq_consistent_hash_exchange"]
    assert [trouble.name for trouble in facts.plugins.troubles] == ["nothing"]
    assert facts.names.host == "localhost"
    assert not (tmp_path / "mnesia").exists()


def test_a_configuration_that_is_wrong(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.conf").write_text("heartbit = 5\n")
    (tmp_path / "enabled_plugins").write_text("[")
    facts = gather(environ)
    assert facts.node == "unit@localhost"
    assert "rabbitmq.conf:1: unknown key 'heartbit'" in facts.configuration.problems[0]
    assert facts.disc.free_bytes > 0
    assert facts.plugins.trouble


def test_a_node_name_that_is_none(environ: dict[str, str]) -> None:
    facts = gather(environ | {"RABBITMQ_NODENAME": "a b"})
    assert facts.node == ""
    assert "is no node name" in facts.configuration.problems[0]


def test_pid_files(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    assert running_pid(path) == 0
    path.write_text("1\n")  # lives, and is not mqd
    assert running_pid(path) == 0
    path.write_text("x")
    assert running_pid(path) == 0


def test_the_program(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mqd.daemon.checkup"],
        env=environ,
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert pb.Facts.FromString(done.stdout).node == "unit@localhost"
