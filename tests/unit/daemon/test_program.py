"""The program `mqd` as its user meets it: what it prints, how it ends, what it tells systemd."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from tests.nodes import Node, answers_amqp
from tests.ports import control_port
from tests.waiting import PATIENCE_S

PROGRAM = [sys.executable, "-c", "from mqd.daemon.main import main; main()"]


def mqd(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end; nothing of the machine's is touched."""
    base = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "MQD_RUN_DIR": str(directory / "run"),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
        "RABBITMQ_CONFIG_FILES": str(directory / "conf.d"),
        "RABBITMQ_DIST_PORT": str(control_port()),
    }
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=base | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def connect(node: Node) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", node.port))


# -- arguments and configuration ------------------------------------------------------------------


def test_version_and_help(tmp_path: Path) -> None:
    assert re.fullmatch(r"mqd \d+\.\d+\.\d+\n", mqd(tmp_path, "--version").stdout)
    assert mqd(tmp_path, "--help").stdout.startswith("Usage: mqd [option]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frobnicate"], "mqd: unknown argument '--frobnicate'; mqd --help lists"),
        (["--check", "--version"], "mqd: --check and --version do not go together"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = mqd(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith(words)


def test_check_prints_every_value_with_its_origin(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.conf").write_text(
        "heartbeat = 7\ndefault_pass = secret\nprometheus.tcp.port = 15700\n"
    )
    (tmp_path / "env.conf").write_text("NODENAME=checked@h\nulimit -n 50\n")
    done = mqd(tmp_path, "--check", RABBITMQ_NODE_PORT="5999")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [re.sub(r" +", " ", line) for line in done.stdout.splitlines()]
    assert "# node checked@h" in lines
    assert f"heartbeat = 7 # {tmp_path}/rabbitmq.conf:1" in lines
    assert "channel_max = 2047 # default" in lines
    assert "listeners.tcp.default = 5999 # RABBITMQ_NODE_PORT" in lines
    assert "# without effect:" in lines
    assert any("15700 # " in line and "no plugin for it" in line for line in lines)
    assert any(line.startswith("# limit of open files: soft 50") for line in lines)
    assert "secret" not in done.stdout


def test_check_reads_the_plugins_too(tmp_path: Path) -> None:
    path = tmp_path / "enabled_plugins"
    path.write_text("[rabbitmq_randm_exchange,rabbitmq_random_exchange].\n")
    done = mqd(tmp_path, "--check", RABBITMQ_ENABLED_PLUGINS_FILE=str(path))
    assert (done.returncode, done.stdout.splitlines()[:2]) == (
        0,
        [
            "# plugin rabbitmq_random_exchange",
            f"# warning: {path}: plugin 'rabbitmq_randm_exchange' is not started: there is no such "
            "plugin; is 'rabbitmq_random_exchange' meant?",
        ],
    )
    path.write_text("[rabbitmq_random_exchange]\n")
    for arguments in (["--check"], []):
        done = mqd(tmp_path, *arguments, RABBITMQ_ENABLED_PLUGINS_FILE=str(path))
        assert done.returncode == 78
        assert f"mqd: {path}:2: '.' expected, not the end" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--check"], ["-detached"]])
def test_a_wrong_configuration_is_said_line_by_line(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "rabbitmq.conf").write_text("heartbeet = 7\nframe_max = x\n")
    done = mqd(tmp_path, *arguments)
    assert done.returncode in (1, 78)
    assert f"{tmp_path}/rabbitmq.conf:1: unknown key 'heartbeet'" in done.stderr
    assert f"{tmp_path}/rabbitmq.conf:2: frame_max = x: must be a size" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mnesia").exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mqd(tmp_path, MQD_NODE_IP_ADDRESS="127.0.0.1", MQD_NODE_PORT=str(port))
    assert done.returncode == 1
    assert f"mqd: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "mnesia").glob("*.pid"))


def test_a_distribution_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mqd(tmp_path, RABBITMQ_DIST_PORT=str(port))
    assert done.returncode == 1
    assert f"[::]:{port}: Address already in use; set RABBITMQ_DIST_PORT" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "mnesia").glob("*.pid"))


