"""Node names: short, long, wrong (observed: 3.10.8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mqctl.failures import Failure
from mqctl.node_names import resolve, short_host, wants_long
from mqd.rpc.socket_path import run_directory, socket_path


def test_default_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RABBITMQ_NODENAME", raising=False)
    monkeypatch.delenv("MQD_NODENAME", raising=False)
    assert resolve(None, False, "ping") == f"rabbit@{short_host()}"
    monkeypatch.setenv("MQD_NODENAME", "other@h")
    assert resolve(None, False, "ping") == "other@h"
    monkeypatch.setenv("RABBITMQ_NODENAME", "first")
    assert resolve(None, False, "ping") == f"first@{short_host()}"


@pytest.mark.parametrize(
    ("given", "long_names", "name"),
    [
        ("a@b", False, "a@b"),
        ("@b", False, "rabbit@b"),
        ("bad@@name", False, "bad@@name"),
        ("a@b.example.org", True, "a@b.example.org"),
    ],
)
def test_given_names(given: str, long_names: bool, name: str) -> None:
    assert resolve(given, long_names, "ping") == name


def test_long_names_get_a_domain() -> None:
    assert resolve("a@b", True, "ping").startswith("a@b.")


@pytest.mark.parametrize("given", ["", "a.b", "a b@c", "ä@h"])
def test_bad_heads(given: str) -> None:
    with pytest.raises(Failure) as caught:
        resolve(given, False, "ping")
    assert caught.value.exit_code == 65
    assert "node name head" in str(caught.value.text)


def test_a_dot_in_a_short_name() -> None:
    with pytest.raises(Failure) as caught:
        resolve("x@a.b", False, "list_users")
    assert caught.value.exit_code == 65
    assert str(caught.value.text).startswith(
        "Error: operation list_users failed due to invalid node name (node: x@a.b, reason: short)."
    )


def test_a_host_with_a_space() -> None:
    with pytest.raises(Failure) as caught:
        resolve("x@a b", False, "ping")
    assert "hostname is invalid" in str(caught.value.text)


def test_longnames_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_USE_LONGNAME", "true")
    assert wants_long(None)
    assert not wants_long(False)


def test_socket_path_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    assert socket_path("a@b", {"MQD_RUN_DIR": "/x"}) == "/x/a@b.sock"
    assert socket_path("../a@b", {"MQD_RUN_DIR": "/x"}) == "/x/..%2Fa@b.sock"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert run_directory({}) == "/run/mqd"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert run_directory({"XDG_RUNTIME_DIR": "/run/user/1000"}) == "/run/user/1000/mqd"
    assert run_directory({}).endswith("/mqd")


def test_the_environment_file_names_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RABBITMQ_NODENAME", "MQD_NODENAME", "RABBITMQ_USE_LONGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RABBITMQ_CONF_ENV_FILE", str(tmp_path / "env.conf"))
    assert resolve(None, False, "ping") == f"rabbit@{short_host()}"
    (tmp_path / "env.conf").write_text("H=here\nNODENAME=mine@$H\nUSE_LONGNAME=true\n")
    assert resolve(None, False, "ping") == "mine@here"
    assert wants_long(None)
    monkeypatch.setenv("RABBITMQ_NODENAME", "other@h")
    assert resolve(None, False, "ping") == "other@h"
    (tmp_path / "more").write_text("NODENAME=included@h\n")
    (tmp_path / "env2.conf").write_text(f". {tmp_path}/more\n")
    monkeypatch.delenv("RABBITMQ_NODENAME")
    monkeypatch.setenv("RABBITMQ_CONF_ENV_FILE", str(tmp_path / "env2.conf"))
    assert resolve(None, False, "ping") == "included@h"
