"""rabbitmq-env.conf: a shell script that sets variables, and limits of the process.

Decides what the file says. /bin/sh runs it, as RabbitMQ's scripts do, with this process's
environment, no input and a bounded time; what it assigned and limited is asked of the shell. A
file that the shell refuses is read word by word instead, where every word is an assignment or
`ulimit`: the form in which a text is pasted as one line. Never changes a limit of this process
(`mqd.daemon.limits` does).
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mqd.config.parse import ConfigError

RUN_S = 10.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ASSIGNED = re.compile(r"(?:^|[\s;])(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)
# A variable that the file makes must reach us: -a exports it. Limits are read by the shell of
# itself; `read` and `echo` are its own words, so a PATH set to nonsense does no harm.
_SCRIPT = r"""
limits() { while read -r line; do printf '%s\n' "$line"; done </proc/self/limits; }
exec 3>&1 1>&2
limits >&3; printf '\0' >&3
set -ea
. "$MQD_ENV_FILE"
set +ea
{ printf '\0'; export -p; printf '\0'; limits; printf '\0end'; } >&3
"""
_SHELLS_OWN_WORDS = "MQD_ENV_FILE PWD OLDPWD SHLVL _ OPTIND PPID IFS PS1 PS2 PS4 line HOME PATH"
_SHELLS_OWN = frozenset(_SHELLS_OWN_WORDS.split())
_LIMIT = re.compile(r"Max ([a-z ]+?)\s{2,}(\S+)\s+(\S+)")
UNLIMITED = -1
UNCHANGED = -2


@dataclass(slots=True)
class EnvironmentFile:
    """variables: name as written -> (value, line). limits: name as the kernel has it ("open
    files") -> (soft, hard), those that the file changed."""

    variables: dict[str, tuple[str, int]] = field(default_factory=dict)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read(path: Path, environ: Mapping[str, str]) -> EnvironmentFile:
    """What the file at `path` sets. Raises ConfigError with file and line."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    if not text.strip():
        return EnvironmentFile()
    answer, complaint = _run(path, environ)
    if answer is not None:
        return _answered(answer, complaint, text, path, environ)
    return _by_words(text, path, complaint)


def _run(path: Path, environ: Mapping[str, str]) -> tuple[list[str] | None, str]:
    """What the script printed, in parts; None and why when it did not come to its end."""
    import subprocess  # mqctl reads files too, and few of its calls have one

    given = {"PATH": os.defpath, **environ, "MQD_ENV_FILE": str(path.absolute())}
    try:
        done = subprocess.run(  # noqa: S603 - the file is the administrator's, as its format has it
            ["/bin/sh", "-c", _SCRIPT],
            env=given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=RUN_S,
            cwd="/",
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError([f"{path}:1: does not end within {RUN_S:.0f} s when run by sh"]) from None
    except OSError as error:
        return None, f"/bin/sh cannot be run: {error.strerror}"
    except ValueError as error:  # a variable with a zero byte
        return None, str(error)
    printed = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    complaint = done.stderr.decode("utf-8", "replace").strip()
    if len(printed) == 5 and printed[4] == "end":
        return printed, complaint
    return None, complaint or f"sh ends with exit code {done.returncode}"


def _answered(
    answer: list[str], complaint: str, text: str, path: Path, environ: Mapping[str, str]
) -> EnvironmentFile:
    found = EnvironmentFile()
    lines = _lines_of(text)
    for name, value in _exported(answer[2]):
        fresh = environ.get(name) != value
        if name in lines and (fresh or name not in environ):
            found.variables[name] = (value, lines[name])
        elif fresh and name not in _SHELLS_OWN:
            found.variables[name] = (value, 1)
    before = _limits(answer[0])
    found.limits = {n: pair for n, pair in _limits(answer[3]).items() if before.get(n) != pair}
    for line in complaint.splitlines():
        number, said = _located(line, path)
        found.warnings.append(f"{path}:{number}: sh says: {said}")
    return found


def _exported(text: str) -> Iterator[tuple[str, str]]:
    """The lines of export -p, whose values may have lines of their own."""
    for word in shlex.split(text.replace("\nexport ", "\n;export ")):
        name, equals, value = word.lstrip(";").partition("=")
        if equals and _NAME.match(name):
            yield name, value


def _limits(text: str) -> dict[str, tuple[int, int]]:
    return {name: (_amount(soft), _amount(hard)) for name, soft, hard in _LIMIT.findall(text)}


def _amount(text: str) -> int:
    return int(text) if text.isdigit() else UNLIMITED


def _lines_of(text: str) -> dict[str, int]:
    """Where each name is assigned, as far as a look can tell; the last place counts."""
    return {m[1]: text.count("\n", 0, m.start(1)) + 1 for m in _ASSIGNED.finditer(text)}


def _located(line: str, path: Path) -> tuple[int, str]:
    """dash says `/bin/sh: 3: /etc/file: foo: not found` or `/bin/sh: 3: Syntax error: ...`."""
    found = re.match(r"(?:/bin/)?sh: (?:line )?(\d+): (.*)", line)
    if found is None:
        return 1, line
    return int(found[1]), found[2].replace(f"{path.absolute()}: ", "")


# -- word by word ---------------------------------------------------------------------------------


def _by_words(text: str, path: Path, complaint: str) -> EnvironmentFile:
    """For a file that sh refuses. Raises ConfigError where a word is neither."""
    last = complaint.splitlines()[-1] if complaint else ""
    number, said = _located(last, path)
    refused = f"{path}:{number}: sh refuses this file: {said}"
    found = EnvironmentFile()
    corrected: list[str] = []
    words = _words(text, path, refused)
    for line, word in words:
        name, equals, value = word.partition("=")
        if equals and _NAME.match(name):
            if "$" in value or "`" in value:
                raise ConfigError([f"{refused}; only sh could tell the value of {name}"])
            found.variables[name] = (value, line)
            corrected.append(f"{name}={shlex.quote(value)}")
        elif word == "ulimit":
            corrected.append(_ulimit(words, found, path, refused))
        elif word not in ("export", ";"):
            raise ConfigError([f"{refused}; '{word}' on line {line} is no NAME=value either"])
    shown = "".join(f"\n    {line}" for line in corrected)
    found.warnings.append(f"{refused}; it is taken as if it said{shown}")
    return found


def _words(text: str, path: Path, refused: str) -> Iterator[tuple[int, str]]:
    stream = io.StringIO(text)
    lexer = shlex.shlex(stream, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found = []
    try:
        while (word := lexer.get_token()) is not None:
            ended = word and text[: stream.tell()].endswith("\n")
            found.append((max(lexer.lineno - bool(ended), 1), word))
    except ValueError as error:
        raise ConfigError([f"{refused}; and {str(error).lower()}"]) from error
    return iter(found)


_SWITCHES = {"n": "open files", "c": "core file size", "u": "processes", "l": "locked memory"}


def _ulimit(
    words: Iterator[tuple[int, str]], found: EnvironmentFile, path: Path, refused: str
) -> str:
    """`ulimit -S -n 4096`, whose words are taken off the front."""
    written, soft_only, hard_only, kind = "ulimit", False, False, "open files"
    for line, word in words:
        written += f" {word}"
        if word.startswith("-") and set(word[1:]) <= {"S", "H", *_SWITCHES}:
            soft_only |= "S" in word
            hard_only |= "H" in word
            kind = next((_SWITCHES[c] for c in word[1:] if c in _SWITCHES), kind)
            continue
        if not word.isdigit() and word != "unlimited":
            raise ConfigError([f"{path}:{line}: '{written}' is no limit ({refused})"])
        amount = _amount(word)
        found.limits[kind] = (
            UNCHANGED if hard_only and not soft_only else amount,
            amount if hard_only else UNCHANGED,
        )
        return written
    raise ConfigError([f"{refused}; '{written}' has no number"])
