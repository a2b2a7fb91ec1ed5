"""mq-plugins where no node answers, and what it says that RabbitMQ's does not.

What it says as RabbitMQ's does is in tests/ctl/scenarios/plugins.yaml.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mqctl import places
from mqd.config.variables import Variables
from mqd.daemon import paths
from mqd.plugins.table import PLUGINS
from mqd.rpc.v1 import plugins_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done
from tests.unit.mqctl.fake_node import FakeNode, Outcome, call, refuse

SHARDING = "rabbitmq_sharding"


@pytest.fixture
def file(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of enabled plugins, with nothing in it; no node runs."""
    path = tmp_path / "enabled_plugins"
    path.write_text("[].\n")
    monkeypatch.setenv("RABBITMQ_ENABLED_PLUGINS_FILE", str(path))
    return path


def plugins(*words: str) -> Outcome:
    return call(*words, tool="mq-plugins")


# -- names ---------------------------------------------------------------------------------------


def test_retired_names_are_left_out_with_a_warning(file: Path) -> None:
    words = f"enable mochiweb {SHARDING} webmachine amqp_client rabbitmq_management_agent".split()
    done = plugins(*words)
    assert done.code == 0
    assert file.read_text() == f"[amqp_client,rabbitmq_management_agent,{SHARDING}].\n"
    assert [line.split(":")[0] for line in done.err.splitlines()] == [
        "Warning",
        "Warning",
    ]
    assert "plugin mochiweb is ignored: RabbitMQ does not have it any more" in done.err
    assert "set 2 plugins." in done.out


def test_retired_names_alone_change_nothing(file: Path) -> None:
    done = plugins("enable", "rabbitmq_management_visualiser")
    assert (done.code, file.read_text()) == (0, "[].\n")
    assert done.out.endswith("\nPlugin configuration unchanged.\n")


def test_strict_refuses_them_as_3_10_does(file: Path) -> None:
    done = plugins("enable", "--strict", "webmachine", SHARDING, "mochiweb")
    assert done.code == 70
    assert done.err.startswith("Error:\n{:plugins_not_found, [:mochiweb, :webmachine]}\n")
    done = plugins("set", "--strict", "webmachine", "mochiweb")
    assert done.code == 65
    assert done.err.startswith("Error:\nThe following plugins were not found: mochiweb, webmachine")
    assert file.read_text() == "[].\n"


def test_retired_names_in_the_file_go(file: Path) -> None:
    file.write_text("[mochiweb,rabbitmq_sharding].")
    assert plugins("disable", "nosuch").code == 0
    assert file.read_text() == "[rabbitmq_sharding].\n"


def test_what_mqd_does_not_have_is_not_faked(file: Path) -> None:
    done = plugins("enable", "rabbitmq_stomp", SHARDING)
    assert (done.code, file.read_text()) == (70, "[].\n")
    assert done.err == (
        "Error:\n{:plugins_not_found, [:rabbitmq_stomp]}\n"
        "rabbitmq_stomp: this version of mqd does not have it yet\n"
    )


def test_everything(file: Path) -> None:
    assert plugins("enable", "--all").code == 0
    assert file.read_text() == f"[{','.join(sorted(PLUGINS))}].\n"
    assert plugins("disable", "--all").code == 0
    assert file.read_text() == "[].\n"


def test_json_is_json_whatever_the_file_says(file: Path) -> None:
    file.write_text("[nosuch,rabbitmq_sharding].")
    done = plugins("list", "-E", "--formatter", "json")
    assert [row["name"] for row in json.loads(done.out)["plugins"]] == [SHARDING]
    assert done.err == "WARNING - plugins currently enabled but missing: nosuch\n\n"


# -- the file ------------------------------------------------------------------------------------


def test_it_keeps_its_mode_and_its_place(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert plugins("enable", SHARDING, "--enabled-plugins-file", str(link)).code == 0
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert file.read_text() == f"[{SHARDING}].\n"
    file.unlink()
    assert plugins("enable", SHARDING).code == 0
    assert file.stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(tmp_path)) == ["enabled_plugins", "link"]


def test_one_that_may_not_be_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read and write everything, so this is played."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "no")

    why = "the file does not exist or permission was denied (EACCES)"
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        done = plugins("enable", SHARDING)
    said = f"Error:\nCould not update enabled plugins file at {file}: {why}\n"
    assert (done.code, done.err, file.read_text()) == (65, said, "[].\n")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refused)
        done = plugins("list")
    said = f"Error:\nCould not read enabled plugins file at {file}: {why}\n"
    assert (done.code, done.err) == (65, said)


def test_a_folder_that_takes_no_new_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("tempfile.mkstemp", refused)
    assert plugins("enable", SHARDING).code == 0
    assert file.read_text() == f"[{SHARDING}].\n"


