"""Printer `file`: output goes to --file instead of standard output."""

from __future__ import annotations

from collections.abc import Callable

from mqctl import exit_codes
from mqctl.failures import error


def to_file(path: str) -> Callable[[str], None]:
    """A `say` that appends lines to the file, which starts empty."""
    try:
        with open(path, "w", encoding="utf-8"):
            pass
    except OSError as problem:
        raise error(f"cannot write {path}: {problem.strerror}", exit_codes.DATA) from problem

    def say(line: str) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    return say
