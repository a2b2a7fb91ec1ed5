"""The program `mqd`.

Decides what the command line means, how the process gets into the background and which exit code
says what: 0 ended as told, 1 could not start or failed, 64 wrong arguments, 78 wrong
configuration. Whoever runs it sees sentences, never a traceback: those go to the log.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from mqd import __version__

EXIT_FAILED = 1
EXIT_USAGE = 64
EXIT_CONFIG = 78

_MODES = {
    "-detached": "detached",
    "--detached": "detached",
    "--check": "check",
    "--check-config": "check",
    "--version": "version",
    "-V": "version",
    "--help": "help",
    "-h": "help",
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Console script."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        code = _run(list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_FAILED
    except BrokenPipeError:  # our reader is gone; keep the interpreter's last flush quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    modes = {_MODES.get(argument, "") for argument in arguments} or {"foreground"}
    if "" in modes or len(modes) > 1:
        return _usage(arguments)
    mode = modes.pop()
    if mode == "help":
        from mqd.daemon.report import USAGE

        _print(USAGE.rstrip())
        return 0
    if mode == "version":
        _print(f"mqd {__version__}")
        return 0
    return _guarded(mode)


def _usage(arguments: list[str]) -> int:
    unknown = [argument for argument in arguments if argument not in _MODES]
    if unknown:
        _complain(f"unknown argument '{unknown[0]}'; mqd --help lists the known ones")
    else:
        _complain(f"{' and '.join(arguments)} do not go together")
    return EXIT_USAGE


def _guarded(mode: str) -> int:
    """Everything that reads the configuration, behind the last line of defence."""
    from mqd.config.parse import ConfigError
    from mqd.errors import MqdError

    try:
        if mode == "check":
            return _check()
        if mode == "detached":
            return _detached()
        return _foreground(lambda _failure: None)
    except ConfigError as error:
        for problem in error.problems:
            _complain(problem)
        return EXIT_CONFIG
    except MqdError as error:
        _complain(error.detail)
        return EXIT_FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - ours to mend, and the log has the details
        _complain(f"internal error, {type(error).__name__}: {error}; the log has the details")
        return EXIT_FAILED


def _check() -> int:
    from mqd.daemon.report import checked, plugin_lines
    from mqd.daemon.setup import read_setup
    from mqd.plugins import enabled

    setup = read_setup(os.environ)
    for line in plugin_lines(enabled.read(setup.paths.enabled_plugins), setup.paths):
        _print(line)
    for line in checked(setup.configuration, setup.variables, setup.paths):
        _print(line)
    return 0


def _foreground(told: Callable[[str | None], None]) -> int:
    """Run until told to end. `told(None)` is called when AMQP is answered, `told(why)` when it
    will not be."""
    from mqd.daemon.run import run
    from mqd.daemon.setup import read_setup

    try:
        return run(read_setup(os.environ), lambda: told(None))
    except Exception as error:
        told(str(error) or type(error).__name__)
        raise


def _detached() -> int:
    """Start a node in the background; returns when it answers, or says why it does not."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
            outcome = pipe.read()
        if outcome == "ready":
            return 0
        _complain(outcome or "the node ended before it was ready; its log says why")
        return EXIT_FAILED
    os.close(reading)
    os.setsid()
    _forget_terminal()

    def told(failure: str | None) -> None:
        with contextlib.suppress(OSError), os.fdopen(writing, "w") as pipe:
            pipe.write("ready" if failure is None else failure)

    try:
        code = _foreground(told)
    except Exception:  # noqa: BLE001 - the parent was told; nobody reads our output any more
        code = EXIT_FAILED
    os._exit(code)


def _forget_terminal() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"mqd: {text}\n")
