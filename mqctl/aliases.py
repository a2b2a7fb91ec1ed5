"""Aliases file: lines `alias = command arguments`, as RabbitMQ's tools read them."""

from __future__ import annotations

import shlex
from typing import TextIO


def load_aliases(path: str, err: TextIO) -> dict[str, list[str]]:
    """Alias -> words. A file that cannot be read is reported and counts as empty."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except OSError as problem:
        reason = "enoent" if isinstance(problem, FileNotFoundError) else problem.strerror
        err.write(f"Error reading aliases file {path}: {reason}\n")
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name.strip(): words for name, text in pairs if (words := shlex.split(text))}