def test_one_that_is_no_text(file: Path) -> None:
    file.write_bytes(b"[\xff].")
    done = plugins("list")
    assert (done.code, done.err) == (69, f"Error:\nError:\n{file}: it is not text\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("garbage\n", "{1, :erl_parse, ['syntax error before: ', []]}"),
        ("[a b].\n", "{1, :erl_parse, ['syntax error before: ', 'b']}"),
        ("[a,].\n", r"{1, :erl_parse, ['syntax error before: ', '\']\'']}"),
        ("[a\n", "{1, :erl_parse, ['syntax error before: ', []]}"),
        ("[a]\n\n", "{1, :erl_parse, ['syntax error before: ', []]}"),
        ("a b\n", "{1, :erl_parse, ['syntax error before: ', 'b']}"),
        ("[a,\nb\nc].\n", "{3, :erl_parse, ['syntax error before: ', 'c']}"),
        ("['x y' z].\n", "{1, :erl_parse, ['syntax error before: ', 'z']}"),
    ],
)
def test_broken_ones_are_told_as_erlang_does(file: Path, text: str, said: str) -> None:
    """observed: Erlang/OTP 25, file:consult/1."""
    file.write_text(text)
    done = plugins("list")
    term = f"{{:cannot_read_enabled_plugins_file, '{file}', {said}}}"
    assert (done.code, done.err) == (69, f"Error:\nError:\n{term}\n")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "'missing )', 1"),
        ("*", "'nothing to repeat', 0"),
        ("[", "'missing terminating ] for character class', 1"),
        ("a)", "'unmatched parentheses', 1"),
    ],
)
def test_patterns_without_a_node(file: Path, pattern: str, said: str) -> None:
    done = plugins("list", pattern)
    assert done.code == 70
    assert done.out == f'Listing plugins with pattern "{pattern}" ...\n'
    assert done.err == f"Error:\n{{:badmatch, {{:error, {{{said}}}}}}}\n\n"


@pytest.mark.parametrize("environ", [{}, {"MNESIA_BASE": "/m", "PLUGINS_DIR": "/a:/b"}])
@pytest.mark.parametrize("uid", [0, 12345])
def test_places_are_those_of_the_daemon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int, environ: dict[str, str]
) -> None:
    environ = {f"RABBITMQ_{name}": value for name, value in environ.items()}
    environ |= {"HOME": str(tmp_path), "RABBITMQ_NODENAME": "a@h", "MQD_RUN_DIR": "/r"}
    monkeypatch.setattr(os, "environ", environ)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(paths, "SYSTEM_DATA", tmp_path / "absent")
    if uid:
        monkeypatch.setattr(places, "SYSTEM_DATA", str(tmp_path / "absent"))
    else:
        monkeypatch.setattr(paths, "SYSTEM_DATA", Path(places.SYSTEM_DATA))
    found = paths.resolve(Variables(environ), paths.bases(environ, uid), environ)
    assert str(found.enabled_plugins) == places.enabled_plugins_file()
    assert ":".join(map(str, found.plugin_folders)) == places.plugin_folders()
    assert str(found.plugins_expand) == places.plugins_expand_folder("a@h")