def test_a_data_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = mqd(tmp_path, RABBITMQ_MNESIA_BASE=str(tmp_path / "file"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"mqd: cannot use data directory {tmp_path}/file/")


# -- a running node -------------------------------------------------------------------------------


def test_it_boots_and_says_so(node: Node) -> None:
    assert answers_amqp(node.port)
    log = node.await_log("Server startup complete", 0)
    for words in (
        f" node           : {node.name}",
        "Created user 'guest'",
        f"started TCP listener on 127.0.0.1:{node.port}",
        "Server startup complete; 0 plugins started.",
    ):
        assert words in log
    assert node.process is not None
    assert (node.directory / "pid").read_text().strip() == str(node.process.pid)


def test_a_second_instance_is_refused_by_name_of_the_pid(node: Node) -> None:
    assert node.process is not None
    done = subprocess.run(
        PROGRAM,
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert f"is in use by another node, process {node.process.pid}" in done.stderr
    assert answers_amqp(node.port)
    assert (node.directory / "pid").exists()


def test_term_sends_clients_away_and_keeps_what_is_durable(node: Node) -> None:
    connection = connect(node)
    channel = connection.channel()
    channel.queue_declare("kept", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "kept", b"m", pika.BasicProperties(delivery_mode=2))
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:  # noqa: PT012
        while True:
            connection.process_data_events(time_limit=PATIENCE_S)
    assert caught.value.reply_code == 320
    assert caught.value.reply_text == (
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    )
    assert node.process.wait(PATIENCE_S) == 0
    assert not (node.directory / "pid").exists()
    node.start()
    with connect(node) as again:
        assert again.channel().basic_get("kept", auto_ack=True)[2] == b"m"


def test_kill_leaves_nothing_in_the_way_of_the_next_start(node: Node) -> None:
    with connect(node) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True)
        channel.queue_declare("lost", auto_delete=False)
    node.kill()
    node.start()
    with connect(node) as connection:
        channel = connection.channel()
        assert channel.queue_declare("kept", passive=True).method.message_count == 0
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'lost'"):
            channel.queue_declare("lost", passive=True)


def test_usr1_logs_where_every_thread_is(node: Node) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGUSR1)
    assert answers_amqp(node.port)
    assert node.stop() == 0
    log = (node.directory / "log" / f"{node.name}.log").read_text()
    assert "] <0.230.0> thread " in log
    assert "run_forever" in log


def test_detached_returns_when_the_broker_answers(tmp_path: Path) -> None:
    node = Node(tmp_path)
    done = subprocess.run(
        [*PROGRAM, "-detached"],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((tmp_path / "pid").read_text())
    watched = os.pidfd_open(pid)
    try:
        assert answers_amqp(node.port)
    finally:
        os.kill(pid, signal.SIGTERM)
        assert select.select([watched], [], [], 15)[0]
        os.close(watched)


def test_the_service_manager_hears_of_every_step(tmp_path: Path) -> None:
    node = Node(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        node.environment |= {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "600000000",
        }
        with node:
            heard = [manager.recv(500).decode()]
            while not heard[-1].startswith("WATCHDOG=1"):
                heard.append(manager.recv(500).decode())
            assert answers_amqp(node.port)
            assert "READY=1\nSTATUS=Ready" in heard
            assert heard[0].startswith("STATUS=Startup in progress (metadata)\nEXTEND_TIMEOUT")
            node.stop()
        heard = [manager.recv(500).decode()]
        while "STATUS=Broker application stopped" not in heard[-1]:
            heard.append(manager.recv(500).decode())
        assert heard[0].startswith("STOPPING=1")


def test_a_node_alone_loads_nothing_of_clusters_nor_of_plugins() -> None:
    """They are loaded when it is or becomes a member: its start would take longer."""
    program = (
        "import sys, mqd.daemon.run, mqd.control.server\n"
        "heavy = ('mqd.cluster', 'mqd.management', 'aiohttp', 'cryptography', 'nats')\n"
        "print(*(name for name in sys.modules if name.startswith(heavy)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout.split() == []
