"""Log lines in RabbitMQ's form, and where they go.

Decides the line (`2022-09-01 12:00:00.123456+00:00 [info] <0.230.0> text`, the prefix repeated
on every line of a longer text), the outputs (file, standard output or error, journal) and which
level goes where. Never decides what is logged. `mqd.connection` is the logger of the category
connection, and so on. A line that names a process of this node, <rabbit@host.1795354533.5695.0>,
writes it as the node itself does, <0.5695.0>, and is said to be of that process.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from mqd.config.settings import LogSettings
from mqd.errors import ErrorCode, MqdError

NOTICE = 25
_OFF = logging.CRITICAL + 100
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": logging.CRITICAL + 10,
    "emergency": logging.CRITICAL + 20,
    "none": _OFF,
}
_NAMES = {number: name for name, number in LEVELS.items()}
_SYSLOG = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}
_NODE_PID = "<0.230.0>"  # lines of no process in particular
_REOPEN_CHECK_S = 1.0
_JOURNAL = "/run/systemd/journal/socket"


class Formatter(logging.Formatter):
    """RabbitMQ 3.10's plain text form.

    pid_prefix: what every process id of this node begins with, "<rabbit@host.1795354533.".
    """

    def __init__(self, pid_prefix: str = "") -> None:
        super().__init__()
        self._pid_prefix = pid_prefix
        self._second = -1
        self._date = ""
        self._offset = ""

    def format(self, record: logging.LogRecord) -> str:
        text, pid = self.localised(record.getMessage())
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        prefix = f"{self._stamp(record.created)} [{level_name(record)}] {pid} "
        return prefix + text.replace("\n", "\n" + prefix) if "\n" in text else prefix + text

    def localised(self, text: str) -> tuple[str, str]:
        """The text with short process ids, and the first of them."""
        at = text.find(self._pid_prefix) if self._pid_prefix else -1
        if at < 0:
            return text, _NODE_PID
        text = text.replace(self._pid_prefix, "<0.")
        return text, text[at : text.find(">", at) + 1]

    def _stamp(self, created: float) -> str:
        second = int(created)
        if second != self._second:
            now = time.localtime(second)
            minutes = (now.tm_gmtoff or 0) // 60
            sign = "-" if minutes < 0 else "+"
            self._offset = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
            self._date = time.strftime("%Y-%m-%d %H:%M:%S", now)
            self._second = second
        return f"{self._date}.{int((created - second) * 1_000_000):06d}{self._offset}"


def level_name(record: logging.LogRecord) -> str:
    """In RabbitMQ's words."""
    return _NAMES.get(record.levelno, "info")


class FileHandler(logging.Handler):
    """Appends to a file, and opens it anew when logrotate has moved it away.

    Line by line without a buffer: a line that was logged survives the process.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self.path = path
        self._monotonic = monotonic
        self._checked = monotonic()
        self._file = self._open()

    def _open(self) -> TextIO:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return open(self.path, "a", buffering=1, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise MqdError(
                ErrorCode.UNAVAILABLE,
                f"cannot write log file {self.path}: {error.strerror}; "
                "set RABBITMQ_LOG_BASE, or RABBITMQ_LOGS=- for standard output",
            ) from error

    def emit(self, record: logging.LogRecord) -> None:
        try:
            now = self._monotonic()
            if now - self._checked > _REOPEN_CHECK_S:
                self._checked = now
                self._reopen_when_moved()
            self._file.write(self.format(record) + "\n")
        except (OSError, MqdError):  # a full disc must not stop the node
            return

    def _reopen_when_moved(self) -> None:
        import os

        try:
            there = self.path.stat()
            ours = os.fstat(self._file.fileno())
            moved = (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
        except FileNotFoundError:
            moved = True
        if moved:
            fresh = self._open()
            self._file.close()
            self._file = fresh

    def close(self) -> None:
        self._file.close()
        super().close()


class JournalHandler(logging.Handler):
    """systemd's journal, by its native protocol: one datagram of FIELD=value lines."""

    def __init__(self, address: str = _JOURNAL) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise MqdError(
                ErrorCode.UNAVAILABLE, f"no journal at {address}: set log.journald = false"
            ) from error

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if isinstance(self.formatter, Formatter):
            text, _ = self.formatter.localised(text)
            if record.exc_info:
                text = f"{text}\n{self.formatter.formatException(record.exc_info)}"
        body = text.encode("utf-8", "backslashreplace")
        level = _SYSLOG.get(level_name(record), 2)
        fields = b"PRIORITY=%d\nSYSLOG_IDENTIFIER=mqd\nMESSAGE\n" % level
        try:
            self._socket.send(fields + len(body).to_bytes(8, "little") + body + b"\n")
        except OSError:  # the journal is restarting, or the line is too long for a datagram
            return

    def close(self) -> None:
        self._socket.close()
        super().close()


