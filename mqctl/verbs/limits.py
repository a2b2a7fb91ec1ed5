"""Settings of a running node that are typed with units: memory, disk, log level."""

from __future__ import annotations

import re
from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid, bad_argument, error

_UNITS = {
    "": 1,
    "k": 2**10,
    "kiB": 2**10,
    "M": 2**20,
    "MiB": 2**20,
    "G": 2**30,
    "GiB": 2**30,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_INTEGER = re.compile(r"([+-]?\d+)(.*)", re.DOTALL)
_FLOAT = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_MOST = 2**63 - 1  # no machine has more; as far as the request's numbers reach


def parse_size(text: str) -> int | None:
    """Bytes from an integer with a unit or without; None when it is neither."""
    found = _INTEGER.fullmatch(text)
    if not found or found[2] not in _UNITS or int(found[1]) < 0:
        return None
    return min(int(found[1]) * _UNITS[found[2]], _MOST)


def parse_fraction(text: str) -> float | None:
    """A number written out whole."""
    return float(text) if _FLOAT.fullmatch(text) else None


def _count(words: list[str], most: int) -> None:
    if not words or (len(words) == 1 and most > 1):
        raise Invalid("not enough arguments.")
    if len(words) > most:
        raise Invalid("too many arguments.")


class SetMemoryHighWatermark(Behaviour):
    """A fraction of memory, or the word absolute and a size."""

    def build_request(self) -> Any:
        """Checks in the order of 3.10.8."""
        words = self.invocation.arguments
        request = super().build_request()
        if words[:1] == ["absolute"]:
            _count(words, 2)
            request.absolute_bytes = self._absolute(words[1])
            return request
        _count(words, 1)
        fraction = parse_fraction(words[0])
        if fraction is None:
            raise bad_argument()
        if not 0.0 <= fraction <= 1.0:
            raise bad_argument("The threshold should be a fraction between 0.0 and 1.0")
        request.fraction = fraction
        return request

    @staticmethod
    def _absolute(word: str) -> int:
        found = _INTEGER.fullmatch(word)
        if not found:
            raise bad_argument()
        if found[2] not in _UNITS:
            if found[2].startswith("."):
                raise bad_argument("The threshold should be an integer.")
            raise bad_argument("Invalid units.")
        size = parse_size(word)
        if not size:
            raise bad_argument("The threshold should be an integer.")
        return size

    def banner(self) -> str:
        """As typed."""
        words = self.invocation.arguments
        limit = words[0] if len(words) == 1 else f"{words[1]} bytes"
        return self.invocation.fill(self.verb.spec.banner, {"limit": limit})


class SetDiskFreeLimit(Behaviour):
    """A size, or the word mem_relative and a fraction."""

    def build_request(self) -> Any:
        """Checks in the order of 3.10.8."""
        words = self.invocation.arguments
        request = super().build_request()
        if words[:1] == ["mem_relative"]:
            _count(words, 2)
            fraction = parse_fraction(words[1])
            if fraction is None or fraction < 0:
                raise bad_argument()
            request.memory_fraction = fraction
            return request
        _count(words, 1)
        if re.fullmatch(r"-\d+", words[0]):  # without a unit taken, and never reached
            size: int | None = max(int(words[0]), -_MOST)
        else:
            size = parse_size(words[0])
        if size is None:
            raise bad_argument()
        request.absolute_bytes = size
        return request

    def banner(self) -> str:
        """As typed."""
        words = self.invocation.arguments
        times = f"{words[-1]} times the total RAM"
        limit = times if len(words) == 2 else f"{words[0]} bytes"
        return self.invocation.fill(self.verb.spec.banner, {"limit": limit})


class SetLogLevel(Behaviour):
    """A level by name."""

    LEVELS = frozenset(
        ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none")
    )

    def validate(self) -> None:
        """An unknown level is no usage error in 3.10.8."""
        super().validate()
        level = self.invocation.arguments[0]
        if level not in self.LEVELS:
            raise error(
                f"level {level} is not supported. "
                "Try one of debug, info, warning, error, critical, none"
            )
