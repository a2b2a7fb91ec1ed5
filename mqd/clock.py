"""How time enters: as a value somebody hands in.

Decides the shape of a clock and offers the one tests advance by hand. Never reads the machine's
time; the clock that does lives in `mqd.daemon.clock`.
"""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Milliseconds, twice: for measuring and for showing."""

    def monotonic_ms(self) -> int:
        """Never goes back; only differences mean anything."""

    def wall_ms(self) -> int:
        """Since the Unix epoch, UTC; may jump."""


class ManualClock:
    """A clock that stands still until told."""

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def advance(self, ms: int) -> None:
        self.now_ms += ms