class _StreamHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Whoever read our output is gone; that is no reason for a traceback."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Effective settings, and the path of the log file (None: no file)."""

    settings: LogSettings
    path: Path | None

    @property
    def names(self) -> tuple[str, ...]:
        """As `status` lists them."""
        names = [str(self.path)] if self.path else []
        if self.settings.console_level is not None:
            names.append("<stderr>" if self.settings.console_stderr else "<stdout>")
        return tuple(names)


def outputs(settings: LogSettings, base: Path, node: str, logs: str, levels: str) -> Outputs:
    """Put RABBITMQ_LOGS and RABBITMQ_LOG over the configuration.

    logs: "" or a path, "-" (standard output), "-stderr". levels: "" or comma-separated level or
    category=level.
    """
    if logs in ("-", "-stderr"):
        settings = replace(
            settings,
            file_level=None,
            console_level=settings.console_level or settings.file_level or "info",
            console_stderr=logs == "-stderr",
        )
    settings = _with_levels(settings, levels)
    if settings.file_level is None:
        return Outputs(settings, None)
    if logs:
        return Outputs(settings, Path(logs).absolute())
    directory = Path(settings.directory or base)
    return Outputs(settings, (directory / (settings.file or f"{node}.log")).absolute())


def _with_levels(settings: LogSettings, levels: str) -> LogSettings:
    categories = dict(settings.categories)
    default = settings.default_level
    for part in filter(None, levels.split(",")):
        category, equals, level = part.rpartition("=")
        if level not in LEVELS:
            continue  # +color and -color, which only matter on a terminal
        if equals:
            categories[category] = level
        else:
            default = level
    lowest = default if default == "debug" else None
    return replace(
        settings,
        default_level=default,
        categories=categories,
        file_level=settings.file_level and (lowest or settings.file_level),
        console_level=settings.console_level and (lowest or settings.console_level),
    )


def skip_unused_details() -> None:
    """Have records made without what our line does not show: source line, thread, process.

    For a process that is all ours. The four switches are those of logging's own documentation
    ("Optimization"); a line takes 9 us instead of 12, and a connection logs three.
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if hasattr(logging, "logAsyncioTasks"):
        logging.logAsyncioTasks = False


class Logging:
    """The handlers of this process; `close` takes them away again. pid_prefix: see Formatter."""

    def __init__(self, out: Outputs, pid_prefix: str = "") -> None:
        self._out = out
        self._formatter = Formatter(pid_prefix)
        self._root = logging.getLogger("mqd")
        self._handlers: list[logging.Handler] = []
        settings = out.settings
        if out.path is not None and settings.file_level is not None:
            self._add(FileHandler(out.path), settings.file_level)
        if settings.console_level is not None:
            stream = sys.stderr if settings.console_stderr else sys.stdout
            self._add(_StreamHandler(stream), settings.console_level)
        if settings.journald_level is not None:
            self._add(JournalHandler(), settings.journald_level)
        self._root.propagate = False
        self._root.setLevel(LEVELS[settings.default_level])
        self._set_categories()

    def _add(self, handler: logging.Handler, level: str) -> None:
        handler.setFormatter(self._formatter)
        handler.setLevel(LEVELS[level])
        self._handlers.append(handler)
        self._root.addHandler(handler)

    def _set_categories(self) -> None:
        for category, level in self._out.settings.categories.items():
            logging.getLogger(f"mqd.{category}").setLevel(LEVELS[level])

    def use_levels(self, settings: LogSettings) -> None:
        """Those of a configuration that was read again; outputs stay what they are."""
        self._root.setLevel(LEVELS[settings.default_level])
        for handler in self._handlers:
            if isinstance(handler, FileHandler):
                level = settings.file_level
            elif isinstance(handler, JournalHandler):
                level = settings.journald_level
            elif isinstance(handler, _StreamHandler):
                level = settings.console_level
            else:
                continue
            if level is not None:
                handler.setLevel(LEVELS[level])
        for category in self._out.settings.categories.keys() - settings.categories.keys():
            logging.getLogger(f"mqd.{category}").setLevel(logging.NOTSET)
        self._out = replace(self._out, settings=settings)
        self._set_categories()

    def set_level(self, level: str) -> None:
        """At run time, for everything: `rabbitmqctl set_log_level`."""
        self._root.setLevel(LEVELS[level])
        for handler in self._handlers:
            handler.setLevel(LEVELS[level])

    def close(self) -> None:
        for handler in self._handlers:
            self._root.removeHandler(handler)
            handler.close()
        self._handlers.clear()
        self._root.propagate = True
