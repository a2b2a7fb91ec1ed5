"""Where a node keeps its things, by who runs it and what it was told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mqd.config.parse import ConfigError
from mqd.config.variables import Variables
from mqd.daemon import paths
from mqd.daemon.paths import Bases, NodePaths


@pytest.fixture
def base(tmp_path: Path) -> Bases:
    (tmp_path / "etc" / "conf.d").mkdir(parents=True)
    return Bases(
        tmp_path / "data",
        tmp_path / "log",
        tmp_path / "etc",
        tmp_path / "own" / "mqd.conf",
        tmp_path / "plugins",
    )


def resolved(base: Bases, environ: dict[str, str] | None = None) -> NodePaths:
    environ = {"HOME": "/home/x", "MQD_RUN_DIR": "/run/x", **(environ or {})}
    return paths.resolve(Variables(environ), base, environ)


def test_root_has_the_systems_folders() -> None:
    found = paths.bases({}, 0)
    assert found.data == Path("/var/lib/mqd")
    assert found.config == Path("/etc/rabbitmq")


def test_a_service_has_those_its_manager_made() -> None:
    environ = {"STATE_DIRECTORY": "/s", "LOGS_DIRECTORY": "/l"}
    found = paths.bases(environ, 12345)
    assert (found.data, found.log) == (Path("/s"), Path("/l"))
    assert found.config == Path("/etc/rabbitmq")


def test_everybody_else_has_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(paths, "SYSTEM_DATA", tmp_path / "absent")
    found = paths.bases({}, 12345)
    assert tmp_path in found.data.parents
    assert tmp_path in found.config.parents


def test_the_owner_of_the_systems_data_has_the_systems_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "SYSTEM_DATA", tmp_path)
    uid = tmp_path.stat().st_uid
    assert paths.bases({}, uid).data == tmp_path


def test_defaults_hang_on_the_node_name(base: Bases) -> None:
    found = resolved(base, {"RABBITMQ_NODENAME": "a@h"})
    assert found.data == base.data / "mnesia" / "a@h"
    assert found.pid_file == base.data / "mnesia" / "a@h.pid"
    assert found.cookie == Path("/home/x/.erlang.cookie")
    assert found.control_socket == Path("/run/x/a@h.sock")
    assert found.enabled_plugins == base.config / "enabled_plugins"
    assert found.plugin_folders == (base.plugins,)
    assert found.plugins_expand == base.data / "mnesia" / "a@h-plugins-expand"


def test_rabbitmqs_variables_move_them(base: Bases) -> None:
    environ = {
        "RABBITMQ_NODENAME": "a@h",
        "RABBITMQ_MNESIA_BASE": "/b",
        "RABBITMQ_LOG_BASE": "/l",
        "RABBITMQ_PID_FILE": "/p",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "/e",
        "RABBITMQ_PLUGINS_DIR": "/f:/g",
        "RABBITMQ_PLUGINS_EXPAND_DIR": "/x",
    }
    found = resolved(base, environ)
    assert (found.data, found.log_base) == (Path("/b/a@h"), Path("/l"))
    assert (found.pid_file, found.enabled_plugins) == (Path("/p"), Path("/e"))
    assert found.plugin_folders == (Path("/f"), Path("/g"))
    assert found.plugins_expand == Path("/x")
    assert resolved(base, environ | {"RABBITMQ_MNESIA_DIR": "/d"}).data == Path("/d")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "rabbit@con1"),
        ({"RABBITMQ_USE_LONGNAME": "true"}, "rabbit@con1.example.org"),
        ({"RABBITMQ_NODENAME": "hare"}, "hare@con1"),
        ({"RABBITMQ_NODENAME": "hare@other.org"}, "hare@other.org"),
    ],
)
def test_node_names_are_completed(given: dict[str, str], name: str) -> None:
    assert paths.node_name(Variables(given), "con1.example.org") == name


@pytest.mark.parametrize("bad", ["@", "a@", "@h", "a@b@c", "a b@h", "a/../b@h"])
def test_what_is_no_node_name_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"RABBITMQ_NODENAME: .* is no node name"):
        paths.node_name(Variables({"RABBITMQ_NODENAME": bad}), "h")


def test_config_files_in_order(base: Bases) -> None:
    for name in ("rabbitmq.conf", "conf.d/20.conf", "conf.d/10.conf", "conf.d/no.txt"):
        (base.config / name).write_text("")
    base.own_config.parent.mkdir()
    base.own_config.write_text("")
    names = [path.name for path in resolved(base).config_files]
    assert names == ["rabbitmq.conf", "10.conf", "20.conf", "mqd.conf"]


@pytest.mark.parametrize("suffix", ["", ".conf", ".config"])
def test_a_named_config_file_may_leave_out_its_suffix(
    base: Bases, tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "my.conf").write_text("")
    found = resolved(base, {"RABBITMQ_CONFIG_FILE": f"{tmp_path}/my{suffix}"})
    assert found.config_files == (tmp_path / "my.conf",)


def test_a_missing_config_file_is_none(base: Bases) -> None:
    assert resolved(base, {"RABBITMQ_CONFIG_FILE": "/no/where"}).config_files == ()


def test_a_classic_file_is_read_where_there_is_no_other(base: Bases) -> None:
    classic = base.config / "rabbitmq.config"
    classic.write_text("[].")
    (base.config / "advanced.config").write_text("[].")
    names = [path.name for path in resolved(base).config_files]
    assert names == ["rabbitmq.config", "advanced.config"]
    assert resolved(base).ignored_config is None
    (base.config / "rabbitmq.conf").write_text("")
    assert resolved(base).ignored_config == classic
    names = [path.name for path in resolved(base).config_files]
    assert names == ["rabbitmq.conf", "advanced.config"]


def test_a_classic_file_named_as_it_is_wins(base: Bases, tmp_path: Path) -> None:
    for name in ("my.conf", "my.config", "more.config"):
        (tmp_path / name).write_text("")
    environ = {"RABBITMQ_ADVANCED_CONFIG_FILE": f"{tmp_path}/more"}
    found = resolved(base, environ | {"RABBITMQ_CONFIG_FILE": f"{tmp_path}/my.config"})
    assert found.config_files == (tmp_path / "my.config", tmp_path / "more.config")
    found = resolved(base, environ | {"RABBITMQ_CONFIG_FILE": f"{tmp_path}/my"})
    assert found.config_files == (tmp_path / "my.conf", tmp_path / "more.config")


def test_further_files_by_folder_or_pattern(base: Bases, tmp_path: Path) -> None:
    (tmp_path / "x1.conf").write_text("")
    (tmp_path / "y1.conf").write_text("")
    by_pattern = resolved(base, {"RABBITMQ_CONFIG_FILES": f"{tmp_path}/x*.conf"})
    assert [path.name for path in by_pattern.config_files] == ["x1.conf"]
    by_folder = resolved(base, {"RABBITMQ_CONFIG_FILES": str(tmp_path)})
    assert [path.name for path in by_folder.config_files] == ["x1.conf", "y1.conf"]


def test_the_environment_file_names_the_node(base: Bases) -> None:
    (base.config / "rabbitmq-env.conf").write_text("NODENAME=filed@h\nulimit -n 5\n")
    variables = Variables({})
    paths.apply_environment_file(variables, base)
    assert paths.node_name(variables, "h") == "filed@h"
    assert len(variables.warnings) == 1
