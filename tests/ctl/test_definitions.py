"""Files of definitions through the tool: written, read, watched, broken; and there and back between
mqd and RabbitMQ 3.10.8."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ctl.exchanged import OPERATOR, RECORDED, compared, define, ordered
from tests.nodes import Node
from tests.suites.brokers import Running, rabbitmq, rabbitmq_folder
from tests.waiting import PATIENCE_S

_CTL = "from mqctl.main import main; main()"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("definitions")) as node:
        node.await_control()
        yield node


@pytest.fixture
def virgin(node: Node) -> Node:
    """The node as on its first day."""
    for verb in ("stop_app", "reset", "start_app"):
        node.ctl(verb)
    return node


def call(node: Node, *words: str, **options: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _CTL, *words],
        env=node.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=options.get("stderr", subprocess.PIPE),
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


# -- files ----------------------------------------------------------------------------------------


def test_what_is_written(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("was here before, and is longer than nothing" * 1000)
    done = call(node, "export_definitions", str(file))
    assert done.stdout == f'Exporting definitions in JSON to a file at "{file}" ...\n'
    printed = call(node, "export_definitions", "-").stdout
    assert file.read_text() == printed
    assert not printed.endswith("\n")
    wrapped = call(node, "export_definitions", "-", "--formatter", "json").stdout
    assert json.loads(wrapped) == {"message": printed}
    done = call(node, "export_definitions", str(file), "--format", "Erlang")
    assert done.stdout.startswith("Exporting definitions in Erlang term format to a file at")
    assert file.read_bytes()[:2] == b"\x83P"
    for quiet in ("-q", "-s"):
        assert call(node, quiet, "export_definitions", str(file)).stdout == ""
    assert call(node, "export_definitions", str(file), "--formatter", "json").stdout == ""


def test_a_dry_run_writes_nothing(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    done = call(node, "export_definitions", str(file), "--dry-run")
    assert (done.returncode, file.exists()) == (0, False)
    file.write_text('{"vhosts":[{"name":"dry"}]}')
    assert call(node, "import_definitions", str(file), "--dry-run").returncode == 0
    assert "dry" not in node.ctl("list_vhosts")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is full")
def test_a_full_disc(node: Node) -> None:
    done = call(node, "export_definitions", "/dev/full")
    assert done.returncode == 65
    assert done.stderr == "Error:\nNo space left on device hosting /dev/full\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_no_permission(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    file.chmod(0)
    for verb, how in (("export", "write to"), ("import", "read from")):
        done = call(node, f"{verb}_definitions", str(file))
        text = f"No permissions to {how} file {file} or its parent directory"
        assert (done.returncode, done.stderr) == (65, f"Error:\n{text}\n")


def test_a_file_that_is_too_large(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b" " * 67_000_001)
    done = call(node, "import_definitions", str(file))
    text = f"File {file} is larger than 67 MB: import it in parts"
    assert (done.returncode, done.stderr) == (65, f"Error:\n{text}\n")


# -- a terminal -----------------------------------------------------------------------------------


def watched(node: Node, *words: str) -> tuple[str, str]:
    """Output, and what a terminal at the error stream was shown."""
    main, side = pty.openpty()
    try:
        done = call(node, *words, stderr=side)
    finally:
        os.close(side)
    shown = b""
    try:
        while piece := os.read(main, 65_536):
            shown += piece
    except OSError:  # the last of it
        pass
    os.close(main)
    return done.stdout, shown.decode()


def test_a_bar_on_a_terminal_and_what_was_left_out(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    binding = {"source": "amq.topic", "destination": "gone", "destination_type": "queue"}
    queue = {"vhost": "/", "durable": True, "auto_delete": False}
    queues = [{"name": f"bar{index}", **queue} for index in range(300)]
    file.write_text(json.dumps({"queues": queues, "bindings": [binding | {"vhost": "/"}]}))
    out, shown = watched(node, "import_definitions", str(file))
    assert out == (
        f'Importing definitions in JSON from a file at "{file}" ...\nSuccessfully started '
        "definition import. This process is asynchronous and can take some time.\n"
    )
    assert "301/301" in shown
    assert "left out: binding from exchange 'amq.topic' to queue 'gone' in vhost '/'" in shown
    assert watched(node, "-q", "import_definitions", str(file)) == ("", "")


def test_a_terminal_is_told_where(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"users":[{"name":"u"}]}')
    assert f"{file}:1: users[0] 'u': tags are missing" in watched(
        node, "import_definitions", str(file)
    )[1].replace("\r\n", "\n")
    file.write_text("{not json")
    shown = watched(node, "import_definitions", str(file))[1]
    assert f"{file}:1:2: expected a name in double quotes" in shown


# -- broken files ---------------------------------------------------------------------------------

BROKEN = [
    (b'{\n "a": nope}', 65, ":2:7: expected a value, found n"),
    (b'{"a":"\xff"}', 65, ":1:7: a text that is not UTF-8"),
    (b'{"a":1e999}', 65, ":1:6: a number that is too large"),
    (b"[" * 5000, 65, ":1:201: nested more than 200 levels deep"),
    (b"[]", 70, ": the file: a file of definitions must be an object, but this is a list"),
    (b'{"vhosts":{}}', 69, ":1: vhosts: must be a list, but is an object"),
    (b'{"queues":[\n{"name":1}]}', 69, ":2: queues[0] '1': name must be a text"),
]


def test_all_that_is_left_is_shown(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{" + "é" * 4000)  # more than fits into a status
    done = call(node, "import_definitions", str(file))
    assert f'{{:unexpected_token, "{"é" * 4000}"}}' in done.stderr


@pytest.mark.parametrize(("content", "code", "words"), BROKEN)
def test_broken_files(node: Node, tmp_path: Path, content: bytes, code: int, words: str) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    done = call(node, "import_definitions", str(file))
    assert done.returncode == code
    assert f"{file}{words}" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == f'Importing definitions in JSON from a file at "{file}" ...\n'


# -- mqd and RabbitMQ -----------------------------------------------------------------------------


def test_an_export_of_3_10_8_comes_out_as_it_went_in(virgin: Node, tmp_path: Path) -> None:
    node, file, again = virgin, tmp_path / "x.json", tmp_path / "y.json"
    node.ctl("delete_user", "guest")
    node.ctl("import_definitions", str(RECORDED))
    node.ctl("export_definitions", str(file))
    exported, recorded = file.read_text(), RECORDED.read_text()
    assert ordered(json.loads(exported)) == ordered(json.loads(recorded))
    node.ctl("import_definitions", str(file))
    node.ctl("export_definitions", str(again))
    assert again.read_text() == exported


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = rabbitmq_folder()
    if folder is None:
        pytest.skip("no rabbitmq-server is installed")
    with rabbitmq(folder, tmp_path_factory.mktemp("rabbitmq"), None) as broker:
        yield broker


@pytest.mark.slow
def test_there_and_back(virgin: Node, other: Running, tmp_path: Path) -> None:
    node = virgin
    theirs, ours, back = (tmp_path / name for name in ("theirs", "ours", "back"))
    # from RabbitMQ into mqd
    define(other)
    other.control("export_definitions", str(theirs))
    node.ctl("delete_user", "guest")
    node.ctl("import_definitions", str(theirs))
    node.ctl("export_definitions", str(ours))
    assert ordered(json.loads(ours.read_text())) == ordered(json.loads(theirs.read_text()))
    # from mqd into RabbitMQ, which cannot read its own JSON of operator policies, but its terms
    for verb in ("stop_app", "reset", "start_app"):
        other.control(verb)
    other.control("delete_user", "guest")
    term = tmp_path / "ours.erl"
    node.ctl("export_definitions", str(term), "--format", "erlang")
    other.control("import_definitions", str(term), "--format", "erlang")
    other.control("export_definitions", str(back))
    assert compared(back.read_text()) == compared(ours.read_text())
    # and as JSON without them
    for verb in ("stop_app", "reset", "start_app"):
        other.control(verb)
    other.control("delete_user", "guest")
    node.ctl("clear_operator_policy", "-p", "v", OPERATOR[3])
    node.ctl("export_definitions", str(ours))
    other.control("import_definitions", str(ours))
    other.control("export_definitions", str(back))
    assert compared(back.read_text()) == compared(ours.read_text())
