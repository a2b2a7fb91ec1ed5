"""Every verb of every tool in every situation and format: how a case is called, what is right.

Theory. `mqctl.catalogue` says which verbs and arguments there are, so a verb that is added is
walked as soon as it exists. What the catalogue cannot say is in the tables of `walk_words.py`. A
case is a call in this process, at a few milliseconds; a process of its own would take a hundred.
After a verb that was let do its work the node is put into its state again, and the world
(definitions) with it, so that cases do not depend on each other's order.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import NamedTuple
from unittest import mock

import pika
from pika.exceptions import AMQPError

from mqctl import catalogue
from mqctl.catalogue import APP, NONE, STOPPED, Argument, Verb
from mqctl.output.printing import FORMATTERS
from mqctl.pipeline import Pipeline
from mqd.erlang import parser
from tests.ctl import walk_words as words
from tests.nodes import Node, answers_amqp

TOOLS = {
    catalogue.CTL: "mqctl",
    catalogue.DIAG: "mq-diagnostics",
    catalogue.PLUG: "mq-plugins",
    catalogue.QUE: "mq-queues",
    catalogue.STR: "mq-streams",
    catalogue.UPG: "mq-upgrade",
}
# a text is no row there, and the mirrored tools fail with 70
_OF_ROWS = ("csv", "json_stream", "pretty_table", "string_per_line", "table")
SITUATIONS = ("ok", "missing", "extra", "bad", "down", "stopped")
_PYTHON = re.compile(
    r"Traceback|<(class|function|module|object|bound) |object at 0x|\bNoneType\b|[a-z_]+\.py\b"
    r"|\b[A-Z]\w*(Error|Exception)\(|\{[a-z_]+\}"
)
_NO_ROWS = re.compile(r"UndefinedError|has no \w+ format")
_END_S = 5.0
_TRIES = 20
_PIDS = re.compile(r"<[\w@.\-']+\.\d+\.\d+\.\d+>|#PID<[^<>]*>")


class Case(NamedTuple):
    """argv as typed, on the node that the situation names. exits: those that are right."""

    scope: int
    verb: str
    situation: str
    formatter: str | None
    argv: list[str]
    exits: tuple[int, ...]

    def __str__(self) -> str:
        return f"[{self.situation}] {TOOLS[self.scope]} {' '.join(self.argv)}"


class Answer(NamedTuple):
    """What a call came to."""

    exit: int
    out: str
    err: str


# -- nodes ---------------------------------------------------------------------------------------


class Place:
    """A node in one state, and what the words of a call stand for there."""

    def __init__(self, node: Node, app: bool) -> None:
        self.node = node
        self.app = app
        self.calls = 0
        self._fresh = 0
        self._connection: pika.BlockingConnection | None = None
        self.folder = node.directory
        (self.folder / "world.json").write_text(json.dumps(words.WORLD))
        (self.folder / "expression").write_text("[{a, 1}].\n")

    def fill(self, word: str) -> str:
        """A word of the tables."""
        if "{fresh}" in word:
            self._fresh += 1
        values = {
            "node": self.node.name,
            "port": str(self.node.port),
            "folder": str(self.folder),
            "fresh": f"fresh{self._fresh}",
            "pid": self._pid() if word == "{pid}" else "",
        }
        for name, value in values.items():
            word = word.replace("{" + name + "}", value)
        return word

    def call(self, scope: int, argv: list[str]) -> Answer:
        """One call of a tool, nothing on standard input."""
        self.calls += 1
        if words.ENDS & {*argv}:
            self.hang_up()
        out, err, stdin = io.StringIO(), io.StringIO(), io.TextIOWrapper(io.BytesIO())
        with (
            mock.patch.dict(os.environ, self.node.environment, clear=True),
            mock.patch.multiple(sys, stdin=stdin, stdout=out, stderr=err),
        ):
            code = Pipeline(TOOLS[scope], scope, out, err).run(argv)
        return Answer(code, out.getvalue(), err.getvalue())

    def ctl(self, *argv: str) -> str:
        """mqctl, quietly; AssertionError when it fails."""
        done = self.call(catalogue.CTL, ["-q", *argv])
        assert done.exit == 0, (argv, done)
        return done.out

    def _pid(self) -> str:
        if not self.app or not self.node.name:
            return "<none@localhost.1.1.1>"
        for _ in range(_TRIES):  # one that was closed is listed for a moment, or not told yet
            self._connect()
            for line in self.ctl("list_connections", "pid", "state", "-s").splitlines():
                pid, state = line.split("\t")
                if state == "running":
                    return pid
        raise AssertionError(f"{self.node.name} lists no connection that runs")

    def restore(self) -> None:
        """The state that cases expect, whatever the last one did."""
        for _ in range(_TRIES):  # a node that ends answers for a moment
            state = self.call(catalogue.DIAG, ["is_running"])
            if state.exit:
                self._start_again()
            elif ("is fully booted" in state.out) == self.app:
                break
            else:
                self.call(catalogue.CTL, ["start_app" if self.app else "stop_app"])
        else:
            raise AssertionError(f"{self.node.name} does not come back: {state}")
        if self.app:
            self.ctl("import_definitions", str(self.folder / "world.json"))
            if not answers_amqp(self.node.port):
                self.ctl("resume_listeners")
                self.call(catalogue.UPG, ["revive"])
            self._connect()

    def _start_again(self) -> None:
        """Unless it only needed a moment."""
        assert self.node.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.node.process.wait(_END_S)
            self.node.start()
            self.node.await_control()

    def _connect(self) -> None:
        """A client that consumes."""
        if self._connection is not None:
            try:
                self._connection.process_data_events(0)
            except AMQPError:
                self._connection = None
        if self._connection is None:
            parameters = pika.ConnectionParameters("127.0.0.1", self.node.port)
            self._connection = pika.BlockingConnection(parameters)
            channel = self._connection.channel()
            channel.basic_publish("", "quorum", b"walked")
            channel.queue_declare("consumed", auto_delete=True)
            channel.basic_consume("consumed", lambda *_: None)

    def hang_up(self) -> None:
        """A node that ends would wait for this client, which does not listen."""
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        self._connection = None


# -- cases ---------------------------------------------------------------------------------------


def verbs(all_scopes: bool) -> list[tuple[int, str]]:
    """(scope, name); a verb that several tools share once, unless all are wanted."""
    found: dict[object, tuple[int, str]] = {}
    for scope in TOOLS:
        for verb in catalogue.every(scope):
            key = (scope, verb.name) if all_scopes else (verb.path, verb.name)
            found.setdefault(key, (scope, verb.name))
    return sorted(found.values())


def _words(verb: Verb, argument: Argument) -> list[str]:
    """For one argument; several where it takes any number."""
    for key in (f"{verb.name}.{argument.field}", argument.field):
        if key in words.GOOD:
            word = words.GOOD[key]
            return word.split() if argument.repeated else [word]
    return ["walk"]


class Walk:
    """The cases of one verb."""

    def __init__(self, scope: int, name: str, full: bool) -> None:
        verb = catalogue.find(name, scope)
        assert verb is not None
        self.scope, self.verb, self.full = scope, verb, full
        self.good = [
            word
            for argument in verb.positionals
            if not (argument.spec.optional and name in words.BARE)
            for word in _words(verb, argument)
        ]
        self.switches = words.WITH.get(name, [])

    def cases(self, situation: str) -> Iterator[Case]:
        """Of one situation, in each format that is asked for."""
        for argv, exits in getattr(self, f"_{situation}")():
            asked = [None] if "--formatter" in argv else self._formatters(situation, argv)
            for formatter in asked:
                form = ["--formatter", formatter] if formatter else []
                codes = self._by_format(exits, formatter)
                yield Case(self.scope, self.verb.name, situation, formatter, [*argv, *form], codes)

    def _formatters(self, situation: str, argv: list[str]) -> list[str | None]:
        every = sorted(FORMATTERS)
        if self.full:
            return [None, *every]
        key = zlib.crc32(" ".join([self.verb.name, situation, *argv]).encode())
        one = every[key % len(every)]
        if self.verb.name in words.SLOW:
            return ["json"]
        if situation == "ok":
            return [*dict.fromkeys([None, "json", "json_stream", "csv", "erlang", one])]
        return [None, "json", one] if situation == "stopped" else [one]

    def _by_format(self, exits: tuple[int, ...], formatter: str | None) -> tuple[int, ...]:
        """Some formats are refused before anything else, and some take rows only."""
        name = self.verb.name
        allowed = list(self.verb.spec.formatters) or [words.ONLY.get(name, formatter)]
        refused = (
            64 if formatter not in allowed else words.FORMATS.get(name, {}).get(formatter or "")
        )
        if formatter and refused:
            return (refused, *(code for code in exits if code))
        if 0 in exits and formatter in _OF_ROWS:
            return (*exits, 70)  # what is no row, see `judge`
        return exits

    def _call(self, *arguments: str) -> list[str]:
        return [self.verb.name, *arguments, "-t", "5", *self.switches]

    def _ok(self) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        usual = (64,) if self.verb.needs == STOPPED else (0,)
        yield self._call(*self.good), words.OK.get(self.verb.name, usual)

    def _stopped(self) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        if self.verb.name in words.ENDLESS:
            return
        usual = (64,) if self.verb.needs == APP else (0,)
        if self.verb.needs == NONE:
            usual = words.OK.get(self.verb.name, usual)
        yield self._call(*self.good), words.STOPPED.get(self.verb.name, usual)

    def _down(self) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        usual = words.OK.get(self.verb.name, (0,)) if self.verb.needs == NONE else (69,)
        yield self._call(*self.good), words.DOWN.get(self.verb.name, usual)

    def _missing(self) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        name, positionals = self.verb.name, self.verb.positionals
        needed = sum(a.required for a in positionals) or any(a.repeated for a in positionals)
        for count in range(int(needed)):
            yield self._call(*self.good[:count]), words.MISSING.get(name, (64,))
        for place, argument in enumerate(positionals):
            if argument.spec.password:  # read from standard input, where nothing is
                yield self._call(*self.good[:place]), (65, 70)

    def _extra(self) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        if self.verb.columns_argument:
            yield self._call("no_such_column"), (64,)
        elif not any(a.repeated for a in self.verb.positionals):
            exits = words.EXTRA.get(self.verb.name, (64,))
            yield self._call(*self.good, *words.BARE.get(self.verb.name, []), "one-more"), exits

    def _bad(self) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        yield self._call(*self.good, "--no-such-option"), (64,)
        yield self._call(*self.good, "-t", "soon"), (64,)
        yield self._call(*self.good, "--formatter", "nosuch"), (1,)  # as in 3.10.8
        for flag, kind in self.verb.switches.items():
            if kind != "string":
                word = "maybe" if kind == "boolean" else "some"
                flag = flag.replace("_", "-")
                yield self._call(*self.good, f"--{flag}={word}"), (64,)
        for place, argument in enumerate(self.verb.positionals):
            for word, exits in self._bad_words(argument.field):
                yield self._call(*self.good[:place], word, *self.good[place + 1 :]), exits
        for argument in self.verb.arguments:
            if argument.flag in self.verb.switches or argument.spec.vhost:
                flag = "vhost" if argument.spec.vhost else argument.flag
                for word, exits in self._bad_words("--" + flag):
                    option = f"--{flag.replace('_', '-')}={word}"
                    yield self._call(*self.good, option), exits

    def _bad_words(self, key: str) -> list[tuple[str, tuple[int, ...]]]:
        for full in (f"{self.verb.name}.{key}", key):
            if full in words.BAD:
                return words.BAD[full]
        return []


# -- judgement -----------------------------------------------------------------------------------


def judge(case: Case, answer: Answer) -> list[str]:
    """What is wrong with an answer; nothing, it is hoped."""
    found = []
    if answer.exit not in case.exits:
        found.append(f"exit {answer.exit}, not {' or '.join(map(str, case.exits))}")
    spoken = _PYTHON.search(answer.out + answer.err)
    if spoken and case.verb not in words.MENTIONS_PYTHON:
        found.append(f"speaks Python: {spoken[0]}")
    if answer.exit:
        found += _judge_failure(case, answer)
    else:
        found += _judge_success(case, answer)
    return found


def _judge_failure(case: Case, answer: Answer) -> list[str]:
    found: list[str] = []
    if case.verb in words.REPORTS:
        return found
    if not answer.err.strip():
        found.append("fails without a word")
    if "-q" in case.argv and answer.out.strip() and case.verb not in words.TELLS_STEPS:
        found.append(f"fails and prints {answer.out!r}")
    if answer.exit == 70 and case.exits == (0, 70) and not _NO_ROWS.search(answer.err):
        found.append("70 is for what is no row")
    if answer.err.startswith('{"') and case.formatter == "json":
        found += _parses("error", json.loads, answer.err)
    return found


def _judge_success(case: Case, answer: Answer) -> list[str]:
    found = []
    if answer.err and case.verb not in words.WARNS:
        found.append("succeeds with words on stderr")
    out = answer.out
    if case.formatter == "json" and (out or case.verb not in words.SILENT):
        found += _parses("json", json.loads, out)
    elif case.formatter == "json_stream":
        for line in out.splitlines():
            found += _parses("json_stream", json.loads, line) if line else []
    elif case.formatter == "csv":
        found += _parses("csv", _read_csv, out)
    elif case.formatter == "erlang" and case.verb not in words.NO_TERM:
        found += _parses("erlang", _read_term, out)
    return found


def _parses(what: str, read: object, text: str) -> list[str]:
    assert callable(read)
    try:
        read(text)
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is the finding
        return [f"{what}: {problem}"]
    return []


def _read_csv(text: str) -> None:
    list(csv.reader(io.StringIO(text), strict=True))


def _read_term(text: str) -> None:
    if text.strip():
        parser.parse(_PIDS.sub("pid", text.strip()) + ".")
