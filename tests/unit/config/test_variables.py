"""Environment variables, and what rabbitmq-env.conf adds to them."""

from __future__ import annotations

from pathlib import Path

from mqd.config.variables import Variable, Variables


def with_file(tmp_path: Path, text: str, **environ: str) -> Variables:
    (tmp_path / "env").write_text(text)
    variables = Variables(environ)
    variables.add_file(tmp_path / "env")
    return variables


def test_own_variables_stand_above_rabbitmqs_and_both_above_the_file(tmp_path: Path) -> None:
    environ = {"MQD_NODENAME": "a", "RABBITMQ_NODENAME": "b", "RABBITMQ_LOGS": "-"}
    variables = with_file(tmp_path, "NODENAME=c\nLOGS=/x\nNODE_PORT=7\n", **environ)
    assert variables.text("NODENAME") == "a"
    assert variables.text("LOGS") == "-"
    found = variables.get("NODE_PORT")
    assert found == Variable("7", f"{tmp_path}/env:3")
    assert not found.is_own


def test_the_file_takes_both_spellings_quotes_export_and_comments(tmp_path: Path) -> None:
    text = "# c\nexport RABBITMQ_NODE_PORT=5673 # why\nNODENAME='rabbit@a b'\nLOG_BASE=\n"
    variables = with_file(tmp_path, text)
    assert variables.text("NODE_PORT") == "5673"
    assert variables.text("NODENAME") == "rabbit@a b"
    assert variables.text("LOG_BASE") == ""
    assert variables.warnings == []


def test_the_prefixed_name_wins(tmp_path: Path) -> None:
    assert with_file(tmp_path, "RABBITMQ_NODE_PORT=1\nNODE_PORT=2\n").text("NODE_PORT") == "1"


def test_a_value_may_use_what_the_file_sets(tmp_path: Path) -> None:
    variables = with_file(tmp_path, "SECRET=s\n", HOST="h")
    assert (variables.of_process("SECRET"), variables.of_process("HOST")) == ("s", "h")


def test_unknown_names_with_the_prefix_are_found(tmp_path: Path) -> None:
    variables = with_file(tmp_path, "RABBITMQ_NODE_PROT=1\nMY_OWN=2\n", RABBITMQ_FOO="x", HOME="/")
    assert [name for name, _ in variables.unknown()] == ["FOO", "NODE_PROT"]
    assert variables.nearest("NODE_PROT") == "NODE_PORT"


def test_an_empty_variable_counts_as_none() -> None:
    assert Variables({"RABBITMQ_NODENAME": ""}).get("NODENAME") is None


def test_words_for_true() -> None:
    variables = Variables({"RABBITMQ_USE_LONGNAME": "TRUE", "RABBITMQ_KEEP_PID_FILE_ON_EXIT": "no"})
    assert variables.is_true("USE_LONGNAME")
    assert not variables.is_true("KEEP_PID_FILE_ON_EXIT")
