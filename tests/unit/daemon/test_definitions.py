"""mqd.daemon.definitions: what the configuration names is imported, or no node starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqd.config.settings import DefinitionsSettings
from mqd.daemon.definitions import IMPORTED_FILE, sources
from mqd.errors import MqdError
from mqd.metadata.commands import PutGlobalParameter
from mqd.metadata.log import CommandLog
from mqd.metadata.machine import State, apply, commands_of
from tests.nodes import Node
from tests.waiting import PATIENCE_S

VHOST: dict[str, Any] = {"vhosts": [{"name": "v"}]}
USER: dict[str, Any] = {
    "users": [{"name": "u", "password": "secret", "tags": "administrator"}],
    "permissions": [{"user": "u", "vhost": "v", "configure": ".*", "write": ".*", "read": ".*"}],
}
QUEUES: dict[str, Any] = {
    "queues": [
        {"name": "d", "vhost": "v", "durable": True, "auto_delete": False, "arguments": {}},
        {"name": "t", "vhost": "v", "durable": False, "auto_delete": False, "arguments": {}},
    ]
}
BROKEN: dict[str, Any] = {
    "queues": [{"name": "q", "vhost": "nov", "durable": True, "auto_delete": False}]
}

Put = Callable[[str, object], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def put(name: str, document: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return put


def refused(directory: Path, config: str) -> tuple[int, str]:
    """Exit code and output of a node that does not start."""
    node = Node(directory, extra_config=config)
    done = subprocess.run(
        [sys.executable, "-c", "from mqd.daemon.main import main; main()"],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stderr


def contents(node: Node) -> list[Any]:
    """The metadata of a node that does not run, but for the cluster's id."""
    log = CommandLog(next(node.directory.glob("mnesia/*/metadata.db")))
    state = State()
    for _, line in log.read():
        apply(state, line.command)
    log.close()
    return [each for each in commands_of(state) if not isinstance(each, PutGlobalParameter)]


@pytest.mark.parametrize(
    "key", ["load_definitions", "management.load_definitions", "definitions.local.path"]
)
def test_a_file_instead_of_guest(tmp_path: Path, put: Put, key: str) -> None:
    path = put("defs.json", VHOST | USER | QUEUES)
    with Node(tmp_path / "n", extra_config=f"{key} = {path}\n") as node:
        node.await_control()
        assert node.ctl("-q", "list_users").split() == ["user", "tags", "u", "[administrator]"]
        assert node.ctl("-q", "list_vhosts").split() == ["name", "v"]
        names = node.ctl("-q", "list_queues", "-p", "v", "name", "durable").split()
        assert names[2:] in (["d", "true", "t", "false"], ["t", "false", "d", "true"])
        node.ctl("delete_queue", "-p", "v", "d")
        node.stop()
        node.start()
        node.await_control()
        assert node.ctl("-q", "list_queues", "-p", "v", "name").split()[1:] in (
            ["d", "t"],
            ["t", "d"],
        )


def test_a_folder_in_order_of_names(tmp_path: Path, put: Put) -> None:
    put("defs/20-q", QUEUES)
    put("defs/10-v.json", VHOST)
    put("defs/sub/x.json", BROKEN)  # folders in it are not looked into
    config = (
        f"definitions.import_backend = local_filesystem\ndefinitions.local.path = {tmp_path}/defs\n"
    )
    with Node(tmp_path / "n", extra_config=config) as node:
        node.await_control()
        assert len(node.ctl("-q", "list_queues", "-p", "v", "name").split()) == 3
        assert node.ctl("-q", "list_users").strip() in ("", "user\ttags")


def test_what_is_unchanged_is_skipped(tmp_path: Path, put: Put) -> None:
    path = put("defs.json", VHOST | QUEUES)
    config = (
        f"load_definitions = {path}\ndefinitions.skip_if_unchanged = true\n"
        "definitions.hashing.algorithm = sha512\n"
    )
    with Node(tmp_path / "n", extra_config=config) as node:
        node.await_control()
        (imported,) = node.directory.glob(f"mnesia/*/{IMPORTED_FILE}")
        assert imported.read_text().startswith("sha512 ")
        node.ctl("delete_queue", "-p", "v", "d")
        node.stop()
        node.start()
        node.await_control()
        assert "d" not in node.ctl("-q", "list_queues", "-p", "v", "name").split()
        path.write_text(json.dumps(VHOST | QUEUES, indent=1))
        node.stop()
        node.start()
        node.await_control()
        assert "d" in node.ctl("-q", "list_queues", "-p", "v", "name").split()
        node.ctl("stop_app")
        node.ctl("reset")
        node.ctl("start_app")
        assert "d" in node.ctl("-q", "list_queues", "-p", "v", "name").split()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{\n not json", 'defs.json:2:2: expected a name in double quotes, or "}", found n'),
        ("[]", "the file: a file of definitions must be an object, but this is a list"),
        (
            json.dumps(VHOST | BROKEN, indent=1),
            "defs.json:8: queues[0] 'q' in vhost 'nov': virtual host 'nov' does not exist, and the "
            "file does not add it",
        ),
    ],
)
def test_a_bad_file_fails_the_start_and_leaves_nothing(
    tmp_path: Path, put: Put, document: str, words: str
) -> None:
    path = put("defs.json", document)
    code, printed = refused(tmp_path / "n", f"load_definitions = {path}\n")
    assert code == 1
    assert words in printed
    assert "Traceback" not in printed
    node = Node(tmp_path / "n")
    assert not contents(node)


def test_a_bad_file_among_several_fails_them_all(tmp_path: Path, put: Put) -> None:
    put("defs/1.json", VHOST | QUEUES)
    put("defs/2.json", {"queues": [QUEUES["queues"][0], *BROKEN["queues"]]})
    code, printed = refused(tmp_path / "n", f"load_definitions = {tmp_path}/defs\n")
    assert code == 1
    assert f"{tmp_path}/defs/2.json:1: queues[1] 'q' in vhost 'nov': virtual host" in printed
    put("defs/2.json", {"users": {}})
    code, printed = refused(tmp_path / "m", f"load_definitions = {tmp_path}/defs\n")
    assert f"{tmp_path}/defs/2.json:1: users: must be a list, but is an object" in printed
    for name in ("n", "m"):
        assert not contents(Node(tmp_path / name))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("load_definitions = /nonexistent/x.json\n", "/nonexistent/x.json cannot be read: No such"),
        (
            "load_definitions = /x\ndefinitions.import_backend = https\n",
            "definitions.import_backend = https: mqd imports from files alone",
        ),
    ],
)
def test_what_cannot_be_read_fails_the_start(tmp_path: Path, config: str, words: str) -> None:
    code, printed = refused(tmp_path, config)
    assert code == 1
    assert words in printed


def test_nothing_configured_is_nothing_read() -> None:
    assert sources(DefinitionsSettings()) == ()


def test_a_folder_without_files(tmp_path: Path) -> None:
    assert sources(DefinitionsSettings(path=str(tmp_path))) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path: Path, put: Put) -> None:
    path = put("defs.json", VHOST)
    path.chmod(0)
    with pytest.raises(MqdError, match="cannot be read: Permission denied"):
        sources(DefinitionsSettings(path=str(path)))
