"""Environment variables and the simple form of rabbitmq-env.conf."""

from __future__ import annotations

from mqd.config.variables import Variables


def test_own_variables_stand_above_rabbitmqs_and_both_above_the_file() -> None:
    variables = Variables({"MQD_NODENAME": "a", "RABBITMQ_NODENAME": "b", "RABBITMQ_LOGS": "-"})
    variables.add_file("NODENAME=c\nLOGS=/x\nNODE_PORT=7\n", "env")
    assert variables.text("NODENAME") == "a"
    assert variables.text("LOGS") == "-"
    found = variables.get("NODE_PORT")
    assert found is not None
    assert (found.value, found.origin, found.is_own) == ("7", "env:3", False)


def test_the_file_takes_both_spellings_quotes_export_and_comments() -> None:
    variables = Variables({})
    text = "# c\nexport RABBITMQ_NODE_PORT=5673 # why\nNODENAME='rabbit@a b'\nLOG_BASE=\n"
    variables.add_file(text, "env")
    assert variables.text("NODE_PORT") == "5673"
    assert variables.text("NODENAME") == "rabbit@a b"
    assert variables.text("LOG_BASE") == ""
    assert variables.warnings == []


def test_what_is_no_assignment_is_named_and_ignored() -> None:
    variables = Variables({})
    variables.add_file("ulimit -S -n 4096\nA=1 B=2\nC=$HOME/x\nD='open\nE=5\n", "env")
    assert variables.warnings == [
        "env:1: ignored, not a single NAME=value: ulimit -S -n 4096",
        "env:2: ignored, not a single NAME=value: A=1 B=2",
        "env:3: ignored, not a single NAME=value: C=$HOME/x",
        "env:4: ignored, not a single NAME=value: D='open",
    ]
    assert variables.text("E") == "5"


def test_an_empty_variable_counts_as_none() -> None:
    assert Variables({"RABBITMQ_NODENAME": ""}).get("NODENAME") is None


def test_words_for_true() -> None:
    variables = Variables({"RABBITMQ_USE_LONGNAME": "TRUE", "RABBITMQ_KEEP_PID_FILE_ON_EXIT": "no"})
    assert variables.is_true("USE_LONGNAME")
    assert not variables.is_true("KEEP_PID_FILE_ON_EXIT")
