"""RabbitMQ's log line, and which line goes where."""

from __future__ import annotations

import logging
import re
import socket
from pathlib import Path

import pytest

from mqd.config.settings import LogSettings
from mqd.daemon.logs import FileHandler, Formatter, JournalHandler, Logging, Outputs, outputs
from mqd.errors import MqdError
from tests.waiting import PATIENCE_S

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d"


def record(text: str, level: int = logging.INFO, *args: object) -> logging.LogRecord:
    return logging.LogRecord("mqd.x", level, "f.py", 1, text, args, None)


def test_the_line_of_rabbitmq() -> None:
    line = Formatter().format(record("hello %s", logging.INFO, "you"))
    assert re.fullmatch(STAMP + r" \[info\] <0\.230\.0> hello you", line)


def test_every_line_of_a_longer_text_has_the_prefix() -> None:
    lines = Formatter().format(record("a\n\nb", logging.WARNING)).split("\n")
    assert len(lines) == 3
    assert all(re.match(STAMP + r" \[warning\] <0\.230\.0> ", line) for line in lines)


def test_the_time_is_the_records() -> None:
    entry = record("x")
    entry.created = 0.25
    stamp = Formatter().format(entry)[:32]
    assert stamp[19:26] == ".250000"
    assert stamp[:4] in ("1970", "1969")


def test_process_ids_are_written_as_the_node_does() -> None:
    line = Formatter("<r@h.17.").format(record("accepting <r@h.17.501.0> and <r@h.17.9.0>"))
    assert line.endswith("[info] <0.501.0> accepting <0.501.0> and <0.9.0>")


@pytest.mark.parametrize(
    ("level", "name"), [(10, "debug"), (25, "notice"), (40, "error"), (50, "critical")]
)
def test_level_names(level: int, name: str) -> None:
    assert f" [{name}] " in Formatter().format(record("x", level))


def test_a_file_that_was_moved_is_opened_anew(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "log" / "n.log"
    handler = FileHandler(path, lambda: now[0])
    handler.setFormatter(Formatter())
    handler.emit(record("one"))
    path.rename(tmp_path / "log" / "n.log.1")
    now[0] = 2.0
    handler.emit(record("two"))
    handler.close()
    assert "two" in path.read_text()
    assert "one" in (tmp_path / "log" / "n.log.1").read_text()


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MqdError, match="RABBITMQ_LOGS=-"):
        FileHandler(tmp_path / "file" / "n.log")


def test_the_journal_gets_priority_and_text(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(PATIENCE_S)
        handler = JournalHandler(str(tmp_path / "journal"))
        handler.emit(record("a\nb", logging.WARNING))
        handler.close()
        got = journal.recv(200)
    assert got.startswith(b"PRIORITY=4\nSYSLOG_IDENTIFIER=mqd\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n")


def test_no_journal_is_said(tmp_path: Path) -> None:
    with pytest.raises(MqdError, match=r"log\.journald = false"):
        JournalHandler(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("settings", "logs", "names"),
    [
        (LogSettings(), "", ("/base/n@h.log",)),
        (LogSettings(), "/x/y.log", ("/x/y.log",)),
        (LogSettings(), "-", ("<stdout>",)),
        (LogSettings(), "-stderr", ("<stderr>",)),
        (LogSettings(file="own.log", directory="/d"), "", ("/d/own.log",)),
        (LogSettings(file="/abs.log"), "", ("/abs.log",)),
        (LogSettings(file_level=None), "", ()),
        (LogSettings(console_level="info"), "", ("/base/n@h.log", "<stdout>")),
    ],
)
def test_outputs(settings: LogSettings, logs: str, names: tuple[str, ...]) -> None:
    assert outputs(settings, Path("/base"), "n@h", logs, "").names == names


def test_levels_of_the_variable() -> None:
    out = outputs(LogSettings(), Path("/b"), "n", "", "debug,connection=error,+color")
    assert out.settings.default_level == "debug"
    assert out.settings.file_level == "debug"
    assert out.settings.categories == {"connection": "error"}


def test_handlers_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "n.log"
    settings = LogSettings(categories={"connection": "error"})
    log = Logging(Outputs(settings, path))
    connection = logging.getLogger("mqd.connection")
    try:
        logging.getLogger("mqd.daemon").info("kept")
        logging.getLogger("mqd.daemon").debug("too low")
        connection.info("not of this category")
        log.set_level("debug")
        logging.getLogger("mqd.daemon").debug("now")
    finally:
        log.close()
        connection.setLevel(logging.NOTSET)
        logging.getLogger("mqd").setLevel(logging.NOTSET)
    lines = path.read_text().splitlines()
    assert [line.split("> ", 1)[1] for line in lines] == ["kept", "now"]
    assert not logging.getLogger("mqd").handlers