def test_the_environment_file_counts(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = tmp_path / "env.conf"
    env.write_text(f"ENABLED_PLUGINS_FILE={tmp_path}/p\nMNESIA_BASE=/m\n")
    monkeypatch.delenv("RABBITMQ_ENABLED_PLUGINS_FILE", raising=False)
    monkeypatch.setenv("RABBITMQ_CONF_ENV_FILE", str(env))
    monkeypatch.setenv("RABBITMQ_PLUGINS_DIR", "/a:/b")
    assert plugins("directories", "--offline", "-s").out == (
        "Plugin archives directory: /a:/b\n"
        "Plugin expansion directory: /m/fake@localhost-plugins-expand\n"
        f"Enabled plugins file: {tmp_path}/p\n"
    )


# -- the node ------------------------------------------------------------------------------------


def reply(file: Path | str = "/node/enabled_plugins", **row: object) -> pb.PluginsReply:
    return pb.PluginsReply(
        plugins=[pb.PluginRow(name="mine", version="2", description="My own", **row)],
        app_runs=True,
        enabled_plugins_file=str(file),
        folders=["/a", "/b"],
        expand_folder="/x",
        enabled=["mine"],
    )


def test_the_nodes_file_is_used_when_none_is_named(
    file: Path, fake: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RABBITMQ_ENABLED_PLUGINS_FILE")
    file.write_text("[mine].")
    fake.answer("Plugins/Examine", pb.ExaminePlugins, lambda *_: reply(file))
    fake.answer("Plugins/Disable", pb.DisablePlugins, lambda *_: pb.PluginsApplied(stopped=["a"]))
    done = plugins("disable", "mine")
    assert done.out.endswith("  mine\n\nstopped 1 plugins.\n")
    assert (fake.requests[-1].file, file.read_text()) == (str(file), "[].\n")


def test_directories_are_the_nodes(file: Path, fake: FakeNode) -> None:
    fake.answer("Plugins/Directories", pb.ListPluginDirectories, lambda *_: reply())
    assert json.loads(plugins("directories", "--formatter", "json").out) == {
        "enabled_plugins_file": "/node/enabled_plugins",
        "plugins_dir": "/a:/b",
        "plugins_expand_dir": "/x",
    }


def test_a_plugin_that_cannot_run_is_not_enabled(file: Path, fake: FakeNode) -> None:
    broken = reply(trouble="mine:PLUGIN: SyntaxError: invalid syntax")
    fake.answer("Plugins/Examine", pb.ExaminePlugins, lambda *_: broken)
    done = plugins("enable", "mine")
    assert (done.code, file.read_text()) == (70, "[].\n")
    said = "Error:\nplugin mine cannot run: mine:PLUGIN: SyntaxError: invalid syntax\n"
    assert done.err == said
    assert list(fake.requests[0].plugins) == ["mine"]


def test_other_failures_of_the_node_are_its_own(file: Path, fake: FakeNode) -> None:
    fake.answer("Plugins/Examine", pb.ExaminePlugins, lambda *_: reply(file))
    fake.answer("Plugins/Set", pb.SetPlugins, lambda _, context: refuse(context, "INTERNAL", "why"))
    done = plugins("set", "mine")
    assert (done.code, done.err) == (70, "Error:\nwhy\n")


def test_folders_that_are_named_must_be_there(
    file: Path, fake: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """observed: 3.10.8; one of several is enough, and verbs that only ask do not look."""
    fake.answer("Plugins/List", pb.ListPlugins, lambda *_: reply(matches=True))
    fake.answer("Plugins/Directories", pb.ListPluginDirectories, lambda *_: reply())
    monkeypatch.setenv("RABBITMQ_PLUGINS_DIR", f"/nonexistent:{tmp_path}")
    assert plugins("list", "-m", "-s").out == "mine\n"
    monkeypatch.setenv("RABBITMQ_PLUGINS_DIR", "/nonexistent")
    done = plugins("list")
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("Error: :plugins_dir_does_not_exist\nArguments given:\n\tlist\n")
    assert plugins("directories").code == 0


def test_a_listing_is_printed_whatever_the_printer(
    file: Path, fake: FakeNode, tmp_path: Path
) -> None:
    """observed: 3.10.8."""
    fake.answer("Plugins/List", pb.ListPlugins, lambda *_: reply(matches=True))
    done = plugins("list", "-s", "--printer", "file", "--file", str(tmp_path / "out"))
    assert (done.out, (tmp_path / "out").exists()) == ("[  ] mine 2\n", False)


def test_no_time_at_all_is_enough(file: Path, fake: FakeNode) -> None:
    """observed: 3.10.8."""
    fake.answer("Plugins/List", pb.ListPlugins, lambda *_: reply(matches=True))
    assert plugins("list", "-s", "-t", "0").out == "[  ] mine 2\n"


# -- a plugin's verb -----------------------------------------------------------------------------


def test_a_verb_is_there_while_its_plugin_is_enabled(file: Path, fake: FakeNode) -> None:
    """observed: 3.10.8."""
    fake.answer("Plugins/ResetStatsDb", pb.ResetStatsDbRequest, lambda *_: Done())
    done = call("reset_stats_db")
    text = "\nCommand 'reset_stats_db' not found. \nDid you mean 'reset'? \n\n"
    assert (done.code, done.err) == (64, text)
    assert "reset_stats_db" not in call("--help").out
    assert call("help", "reset_stats_db").code == 64
    file.write_text("broken")
    assert call("reset_stats_db").code == 64
    file.write_text("[rabbitmq_management_agent].")
    assert "reset_stats_db" in call("--help").out
    where = "Resetting statistics database on node fake@localhost\n"
    for words, out in (
        ("", where),
        ("x", where),
        ("-t 0", where),
        ("--all", "Resetting statistics database in all nodes\n"),
        ("--formatter json", ""),
        ("-q", ""),
        ("--dry-run", where),
    ):
        done = call("reset_stats_db", *words.split())
        assert (done.code, done.out, done.err) == (0, out, ""), words
    assert len(fake.requests) == 6
    assert call("reset_stats_db", tool="mq-diagnostics").code == 64
