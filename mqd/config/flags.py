"""Flags of the Erlang runtime, as RABBITMQ_SERVER_ERL_ARGS and its relatives have them.

Decides which have a counterpart here: `-kernel inet_default_listen_options [...]` and other
`-application key value` are settings as in a classic file, +A is the number of threads for work
that waits. All others are named with the reason why they change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mqd.config.erlang import Term, parse
from mqd.config.parse import ConfigError
from mqd.config.variables import Variable

THREADS_MAX = 1024  # Erlang's own bound of +A

# flag: why it changes nothing
_EMULATOR = {
    "+K": "mqd always waits with epoll",
    "+P": "mqd has no limit of processes; connections and channels have theirs",
    "+Q": "mqd has no limit of ports; connections have theirs",
    "+t": "there are no atoms",
    "+stbt": "the kernel schedules mqd's threads",
    "+sbt": "the kernel schedules mqd's threads",
    "+sbwt": "mqd never waits busily",
    "+sbwtdcpu": "mqd never waits busily",
    "+sbwtdio": "mqd never waits busily",
    "+S": "one loop serves all connections",
    "+SDcpu": "one loop serves all connections",
    "+SDio": "one loop serves all connections",
    "+zdbbl": "connections to other nodes bound their own buffers",
    "+W": "the log has its own levels",
    "+c": "time is the kernel's",
    "+C": "time is the kernel's",
    "+hmqd": "there are no processes with heaps of their own",
    "+hms": "there are no processes with heaps of their own",
    "+hmax": "there are no processes with heaps of their own",
    "+B": "SIGINT ends the node",
    "+pc": "texts are Unicode",
    "+MBas": "memory is Python's",
    "+MMscs": "memory is Python's",
}
_WITHOUT_VALUE = ("-noshell", "-noinput", "-smp", "-hidden", "-detached", "-heart", "-init_debug")
_SEPARATE = re.compile(r"(\+[A-Za-z]+?)(\d.*)")


@dataclass(slots=True)
class Flags:
    """settings: (application, key, value, origin), in order. without_effect: (flag, reason,
    origin). threads: of +A, None when it is not given."""

    settings: list[tuple[str, str, Term, str]] = field(default_factory=list)
    without_effect: list[tuple[str, str, str]] = field(default_factory=list)
    threads: int | None = None


def read(variable: Variable, into: Flags) -> None:
    """Add what one variable says. Raises ConfigError.

    Words end at blanks alone and keep their quotes, which are Erlang's (observed: 3.10.8).
    """
    for flag, values in _grouped(variable.value.split()):
        if flag.startswith("+"):
            _emulator(flag, values, into, variable.origin)
        elif flag.startswith("-") and len(values) == 2 and flag not in _WITHOUT_VALUE:
            term = parse(values[1], f"{variable.origin}: {flag} {values[0]}")
            into.settings.append((flag[1:], values[0], term, variable.origin))
        else:
            shown = " ".join((flag, *values))
            into.without_effect.append((shown, "there is no Erlang runtime", variable.origin))


def _grouped(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each flag with the words up to the next one."""
    flag = ""
    values: list[str] = []
    for word in words:
        starts = word.startswith("+") or (word.startswith("-") and not word[1:2].isdigit())
        if starts:
            if flag or values:
                yield flag, values
            flag, values = word, []
        else:
            values.append(word)
    if flag or values:
        yield flag, values


def _emulator(flag: str, values: list[str], into: Flags, origin: str) -> None:
    """+A 30 may be written +A30."""
    joined = _SEPARATE.fullmatch(flag)
    if joined is not None and flag not in _EMULATOR:
        flag, values = joined[1], [joined[2], *values]
    shown = " ".join((flag, *values))
    if flag == "+A":
        number = values[0] if values else ""
        if not number.isdigit() or not int(number) <= THREADS_MAX:
            raise ConfigError([f"{origin}: +A wants a number from 0 to {THREADS_MAX}: {shown}"])
        into.threads = int(number)
        return
    into.without_effect.append((shown, _EMULATOR.get(flag, "there is no Erlang runtime"), origin))
